package docs_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// packages are what snippets use without importing it: a reader's editor adds that.
var packages = map[string]string{
	"azblob":        "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob",
	"azcore":        "github.com/Azure/azure-sdk-for-go/sdk/azcore",
	"azeventhubs":   "github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2",
	"azidentity":    "github.com/Azure/azure-sdk-for-go/sdk/azidentity",
	"checkpoints":   "github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2/checkpoints",
	"container":     "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container",
	"context":       "context",
	"errors":        "errors",
	"eventhubs":     "github.com/go-eventhubs/eventhubs",
	"eventhubstest": "github.com/go-eventhubs/eventhubs/eventhubstest",
	"fmt":           "fmt",
	"http":          "net/http",
	"json":          "encoding/json",
	"log":           "log",
	"os":            "os",
	"require":       "github.com/stretchr/testify/require",
	"signal":        "os/signal",
	"slog":          "log/slog",
	"storetest":     "github.com/go-eventhubs/eventhubs/eventhubstest/storetest",
	"sync":          "sync",
	"synctest":      "testing/synctest",
	"syscall":       "syscall",
	"testing":       "testing",
	"time":          "time",
	"tls":           "crypto/tls",
	"x509":          "crypto/x509",
}

// given is what snippets use without declaring it. A document gives what only one of its snippets needs: see block.
const given = `
var (
	ctx      context.Context
	cfg      eventhubs.Config
	blobs    eventhubs.BlobConfig
	store    eventhubs.CheckpointStore
	producer *eventhubs.Producer
	consumer *eventhubs.Consumer
	handler  eventhubs.Handler
	event    eventhubs.Event
	events   []eventhubs.Event
	srv      *eventhubstest.Server
	rootCAs  *x509.CertPool
	err      error
)
`

// otherModule is the note of blocks that import a module of this repository which this one doesn't know. They are parts
// of its examples, as its own tests check.
const otherModule = "eventhubsotel"

// TestSnippets compiles and vets each block of Go in the documents, in a module that is not this one: those with
// statements as the body of a function, those with declarations as a file. A main package takes in the declarations of
// its document that are not tests.
func TestSnippets(t *testing.T) {
	t.Parallel()
	m := newModule(t)
	n := 0
	for _, file := range documents(t) {
		for _, b := range blocks(t, file, "go") {
			if b.note == otherModule {
				continue
			}
			require.Empty(t, b.note, "%s:%d", b.file, b.line)
			n++
			m.add(b)
		}
	}
	require.GreaterOrEqual(t, n, 7, "where have the snippets gone?")
	m.write()
	// What a snippet has made but doesn't use is used behind its return.
	m.run("go", "vet", "-unreachable=false", "./...")
	m.run("go", append([]string{"test", "-vet=off", "-count=1"}, m.tests()...)...)
}

// module is somebody else's.
type module struct {
	t     *testing.T
	dir   string
	files map[string]string // by path
	mains map[string][]string
	decls map[string][]string
}

// newModule makes a module that has this one's dependencies, so that nothing has to be fetched.
func newModule(t *testing.T) *module {
	t.Helper()
	here, err := filepath.Abs(root)
	require.NoError(t, err)
	mod := regexp.MustCompile(`(?m)^module (\S+)$`).ReplaceAllString(
		read(t, "go.mod"), "module example.com/snippets\n\nrequire $1 v0.0.0\n\nreplace $1 => "+filepath.ToSlash(here),
	)
	m := &module{t: t, dir: t.TempDir(), mains: map[string][]string{}, decls: map[string][]string{}}
	m.files = map[string]string{"go.mod": mod, "go.sum": read(t, "go.sum")}
	return m
}

