// Package docs_test keeps the documents true: what they show is compiled, what they tell to type is run, and what they
// link to is there.
package docs_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/leaktest"
)

const root = "../.."

func TestMain(m *testing.M) { leaktest.Main(m) }

// block is what stands between two fences.
type block struct {
	file     string // from the root
	line     int    // of its first line
	language string
	note     string // what follows the language
	text     string
	given    string // declarations that a comment before it gives: <!-- given: name type; name type -->
}

// documents are all documents, by their path from the root.
func documents(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"*.md", "docs/*.md", ".github/*.md"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		require.NoError(t, err)
		for _, path := range paths {
			relative, err := filepath.Rel(root, path)
			require.NoError(t, err)
			all = append(all, filepath.ToSlash(relative))
		}
	}
	require.Contains(t, all, "README.md")
	return all
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	require.NoError(t, err)
	return string(text)
}

var givenHere = regexp.MustCompile(`^<!-- given: (.*) -->$`)

// blocks are the blocks of a document in one language.
func blocks(t *testing.T, file, language string) (out []block) {
	t.Helper()
	var b *block
	given := ""
	for i, line := range strings.SplitAfter(read(t, file), "\n") {
		fence, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case isFence && b == nil:
			l, note, _ := strings.Cut(fence, " ")
			b = &block{file: file, line: i + 2, language: l, note: note, given: given}
		case isFence:
			if b.language == language {
				out = append(out, *b)
			}
			b, given = nil, ""
		case b != nil:
			b.text += line
		default:
			if m := givenHere.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
				given = m[1]
			}
		}
	}
	require.Nil(t, b, "%s: a block has no end", file)
	return out
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// TestLinks looks for the files that documents link to. Other sites are not asked.
func TestLinks(t *testing.T) {
	for _, file := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(read(t, file), -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if target == "" || strings.Contains(target, "://") {
				continue
			}
			_, err := os.Stat(filepath.Join(root, filepath.Dir(file), target))
			require.NoError(t, err, "%s links to %s", file, m[1])
		}
	}
}

// TestFigures compares the figures in the documents with those of the run that is kept.
func TestFigures(t *testing.T) {
	var run struct {
		Figures []struct{ Name, Line string }
	}
	require.NoError(t, json.Unmarshal([]byte(read(t, "docs/bench.json")), &run))
	lines := map[string]string{}
	for _, f := range run.Figures {
		lines[f.Name] = f.Line
		require.Contains(t, read(t, "docs/performance.md"), f.Line+"\n", "run make chart")
	}
	_, table, found := strings.Cut(read(t, "README.md"), "<!-- figures: ")
	require.True(t, found)
	table, _, _ = strings.Cut(table, "<!-- end of figures -->")
	rows := strings.Split(strings.TrimSpace(table), "\n")[4:] // after the comment, a blank line and the heading
	require.NotEmpty(t, rows)
	for _, row := range rows {
		cells := strings.Split(strings.ReplaceAll(row, ",", ""), " | ")
		line := strings.ReplaceAll(lines[strings.Split(strings.Trim(row, "| "), " | ")[0]], ",", "")
		require.Contains(t, line, "ours="+cells[1]+" sdk="+cells[2]+" ", "run make chart: %s", row)
		if ratio, _, ok := strings.Cut(cells[3], "×"); ok {
			require.Contains(t, line, " ratio="+ratio+" ", "run make chart: %s", row)
		}
		require.Equal(t, strings.HasSuffix(line, " short"), strings.Contains(row, "short of"), "run make chart: %s", row)
	}
}

// TestLinesOfCode counts what the README says the raw SDK takes.
func TestLinesOfCode(t *testing.T) {
	for _, claim := range []struct {
		says      *regexp.Regexp
		file      string
		functions []string
	}{
		{regexp.MustCompile(`a loop of (\d+) lines`), "raw_send.go", []string{"rawBulkSend"}},
		{regexp.MustCompile(`(\d+) lines: Processor`), "raw_receive.go", []string{"run", "processPartition"}},
	} {
		m := claim.says.FindStringSubmatch(read(t, "README.md"))
		require.NotNil(t, m, claim.says)
		says, err := strconv.Atoi(m[1])
		require.NoError(t, err)
		require.Equal(t, linesOf(t, filepath.Join(root, "internal/cmd/bench", claim.file), claim.functions), says, claim.file)
	}
}

func linesOf(t *testing.T, path string, functions []string) (n int) {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, 0)
	require.NoError(t, err)
	for _, d := range file.Decls {
		for _, name := range functions {
			if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == name {
				n += set.Position(f.End()).Line - set.Position(f.Pos()).Line + 1
			}
		}
	}
	return n
}
