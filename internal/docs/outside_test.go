package docs_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestOutsideModule builds and tests a module that is not this one, as a user has it: it imports the library and tests
// its handler.
func TestOutsideModule(t *testing.T) {
	testOutside(t, "go.mod")
}

// TestOutsideModuleNewest does the same with newer versions of the dependencies, where there are any. An importer may
// need them for other reasons, and Go then builds this library with them too. One of them is azblob after 1.8.0. The
// test needs modules that no other test needs. Where they have not been downloaded, it is skipped.
func TestOutsideModuleNewest(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-modfile=newest.mod", "-deps", "-test", "./...")
	cmd.Dir = "../../testdata/outside"
	cmd.Env = append(cmd.Environ(), "GOPROXY=off", "GOTOOLCHAIN=local")
	if out, err := cmd.CombinedOutput(); err != nil {
		for _, absent := range []string{"GOPROXY=off", "GOTOOLCHAIN=local"} {
			if strings.Contains(string(out), absent) {
				t.Skipf("in testdata/outside, run: go mod download -modfile=newest.mod\n%s", out)
			}
		}
		require.NoError(t, err, "%s", out)
	}
	testOutside(t, "newest.mod")
}

func testOutside(t *testing.T, modfile string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "test", "-modfile="+modfile, "-count=1", "./...")
	cmd.Dir = "../../testdata/outside"
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "ok  \texample.com/outside")
}
