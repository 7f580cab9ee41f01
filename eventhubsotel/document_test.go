package eventhubsotel_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// documents are those of the repository that show this package.
var documents = []string{"../README.md", "../docs/observability.md"}

// TestDocuments looks for the blocks of the documents in the examples, which are compiled and run.
func TestDocuments(t *testing.T) {
	t.Parallel()
	examples, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	code := flat(string(examples))
	found := 0
	for _, file := range documents {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, fence := range []string{"```go eventhubsotel\n", "```text\n"} {
			for _, after := range strings.Split(string(text), fence)[1:] {
				block, _, _ := strings.Cut(after, "```")
				if fence == "```text\n" && !strings.Contains(block, "process ") {
					continue
				}
				found++
				require.Contains(t, code, flat(block), "%s shows what no example does", file)
			}
		}
	}
	require.GreaterOrEqual(t, found, 3)
}

// flat drops indentation, and the slashes of comments.
func flat(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "//"))
	}
	return strings.Join(lines, "\n")
}
