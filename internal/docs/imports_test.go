package docs_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const modulePath = "github.com/go-eventhubs/eventhubs"

// mayImport says which packages of the module each package may import outside its tests, by path below the module. It
// is the layout: imports point down, from contracts to engines to mechanisms. What is not listed imports none. "..."
// stands for everything.
var mayImport = map[string][]string{
	".": {
		"internal/checkpoint", "internal/connection", "internal/dial", "internal/event", "internal/receive",
		"internal/retry", "internal/sdkerr", "internal/send", "internal/signin", "internal/target",
	},

	// The engines, which know nothing of the public types.
	"internal/send": {"internal/connection", "internal/dial", "internal/retry", "internal/sdkerr"},
	"internal/receive": {
		"internal/balance", "internal/connection", "internal/dial", "internal/retry", "internal/sdkerr",
	},
	"internal/balance":    {"internal/handover", "internal/retry"},
	"internal/checkpoint": {"internal/handover", "internal/sdkerr", "internal/signin"},

	// What they are made of.
	"internal/event":      {"internal/send"},
	"internal/target":     {"internal/dial", "internal/sdkerr", "internal/signin"},
	"internal/connection": {"internal/dial", "internal/sdkerr"},
	"internal/dial":       {"internal/wsconn"},
	"internal/sdkerr":     {"internal/signin"},
	"internal/signin":     {"internal/retry"},

	// The local namespace.
	"eventhubstest": {
		".", "internal/server/blob", "internal/server/broker", "internal/server/identity", "internal/server/memnet",
		"internal/wsconn",
	},
	"eventhubstest/storetest": {"internal/handover"},
	"internal/server/broker":  {"internal/server/amqp"},

	// Programs, and what tests of guarantees share.
	"examples/batch":           {"."},
	"examples/deadletter":      {"."},
	"examples/emulator":        {"eventhubstest"},
	"examples/recv":            {"."},
	"examples/send":            {"."},
	"examples/service":         {"."},
	"internal/cmd":             {"..."},
	"internal/guarantee/scene": {".", "eventhubstest"},
}

// serverTests are the packages besides eventhubstest and the server's own whose tests may import internal/server.
var serverTests = []string{".", "internal/checkpoint", "internal/dial"}

// TestImportsPointDown reads the imports of every package of the module.
func TestImportsPointDown(t *testing.T) {
	used := map[string]bool{}
	require.NoError(t, filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && file != root && apart(file):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(file) != ".go":
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		from := path.Dir(filepath.ToSlash(relative))
		for _, spec := range f.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			to, ok := below(imported)
			if !ok {
				continue
			}
			used[from+" "+to] = true
			if strings.HasSuffix(file, "_test.go") {
				require.True(t, testMayImport(from, to), "%s: a test of %s must not import %s", relative, from, to)
			} else {
				require.True(t, packageMayImport(from, to), "%s: %s must not import %s", relative, from, to)
			}
		}
		return nil
	}))
	for from, list := range mayImport {
		for _, to := range list {
			require.True(
				t, to == "..." || used[from+" "+to], "%s does not import %s any more: strike it off the table", from, to,
			)
		}
	}
}

// apart reports whether a folder has no packages of this module.
func apart(folder string) bool {
	_, err := os.Stat(filepath.Join(folder, "go.mod"))
	name := filepath.Base(folder)
	return err == nil || name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
}

// below is the path of a package below the module, "." for the module's own.
func below(imported string) (string, bool) {
	if imported == modulePath {
		return ".", true
	}
	return strings.CutPrefix(imported, modulePath+"/")
}

func packageMayImport(from, to string) bool {
	if strings.HasPrefix(from, "internal/cmd/") {
		from = "internal/cmd"
	}
	list := mayImport[from]
	return slices.Contains(list, to) || slices.Contains(list, "...")
}

// testMayImport: tests may import everything but programs and, for most, the parts of the server.
func testMayImport(from, to string) bool {
	switch {
	case from == to || strings.HasPrefix(from, "internal/cmd/"):
		return true
	case strings.HasPrefix(to, "internal/cmd/"):
		return false
	case !strings.HasPrefix(to, "internal/server/"):
		return true
	}
	return strings.HasPrefix(from, "internal/server/") || from == "eventhubstest" || slices.Contains(serverTests, from)
}
