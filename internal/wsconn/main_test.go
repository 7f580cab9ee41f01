package wsconn_test

import (
	"testing"

	"github.com/go-eventhubs/eventhubs/internal/leaktest"
)

// TestMain fails when the tests leave goroutines behind.
func TestMain(m *testing.M) { leaktest.Main(m) }
