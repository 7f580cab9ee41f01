package main

import (
	"bytes"
	"fmt"
	"image/color"
	"io"
	"math"
	"os"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

const (
	width     = 860 * vg.Length(1)
	rowHeight = 15 * vg.Length(1)
	barHeight = 9 * vg.Length(1)
	// around a panel's rows: its title and its axis, and a gap before the next panel
	panelHeight = 62 * vg.Length(1)
	gap         = 14 * vg.Length(1)
	header      = 66 * vg.Length(1)
	margin      = 12 * vg.Length(1)
	fontSize    = 9 * vg.Length(1)
)

var (
	reached = color.NRGBA{R: 0x3b, G: 0x76, B: 0xaf, A: 0xff}
	short   = color.NRGBA{R: 0xd9, G: 0x5f, B: 0x02, A: 0xff}
	faint   = color.NRGBA{R: 0xe4, G: 0xe4, B: 0xe4, A: 0xff}
	dim     = color.NRGBA{R: 0x55, G: 0x55, B: 0x55, A: 0xff}
)

// bar is a figure as it is drawn: its length, where its target is, and what is written beside it.
type bar struct {
	name          string
	value, target float64
	text          string
	short         bool
}

// panel is a group of bars that share an axis. The axis begins at 0.
type panel struct {
	title string
	bars  []bar
}

// panels groups the figures: those whose bars would dwarf the others have an axis of their own. None is left out.
func (r *report) panels() []panel {
	many := panel{title: "Send in bulk, and Receive: times the throughput of a program on the raw SDK (longer is better)"}
	single := panel{title: "Send, one event a call: times the throughput of a batch for each event (longer is better)"}
	server := panel{title: "Local server: events a second of CPU, times those of the SDK's client (longer is better)"}
	limits := panel{title: "Time and memory: part of what is allowed (shorter is better)"}
	for _, f := range r.Figures {
		b := bar{name: f.title(), value: f.Ratio, target: f.Least, text: fmt.Sprintf("%.2f×", f.Ratio), short: f.Short}
		switch {
		case f.Least == 0:
			b.value, b.target, b.text = f.Ours/f.Limit, 1, f.ours+" of "+f.atLimit
			limits.bars = append(limits.bars, b)
			continue
		case strings.HasPrefix(f.Name, "single Send"):
			single.bars = append(single.bars, b)
		case strings.HasPrefix(f.Name, "local server"):
			server.bars = append(server.bars, b)
		default:
			many.bars = append(many.bars, b)
		}
	}
	return slices.DeleteFunc([]panel{many, single, limits, server}, func(p panel) bool { return len(p.bars) == 0 })
}

// draw writes the picture.
func (r *report) draw(path string) error {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	plotter.DefaultFont = plot.DefaultFont
	panels := r.panels()
	height, labels := header, vg.Length(0)
	for _, p := range panels {
		height += panelHeight + vg.Length(len(p.bars))*rowHeight
		labels = max(labels, p.labelWidth())
	}
	surface := surfaceFor(path, height)
	canvas := draw.New(surface)
	canvas.SetColor(color.White)
	canvas.Fill(canvas.Path())
	r.drawHeader(canvas)
	top := height - header
	for _, p := range panels {
		bottom := top - panelHeight - vg.Length(len(p.bars))*rowHeight
		part := draw.Crop(canvas, margin+labels-p.labelWidth(), -margin, bottom+gap, top-height)
		drawn, err := p.plot()
		if err != nil {
			return err
		}
		drawn.Draw(part)
		top = bottom
	}
	var out bytes.Buffer
	if _, err := surface.WriteTo(&out); err != nil {
		return err
	}
	// Where the font is missing, one with the same metrics takes its place.
	picture := bytes.ReplaceAll(
		out.Bytes(), []byte("font-family:Liberation Sans"), []byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif"),
	)
	return os.WriteFile(path, picture, 0o644)
}

// surface is what can be drawn on and written to a file.
type surface interface {
	vg.CanvasSizer
	io.WriterTo
}

// surfaceFor chooses the format by the file's name: PNG for a quick look, otherwise SVG, for documents.
func surfaceFor(path string, height vg.Length) surface {
	if strings.HasSuffix(path, ".png") {
		return vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(110))}
	}
	return vgsvg.New(width, height)
}

