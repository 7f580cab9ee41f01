package eventhubs_test

import (
	"os"
	"testing"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/internal/leaktest"
)

// TestMain fails when the tests leave goroutines behind. The program is also what a test starts as another process.
func TestMain(m *testing.M) {
	if os.Getenv(passwordlessEnv) != "" {
		os.Exit(bePasswordless())
	}
	eventhubs.LogSDK(nil)() // which has to be called first before there are clients
	leaktest.Main(m)
}
