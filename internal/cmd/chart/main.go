// Command chart draws the figures that "make bench OUT=docs/bench.json" wrote, as "make chart", and updates the
// documents that show them. It is a module of its own, so that nobody who uses the library pays for the plotting
// library.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"strings"
)

// report is what internal/cmd/bench keeps of a run; see its report.go.
type report struct {
	Go, System string
	CPUs       int
	Figures    []figure
}

type figure struct {
	Name               string
	Ours               float64
	Ratio, Least       float64
	Limit              float64 // the most that Ours may be, if Least is 0
	Short              bool
	Line               string
	ours, sdk, atLimit string // as they were printed
}

func main() {
	log.SetFlags(0)
	in := flag.String("in", "bench.json", "the figures")
	out := flag.String("out", "bench.svg", "the picture")
	flag.Parse()
	r, err := read(*in)
	if err == nil {
		err = r.draw(*out)
	}
	for _, document := range flag.Args() {
		if err == nil {
			err = r.update(document)
		}
	}
	if err != nil {
		log.Fatalf("chart: %v", err)
	}
}

func read(path string) (*report, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := new(report)
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for i := range r.Figures {
		f := &r.Figures[i]
		for _, field := range strings.Fields(f.Line) {
			name, value, _ := strings.Cut(field, "=")
			switch name {
			case "ours":
				f.ours = value
			case "sdk":
				f.sdk = value
			case "target":
				f.atLimit = strings.TrimLeft(value, "<>=")
				if strings.HasPrefix(f.atLimit, "sdk") {
					f.atLimit = fmt.Sprintf("%.2f", f.Limit)
				}
			}
		}
	}
	return r, nil
}

// title is a figure's name, without what is in parentheses and without "server included".
func (f figure) title() string {
	name, rest, in := strings.Cut(f.Name, " (")
	if _, after, ok := strings.Cut(rest, ")"); in && ok {
		name += after
	}
	return strings.TrimSuffix(name, ", server included")
}
