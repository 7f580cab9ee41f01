package main

import (
	"encoding/json"
	"os"
	"runtime"
	"strings"
)

// report is a run as it is kept in a file: internal/cmd/chart draws it, and the documents are checked against it.
type report struct {
	Go      string           `json:"go"`
	System  string           `json:"system"`
	CPUs    int              `json:"cpus"`
	Figures []reportedFigure `json:"figures"`
}

// reportedFigure is one row. Its target is either a ratio to the SDK or a limit for ours.
type reportedFigure struct {
	Name string   `json:"name"`
	Ours float64  `json:"ours"`          // the median
	SDK  *float64 `json:"sdk,omitempty"` // nil if there is nothing to compare with
	// Ratio is how many times better ours is, and Least is what Ratio must reach.
	Ratio float64 `json:"ratio,omitempty"`
	Least float64 `json:"least,omitempty"`
	// Limit is the most that Ours may be, if there is no Least.
	Limit float64 `json:"limit,omitempty"`
	Short bool    `json:"short"`
	Line  string  `json:"line"` // as it was printed
}

func newReport() *report {
	return &report{Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.NumCPU()}
}

func (p *report) add(r row, f figure) {
	if len(f.ours) == 0 {
		return // only the SDK's side was measured
	}
	kept := reportedFigure{Name: r.name, Ours: median(f.ours), Short: !f.reaches(r.target), Line: f.line(r)}
	if len(f.sdk) > 0 {
		sdk := median(f.sdk)
		kept.SDK, kept.Ratio = &sdk, f.ratio(r.target)
	}
	switch {
	case r.target.kind == atLeast:
		kept.Least = r.target.value
	case r.target.kind == above && kept.SDK != nil:
		kept.Limit = *kept.SDK + r.target.value
	case r.target.kind != above:
		kept.Limit = r.target.limit()
	}
	p.Figures = append(p.Figures, kept)
}

func (p *report) write(path string) error {
	var text strings.Builder
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(p); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text.String()), 0o644)
}
