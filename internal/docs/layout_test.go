package docs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRootIsSmall keeps the package that users read one that can be read in an evening.
func TestRootIsSmall(t *testing.T) {
	entries, err := os.ReadDir(root)
	require.NoError(t, err)
	var names, sources, examples []string
	lines := 0
	for _, e := range entries {
		name := e.Name()
		switch {
		case strings.HasPrefix(name, "."), strings.HasSuffix(name, ".out"): // make cover leaves the latter
			continue
		case strings.HasPrefix(name, "example_"):
			examples = append(examples, name)
		case filepath.Ext(name) == ".go" && !strings.HasSuffix(name, "_test.go"):
			sources = append(sources, name)
			lines += strings.Count(read(t, name), "\n")
		}
		names = append(names, name)
	}
	require.LessOrEqual(t, len(names), 40, "names in the top folder: %v", names)
	require.LessOrEqual(t, len(sources), 9, "files of the root package: %v", sources)
	require.LessOrEqual(t, len(examples), 8, "files of examples: %v", examples)
	require.LessOrEqual(t, lines, 1500, "lines of the root package without tests")
}
