// Package outside is a program of somebody else's: it imports the library and tests its handler.
package outside

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"github.com/go-eventhubs/eventhubs"
)

// Totals adds up orders. Its method Handle is a handler.
type Totals struct {
	mu  sync.Mutex
	sum int
}

// Handle adds the amount that an event holds.
func (t *Totals) Handle(_ context.Context, e *eventhubs.ReceivedEvent) error {
	amount, err := strconv.Atoi(string(e.Body))
	if err != nil {
		return eventhubs.Stop(fmt.Errorf("not an amount: %w", err))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sum += amount
	return nil
}

// Sum is what was added up so far.
func (t *Totals) Sum() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sum
}
