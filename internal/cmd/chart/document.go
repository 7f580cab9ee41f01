package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

// A document shows figures between two comments. The first comment says which: "lines" for all lines as they were
// printed, or a regular expression for a table of the figures whose names match it.
var shown = regexp.MustCompile(`(?s)(<!-- figures: (.*?) -->\n).*?(<!-- end of figures -->)`)

// update writes the figures into a document.
func (r *report) update(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !shown.Match(text) {
		return fmt.Errorf("%s shows no figures", path)
	}
	var failed error
	text = shown.ReplaceAllFunc(text, func(old []byte) []byte {
		m := shown.FindSubmatch(old)
		body, err := r.render(string(m[2]))
		if err != nil {
			failed = fmt.Errorf("%s: %w", path, err)
		}
		return fmt.Appendf(nil, "%s\n%s\n%s", m[1], body, m[3])
	})
	if failed != nil {
		return failed
	}
	return os.WriteFile(path, text, 0o644)
}

func (r *report) render(what string) (string, error) {
	if what == "lines" {
		return r.lines(), nil
	}
	names, err := regexp.Compile(what)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("| | this library | raw SDK | |\n|---|---|---|---|\n")
	for _, f := range r.Figures {
		if !names.MatchString(f.Name) {
			continue
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", f.Name, thousands(f.ours), thousands(f.sdk), f.verdict())
	}
	return b.String(), nil
}

func (r *report) lines() string {
	var b strings.Builder
	short := 0
	b.WriteString("```\n")
	for _, f := range r.Figures {
		fmt.Fprintln(&b, f.Line)
		if f.Short {
			short++
		}
	}
	fmt.Fprintf(&b, "bench: %d short\n```\n", short)
	return b.String()
}

// verdict is how many times better ours is, if the target is a ratio, and the target, if the figure falls short of it.
func (f figure) verdict() string {
	switch {
	case f.Least > 0 && f.Short:
		return fmt.Sprintf("%.2f×, short of %g×", f.Ratio, f.Least)
	case f.Least > 0:
		return fmt.Sprintf("%.2f×", f.Ratio)
	case f.Short:
		return "short of " + f.atLimit
	}
	return ""
}

var manyDigits = regexp.MustCompile(`^(\d+)(\d{3})\b`)

// thousands puts commas into the number that s starts with.
func thousands(s string) string {
	for manyDigits.MatchString(s) {
		s = manyDigits.ReplaceAllString(s, "$1,$2")
	}
	return s
}
