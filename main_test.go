package eventhubs_test

import (
	"flag"
	"os"
	"testing"

	"github.com/go-eventhubs/eventhubs/internal/leaktest"
)

// TestMain fails when the tests leave goroutines behind. A process that a test has started does what the test wants instead.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(beChild())
	}
	if os.Getenv(webSocketEnv) != "" {
		os.Exit(beWebSocketChild())
	}
	flag.Parse()
	atOnce := "6" // tests that run side by side mostly wait: there may be more than processors, unless the command says how many
	flag.Visit(func(f *flag.Flag) {
		if f.Name == "test.parallel" {
			atOnce = f.Value.String()
		}
	})
	if err := flag.Set("test.parallel", atOnce); err != nil {
		panic(err)
	}
	leaktest.Main(m)
}
