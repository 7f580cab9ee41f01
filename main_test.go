package eventhubs_test

import (
	"flag"
	"net"
	"os"
	"testing"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/internal/leaktest"
)

// programs are what a process does that a test has started: the test's own program again, with a variable in its environment set.
var programs = map[string]func() int{
	childEnv: beChild,
}

// TestMain fails when the tests leave goroutines behind.
func TestMain(m *testing.M) {
	net.DefaultResolver = noNames
	for variable, run := range programs {
		if os.Getenv(variable) != "" {
			os.Exit(run())
		}
	}
	eventhubs.LogSDK(nil)() // which has to be called first before there are clients
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
