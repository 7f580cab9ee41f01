// Command interop runs Microsoft's own clients against eventhubstest, and prints what each of them can do there.
// testdata/interop/README.md describes the protocol for clients of other languages.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// runTime bounds the whole run.
	runTime = 30 * time.Minute
	// parallel is how many clients are busy at once.
	parallel = 3
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	failed, err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "interop: %v\n", err)
	}
	if err != nil || failed > 0 {
		os.Exit(1)
	}
}

// run returns how many cells of the table have failed. That is what the last line of the output says too.
func run(ctx context.Context, args []string) (failed int, err error) {
	flags := flag.NewFlagSet("interop", flag.ExitOnError)
	clients := flags.String("clients", "", "only these clients: `name,…`")
	only := flags.String("rows", "", "only rows whose names contain one of these: `text,…`")
	write := flags.String("write", "", "write the table to a Markdown `file` too")
	rowTime := flags.Duration("time", 90*time.Second, "how long a client may take for one row")
	verbose := flags.Bool("v", false, "print the result of each row as soon as it is known")
	if err := flags.Parse(args); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, runTime)
	defer cancel()
	folder, err := os.MkdirTemp("", "interop")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(folder)
	t, err := newTable(ctx, folder, choose(rows(), list(*only)), list(*clients))
	if err != nil {
		return 0, err
	}
	defer t.close()
	t.verbose, t.rowTime = *verbose, *rowTime
	t.fill(ctx)
	if ctx.Err() != nil {
		return 0, fmt.Errorf("the run was cut short: %w", context.Cause(ctx))
	}
	if missing := t.missing(); *write != "" && missing != "" {
		fmt.Fprintf(os.Stderr, "interop: %s is left as it was: a complete table needs %s\n", *write, missing)
	} else if *write != "" {
		if err := t.write(filepath.Clean(*write)); err != nil {
			return 0, err
		}
	}
	fmt.Print(t.text())
	return t.count(failing), nil
}

// write writes the page to a file.
func (t *table) write(path string) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(path, []byte(t.page(string(old))), 0o644)
}

func list(s string) (out []string) {
	for _, part := range strings.Split(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// choose keeps the rows whose names contain one of the texts. No texts mean all rows.
func choose(all []row, texts []string) (out []row) {
	for _, r := range all {
		wanted := len(texts) == 0
		for _, t := range texts {
			wanted = wanted || strings.Contains(r.name, t)
		}
		if wanted {
			out = append(out, r)
		}
	}
	return out
}
