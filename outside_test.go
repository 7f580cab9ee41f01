package eventhubs_test

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestOutsideModule builds and tests a module that is not this one, as a user has it: it imports the library and tests its handler.
func TestOutsideModule(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "./...")
	cmd.Dir = "testdata/outside"
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "ok  \texample.com/outside")
}
