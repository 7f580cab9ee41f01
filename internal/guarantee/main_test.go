package guarantee_test

import (
	"os"
	"testing"

	"github.com/go-eventhubs/eventhubs/internal/leaktest"
)

// TestMain fails when the tests leave goroutines behind. The program is also what a test starts as another process.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(beChild())
	}
	leaktest.Main(m)
}