func style(size vg.Length, c color.Color) text.Style {
	return text.Style{Color: c, Font: font.From(plot.DefaultFont, size), Handler: plot.DefaultTextHandler}
}

func (r *report) drawHeader(c draw.Canvas) {
	title := style(14, color.Black)
	title.Font.Weight = 2 // bold
	c.FillText(title, vg.Point{X: margin, Y: c.Max.Y - 24}, "Beside the raw SDK")
	where := fmt.Sprintf(
		"make bench: medians of one run against a local server in the same process; %s, %s, %d cores. Every row of the run "+
			"is shown.",
		r.System, r.Go, r.CPUs,
	)
	c.FillText(style(fontSize, dim), vg.Point{X: margin, Y: c.Max.Y - 40}, where)
	x, y := margin, c.Max.Y-56
	for _, key := range []struct {
		color color.Color
		width vg.Length
		text  string
	}{{reached, 14, "reaches its target"}, {short, 14, "short of its target"}, {color.Black, 2, "target"}} {
		c.SetColor(key.color)
		c.Fill(vg.Rectangle{Min: vg.Point{X: x, Y: y - 1}, Max: vg.Point{X: x + key.width, Y: y + 8}}.Path())
		c.FillText(style(fontSize, color.Black), vg.Point{X: x + key.width + 5, Y: y}, key.text)
		x += key.width + 110
	}
}

func (p panel) labelWidth() (w vg.Length) {
	for _, b := range p.bars {
		w = max(w, style(fontSize, color.Black).Width(b.name))
	}
	return w
}

// end is where the axis ends: after the longest bar, the farthest target and their texts.
func (p panel) end() float64 {
	end := 0.0
	for _, b := range p.bars {
		end = max(end, b.value, b.target)
	}
	return end * 1.25
}

func (p panel) plot() (*plot.Plot, error) {
	drawn := plot.New()
	drawn.Title.Text, drawn.Title.TextStyle = p.title, style(11, color.Black)
	drawn.Title.TextStyle.XAlign, drawn.Title.TextStyle.YAlign = text.XCenter, text.YTop
	drawn.Title.Padding = 2
	drawn.X.Tick.Label.Font.Size = fontSize
	grid := plotter.NewGrid()
	grid.Horizontal.Width, grid.Vertical.Color = 0, faint
	drawn.Add(grid)
	names := make([]string, len(p.bars))
	values := map[bool]plotter.Values{true: make(plotter.Values, len(p.bars)), false: make(plotter.Values, len(p.bars))}
	for i, b := range p.bars {
		row := len(p.bars) - 1 - i // the first one is on top
		names[row] = b.name
		values[b.short][row] = b.value
	}
	for _, isShort := range []bool{false, true} {
		bars, err := plotter.NewBarChart(values[isShort], barHeight)
		if err != nil {
			return nil, err
		}
		bars.Horizontal, bars.Color = true, reached
		if isShort {
			bars.Color = short
		}
		bars.LineStyle.Width = 0
		drawn.Add(bars)
	}
	drawn.NominalY(names...)
	drawn.Y.Tick.Label.Font.Size = fontSize
	drawn.Y.Width = 0
	drawn.Add(p)
	drawn.X.Min, drawn.X.Max = 0, p.end()
	drawn.Y.Min, drawn.Y.Max = -0.6, float64(len(p.bars))-0.4
	return drawn, nil
}

// Plot marks the targets, and writes the figures beside their bars.
func (p panel) Plot(c draw.Canvas, drawn *plot.Plot) {
	x, y := drawn.Transforms(&c)
	for i, b := range p.bars {
		middle := y(float64(len(p.bars) - 1 - i))
		c.SetColor(color.Black)
		c.Fill(
			vg.Rectangle{
				Min: vg.Point{X: x(b.target) - 1, Y: middle - 6.5}, Max: vg.Point{X: x(b.target) + 1, Y: middle + 6.5},
			}.Path(),
		)
		s := style(fontSize, color.Black)
		label := b.text
		if b.short {
			label += " short"
			s.Color = short
		}
		at := x(b.value) + 4
		if from := x(b.target) - 2; at-4 <= from+4 && at+s.Width(label) > from { // the mark would go through it
			at = x(math.Max(b.value, b.target)) + 5
		}
		c.FillText(s, vg.Point{X: at, Y: middle - 3}, label)
	}
}
