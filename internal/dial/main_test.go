package dial_test

import (
	"net"
	"os"
	"testing"

	"github.com/go-eventhubs/eventhubs/internal/leaktest"
)

func TestMain(m *testing.M) {
	net.DefaultResolver = noNames
	if os.Getenv(childEnv) != "" {
		os.Exit(beChild())
	}
	leaktest.Main(m)
}