// add puts a block where it belongs.
func (m *module) add(b block) {
	m.t.Helper()
	at := fmt.Sprintf("//line %s:%d\n", b.file, b.line)
	name := fmt.Sprintf("%s_%d", folder(b.file), b.line)
	if f, err := parser.ParseFile(token.NewFileSet(), "", b.text, 0); err == nil {
		if f.Name.Name == "main" {
			m.mains[b.file] = append(m.mains[b.file], at+b.text)
			return
		}
		m.files[name+"/snippet.go"] = at + b.text
		return
	}
	if f, err := parser.ParseFile(token.NewFileSet(), "", "package p\n"+b.text, 0); err == nil {
		file := "/snippet.go"
		if strings.Contains(b.text, "*testing.T") {
			file = "/snippet_test.go"
		} else {
			m.decls[b.file] = append(m.decls[b.file], at+b.text)
		}
		m.files[name+file] = "package snippet\n\n" + imports(f, "") + at + b.text
		return
	}
	var vars string
	for _, v := range strings.Split(b.given, ";") {
		if v = strings.TrimSpace(v); v != "" {
			vars += "var " + v + "\n"
		}
	}
	body := "package p\nfunc _() error {\n" + vars + b.text + "\n}"
	f, err := parser.ParseFile(token.NewFileSet(), "", body, 0)
	require.NoError(m.t, err, "%s:%d: neither a file, nor declarations, nor statements:\n%s", b.file, b.line, b.text)
	var used strings.Builder
	for _, v := range declared(f) {
		fmt.Fprintf(&used, "_ = %s\n", v)
	}
	m.files[name+"/snippet.go"] = "package snippet\n\n" + imports(f, given) + given + "\nfunc _() error {\n" + vars + at +
		b.text + "\n" + used.String() + "return nil\n}\n"
}

// folder is a document's part in the name of a folder.
func folder(document string) string {
	return strings.NewReplacer("/", "_", ".", "_").Replace(strings.ToLower(document))
}

// write puts everything into files.
func (m *module) write() {
	m.t.Helper()
	for document, mains := range m.mains {
		for i, text := range mains {
			m.files[fmt.Sprintf("%s_main_%d/main.go", folder(document), i)] = text + strings.Join(m.decls[document], "\n")
		}
	}
	for name, text := range m.files {
		path := filepath.Join(m.dir, name)
		require.NoError(m.t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(m.t, os.WriteFile(path, []byte(text), 0o600))
	}
}

// tests are the packages with tests.
func (m *module) tests() (packages []string) {
	for name := range m.files {
		if strings.HasSuffix(name, "_test.go") {
			packages = append(packages, "./"+filepath.Dir(name))
		}
	}
	return packages
}

// run runs a command that may not ask anybody for modules.
func (m *module) run(name string, args ...string) {
	m.t.Helper()
	cmd := exec.CommandContext(m.t.Context(), name, args...)
	cmd.Dir = m.dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	require.NoError(m.t, err, "%s", out)
}

// imports finds the packages that a snippet, and what it is given, speak of.
func imports(f *ast.File, given string) string {
	var names []string
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok {
				names = append(names, x.Name)
			}
		}
		return true
	})
	for _, m := range regexp.MustCompile(`(\w+)\.\w`).FindAllStringSubmatch(given, -1) {
		names = append(names, m[1])
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range slices.Compact(names) {
		if path := packages[name]; path != "" {
			fmt.Fprintf(&b, "import %q\n", path)
		}
	}
	return b.String()
}

// declared are the variables that a snippet's statements make.
func declared(f *ast.File) (names []string) {
	for _, s := range f.Decls[0].(*ast.FuncDecl).Body.List {
		switch s := s.(type) {
		case *ast.AssignStmt:
			for _, e := range s.Lhs {
				if x, ok := e.(*ast.Ident); ok && s.Tok == token.DEFINE && x.Name != "_" {
					names = append(names, x.Name)
				}
			}
		case *ast.DeclStmt:
			for _, spec := range s.Decl.(*ast.GenDecl).Specs {
				if v, ok := spec.(*ast.ValueSpec); ok {
					for _, x := range v.Names {
						names = append(names, x.Name)
					}
				}
			}
		}
	}
	return names
}
