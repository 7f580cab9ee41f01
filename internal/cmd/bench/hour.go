package main

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/go-eventhubs/eventhubs/internal/cmd/simulate"
)

const hourCommand = "hour"

func hourRows() []row {
	return []row{{"an hour of virtual time: 2 consumers, 4 partitions, an event a second", 3,
		target{kind: within, value: 1, unit: seconds}, setupHour}}
}

func setupHour(context.Context) (sides, func(), error) {
	ours := func(ctx context.Context) (float64, error) {
		began := time.Now()
		line, err := inBubble(ctx, hourCommand)
		took := time.Since(began)
		if err != nil {
			return 0, err
		}
		if handled, err := strconv.Atoi(line); err != nil || handled != simulate.HourEvents {
			return 0, fmt.Errorf("%s of %d events were handled", line, simulate.HourEvents)
		}
		return took.Seconds(), nil
	}
	return sides{ours, nil}, nil, nil
}

// hourBubble simulates the hour, and returns how many events were handled.
func hourBubble(t *testing.T, _ []string) string { return fmt.Sprint(simulate.Hour(t)) }
