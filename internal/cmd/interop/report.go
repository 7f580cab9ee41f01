package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// entry is what the table shows for a row and a client: one word, or one for each variant if they differ.
func (t *table) entry(row, column int) string {
	if !t.rows[row].isFor(t.columns[column].name) {
		return ""
	}
	var words []string
	for _, v := range t.rows[row].at {
		words = append(words, string(t.results[cell{row, column, v}].outcome))
	}
	if len(slices.Compact(slices.Clone(words))) == 1 {
		return words[0]
	}
	return strings.Join(words, "/")
}

// remarks are the reasons or the notes of an outcome. Each line names the client and the row, and the variants if not
// all have it.
func (t *table) remarks(of outcome) (lines []string) {
	for i, c := range t.columns {
		if of == skipping && c.skip != "" {
			lines = append(lines, fmt.Sprintf("%s: everything: %s", c.name, oneLine(c.skip)))
			continue
		}
		for j, r := range t.rows {
			said := map[string][]string{}
			for _, v := range r.at {
				res := t.results[cell{j, i, v}]
				texts := res.notes
				if of != passing {
					texts = []string{res.reason}
				}
				if res.outcome == of {
					for _, text := range texts {
						said[text] = append(said[text], string(v))
					}
				}
			}
			for _, text := range slices.Sorted(maps.Keys(said)) {
				where := r.name
				if len(said[text]) < len(r.at) {
					where += " (" + strings.Join(said[text], ", ") + ")"
				}
				lines = append(lines, fmt.Sprintf("%s: %s: %s", c.name, where, oneLine(text)))
			}
		}
	}
	return lines
}

func oneLine(s string) string {
	const most = 600
	if s = strings.Join(strings.Fields(s), " "); len(s) > most {
		s = s[:most] + "…"
	}
	return s
}

// text is the table for a terminal, with the reasons below it.
func (t *table) text() string {
	var b strings.Builder
	widest := 0
	for _, r := range t.rows {
		widest = max(widest, len(r.name))
	}
	fmt.Fprintf(&b, "%-*s", widest, "")
	for _, c := range t.columns {
		fmt.Fprintf(&b, "  %-9s", c.name)
	}
	b.WriteString("\n")
	for j, r := range t.rows {
		fmt.Fprintf(&b, "%-*s", widest, r.name)
		for i := range t.columns {
			fmt.Fprintf(&b, "  %-9s", t.entry(j, i))
		}
		b.WriteString("\n")
	}
	for _, part := range parts {
		if lines := t.remarks(part.of); len(lines) > 0 {
			fmt.Fprintf(&b, "\n%s:\n  %s\n", part.title, strings.Join(lines, "\n  "))
		}
	}
	fmt.Fprintf(&b, "\n%s\n", t.sum())
	return b.String()
}

var parts = []struct {
	title string
	of    outcome
}{{"Notes", passing}, {"Skipped", skipping}, {"Failed", failing}}

func (t *table) sum() string {
	return fmt.Sprintf("interop: %d passed, %d failed, %d skipped", t.count(passing), t.count(failing), t.count(skipping))
}

// markdown is the table as a page of the documentation.
func (t *table) markdown() string {
	var b strings.Builder
	b.WriteString("# Clients that the local server was tried with\n\n" +
		"Written by `make interop`, which runs Microsoft's own clients against `eventhubstest`, plain and over TLS. " +
		"`ok` stands for every way in which a row is run; " +
		"where they differ, there is a word for each.\n\n| client | version |\n|---|---|\n")
	for _, c := range t.columns {
		var versions []string
		for _, name := range slices.Sorted(maps.Keys(c.hello.Version)) {
			versions = append(versions, name+" "+c.hello.Version[name])
		}
		fmt.Fprintf(&b, "| %s | %s |\n", c.name, strings.Join(versions, ", "))
	}
	b.WriteString("\n|")
	for _, c := range t.columns {
		b.WriteString(" | " + c.name)
	}
	b.WriteString(" |\n|---" + strings.Repeat("|---", len(t.columns)) + "|\n")
	for j, r := range t.rows {
		b.WriteString("| " + r.name)
		for i := range t.columns {
			b.WriteString(" | " + t.entry(j, i))
		}
		b.WriteString(" |\n")
	}
	for _, part := range parts {
		if lines := t.remarks(part.of); len(lines) > 0 {
			fmt.Fprintf(&b, "\n## %s\n\n- %s\n", part.title, strings.Join(lines, "\n- "))
		}
	}
	for j, r := range t.rows {
		if lines := t.transcript(j); len(lines) > 0 {
			fmt.Fprintf(&b, "\n## %s\n\n%s\n\n```console\n%s\n```\n", r.shows, r.about, strings.Join(lines, "\n"))
		}
	}
	fmt.Fprintf(&b, "\n`%s`\n", t.sum())
	return b.String()
}

// transcript is that of the first client that has one for a row.
func (t *table) transcript(row int) []string {
	for i := range t.columns {
		for _, v := range t.rows[row].at {
			if lines := t.results[cell{row, i, v}].transcript; len(lines) > 0 {
				return lines
			}
		}
	}
	return nil
}

// byHand starts the part of the page that is written by hand. That part is kept.
const byHand = "<!-- Written by hand from here on: make interop keeps it. -->"

// page is the new page: the table, and the part of the old page that is written by hand.
func (t *table) page(old string) string {
	_, rest, there := strings.Cut(old, byHand)
	if !there {
		return t.markdown()
	}
	return t.markdown() + "\n" + byHand + rest
}
