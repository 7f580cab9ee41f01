package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// outcome is how a row went for a client.
type outcome string

const (
	passing  outcome = "ok"
	failing  outcome = "FAIL"
	skipping outcome = "skip"
)

// result is what the table shows for a row, a client and a variant.
type result struct {
	outcome outcome
	reason  string
	notes   []string
	// transcript holds commands and their output.
	transcript []string
	took       time.Duration
}

// table is a run: rows by columns, in each variant of the row.
type table struct {
	rows    []row
	columns []*column
	places  map[variant]*place
	verbose bool
	rowTime time.Duration

	tools     *tools
	azurite   *azuriteServer // nil: noAzurite says why
	noAzurite error

	resultsMu sync.Mutex
	results   map[cell]result
}

type cell struct {
	row, column int
	variant     variant
}

// newTable starts the namespaces and the clients.
func newTable(ctx context.Context, folder string, rows []row, clients []string) (*table, error) {
	t := &table{rows: rows, places: map[variant]*place{}, results: map[cell]result{}}
	for _, c := range columns() {
		if len(clients) == 0 || slices.Contains(clients, c.name) {
			t.columns = append(t.columns, c)
		}
	}
	var err error
	if t.tools, err = newTools(ctx, folder, rows); err != nil {
		return nil, err
	}
	for _, v := range transports {
		p, err := newPlace(folder, v == overTLS, t.hubs(v))
		if err != nil {
			t.close()
			return nil, err
		}
		t.places[v] = p
	}
	var started sync.WaitGroup
	if slices.ContainsFunc(rows, func(r row) bool { return slices.Contains(r.at, azurite) }) {
		started.Go(func() { t.azurite, t.noAzurite = startAzurite(ctx, folder) })
	}
	for _, c := range t.columns {
		started.Go(func() { c.start(ctx, folder, t.places[overTLS].ca) })
	}
	started.Wait()
	return t, nil
}

// hubs are the event hubs of a place.
func (t *table) hubs(transport variant) (all []eventhubstest.Hub) {
	for i, r := range t.rows {
		for _, v := range r.at {
			if (v == overTLS) != (transport == overTLS) {
				continue
			}
			for _, c := range t.columns {
				all = append(all, eventhubstest.Hub{
					Name: hubName(i, c, v), Partitions: partitions, ConsumerGroups: []string{group},
				})
			}
		}
	}
	return all
}

// hubName has letters of both cases, so that a client that changes them is noticed.
func hubName(row int, c *column, v variant) string {
	return fmt.Sprintf("Row%d-%s-%s", row, c.name, v[:2])
}

// fill runs every row with every client, with several clients at once.
func (t *table) fill(ctx context.Context) {
	turns := make(chan struct{}, parallel)
	var all sync.WaitGroup
	for i, c := range t.columns {
		for j, r := range t.rows {
			if r.aside && r.isFor(c.name) {
				all.Go(func() { t.runRow(ctx, i, j) })
			}
		}
		all.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			for j, r := range t.rows {
				if !r.aside && r.isFor(c.name) {
					t.runRow(ctx, i, j)
				}
			}
		})
	}
	all.Wait()
}

// runRow runs a row with a client, in each of its variants.
func (t *table) runRow(ctx context.Context, column, row int) {
	for _, v := range t.rows[row].at {
		t.put(cell{row, column, v}, t.try(ctx, row, t.columns[column], v))
	}
}

func (t *table) put(at cell, r result) {
	t.resultsMu.Lock()
	defer t.resultsMu.Unlock()
	t.results[at] = r
	if !t.verbose {
		return
	}
	fmt.Fprintf(os.Stderr, "%-8s %-4s %5.1fs  %s, %s %s\n",
		t.columns[at.column].name, r.outcome, r.took.Seconds(), t.rows[at.row].name, at.variant, r.reason)
}

// try runs a row once.
func (t *table) try(ctx context.Context, row int, c *column, v variant) (r result) {
	if c.skip != "" {
		return result{outcome: skipping, reason: c.skip}
	}
	p := t.places[plain]
	if v == overTLS {
		p = t.places[overTLS]
	}
	s := &scene{
		place: p, client: c.client(v), name: c.name, hub: hubName(row, c, v), clients: map[string]client{}, tools: t.tools,
	}
	if err := t.furnish(s, v); err != nil {
		return result{outcome: skipping, reason: err.Error()}
	}
	for _, other := range t.columns {
		if other.skip == "" {
			s.clients[other.name] = other.client(v)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(t.rows[row].time, t.rowTime))
	defer cancel()
	began := time.Now()
	err := t.rows[row].run(ctx, s)
	r = result{outcome: passing, notes: s.notes, transcript: s.transcript, took: time.Since(began)}
	if err != nil {
		r.outcome, r.reason = failing, err.Error()
	}
	var f *fault
	if errors.As(err, &f) && f.Kind == kindUnsupported {
		r.outcome, r.reason = skipping, f.Text
	}
	return r
}

// furnish chooses the storage account for a row.
func (t *table) furnish(s *scene, v variant) error {
	switch {
	case v != azurite:
		s.account = t.places[plain].store
	case t.noAzurite != nil:
		return fmt.Errorf("Azurite: %w", t.noAzurite)
	default:
		s.account = t.azurite.connectionString(checkpointAccount, checkpointKey())
		s.tests = t.azurite.connectionString(testAccount, testKey)
	}
	return nil
}

// missing names something that the table needs to be complete, or returns "".
func (t *table) missing() string {
	for _, c := range t.columns {
		if c.skip != "" {
			return c.name
		}
	}
	switch {
	case len(t.columns) < len(columns()):
		return "every client"
	case len(t.rows) < len(rows()):
		return "every row"
	case t.noAzurite != nil:
		return "Azurite"
	}
	return ""
}

func (t *table) count(o outcome) (n int) {
	t.resultsMu.Lock()
	defer t.resultsMu.Unlock()
	for _, r := range t.results {
		if r.outcome == o {
			n++
		}
	}
	return n
}

// close ends the clients and then the namespaces.
func (t *table) close() {
	var all sync.WaitGroup
	for _, c := range t.columns {
		all.Go(c.close)
	}
	all.Wait()
	if t.azurite != nil {
		t.azurite.close()
	}
	for _, p := range t.places {
		p.server.Close()
	}
}
