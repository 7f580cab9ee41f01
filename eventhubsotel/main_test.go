package eventhubsotel_test

import (
	"testing"

	"github.com/go-eventhubs/eventhubs/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }
