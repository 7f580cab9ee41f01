//go:build !race

package simulate_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/cmd/simulate"
)

// TestHour prints how long an hour takes. That depends on the machine: make bench measures it. The race detector makes
// it ten times as long, and TestSimulation has more for it to find.
func TestHour(t *testing.T) {
	began := time.Now()
	synctest.Test(t, func(t *testing.T) { require.EqualValues(t, simulate.HourEvents, simulate.Hour(t)) })
	t.Logf("an hour took %v", time.Since(began))
}
