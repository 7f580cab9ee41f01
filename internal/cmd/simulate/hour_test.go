//go:build !race

package simulate_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/cmd/simulate"
)

// TestHour logs how long an hour takes. That depends on the machine, so make bench measures it. The test is left out
// under the race detector, which would make it ten times as long and has more to find in TestSimulation.
func TestHour(t *testing.T) {
	began := time.Now()
	synctest.Test(t, func(t *testing.T) { require.EqualValues(t, simulate.HourEvents, simulate.Hour(t)) })
	t.Logf("an hour took %v", time.Since(began))
}
