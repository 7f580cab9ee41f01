// Command cover reads a coverage profile, as "make cover". It prints how much of the code the tests reach, and which
// lines of the root package no test reaches.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log"
	"os"
	"path"
	"slices"
	"strings"
)

const module = "github.com/go-eventhubs/eventhubs"

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: cover <profile>")
	}
	if err := run(os.Args[1], os.Stdout); err != nil {
		log.Fatalf("cover: %v", err)
	}
}

// block is a piece of code that is reached as a whole or not at all.
type block struct {
	file                           string
	line, column, toLine, toColumn int
}

func run(profile string, out io.Writer) error {
	text, err := os.ReadFile(profile)
	if err != nil {
		return err
	}
	statements, reached, err := parse(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("%s: %w", profile, err)
	}
	var all, covered int
	var missed []block
	for b, n := range statements {
		all += n
		switch {
		case reached[b]:
			covered += n
		case path.Dir(b.file) == module:
			missed = append(missed, b)
		}
	}
	slices.SortFunc(missed, func(a, b block) int {
		if c := strings.Compare(a.file, b.file); c != 0 {
			return c
		}
		return a.line*10_000 + a.column - b.line*10_000 - b.column
	})
	for _, b := range missed {
		if err := b.print(out); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(out, "cover: %.1f %% of %d statements; %d pieces of the root package are reached by no test\n",
		100*float64(covered)/float64(max(all, 1)), all, len(missed))
	return err
}

// parse reads a profile. Each package's tests report on all blocks, so a block appears many times.
func parse(r io.Reader) (statements map[block]int, reached map[block]bool, err error) {
	statements, reached = map[block]int{}, map[block]bool{}
	for lines := bufio.NewScanner(r); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "mode:") {
			continue
		}
		file, rest, _ := strings.Cut(lines.Text(), ":")
		b := block{file: file}
		var n, times int
		if _, err := fmt.Sscanf(
			rest, "%d.%d,%d.%d %d %d", &b.line, &b.column, &b.toLine, &b.toColumn, &n, &times,
		); err != nil {
			return nil, nil, fmt.Errorf("%q: %w", lines.Text(), err)
		}
		statements[b] = n
		reached[b] = reached[b] || times > 0
	}
	return statements, reached, nil
}

// print shows where a block is, and how it begins.
func (b block) print(out io.Writer) error {
	name := path.Base(b.file)
	source, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	lines := strings.Split(string(source), "\n")
	from := b.line
	if from < b.toLine && strings.TrimSpace(lines[from-1][min(b.column, len(lines[from-1])):]) == "" {
		from++ // a block begins with its brace
	}
	to := b.toLine
	if to > from && strings.TrimSpace(lines[to-1][:b.toColumn-1]) == "}" {
		to--
	}
	where := fmt.Sprintf("%s:%d", name, from)
	if to > from {
		where += fmt.Sprintf("-%d", to)
	}
	_, err = fmt.Fprintf(out, "not reached: %s: %s\n", where, strings.TrimSpace(lines[from-1]))
	return err
}
