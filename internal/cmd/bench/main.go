// Command bench compares this library with hand-written programs on the raw SDK, as "make bench". Both do the same work
// against the same local server, in one process and one run. They take turns for several rounds, and the medians count.
// The raw programs are in raw_send.go and raw_receive.go.
//
// It prints one line for each figure. "sdk=-" means that the SDK has nothing to compare with.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"runtime/pprof"
	"syscall"
)

// row is one figure: what it measures, and the target that it must reach.
type row struct {
	name   string
	rounds int
	target target
	// setup makes what both sides work on. The cleanup, unless it is nil, is called after the last round, and after a
	// setup that failed.
	setup func(ctx context.Context) (s sides, cleanup func(), err error)
}

// sides are the two programs that are compared. Each call does the work once, and returns its figure.
type sides struct {
	ours, sdk func(ctx context.Context) (float64, error) // sdk may be nil
}

func main() {
	log.SetFlags(0)
	if len(os.Args) == 3 && os.Args[1] == serveCommand {
		if err := serve(os.Args[2]); err != nil {
			log.Fatalf("bench: %v", err)
		}
		return
	}
	if what := os.Getenv(bubbleVariable); what != "" {
		beBubble(what)
	}
	o := options{}
	flag.StringVar(&o.only, "only", "", `measure one side: "ours" or "sdk"`)
	run := flag.String("run", "", "measure the rows whose name matches a regular expression")
	out := flag.String("out", "", "write the figures to a file as well, in JSON")
	profile := flag.String("cpuprofile", "", "write a CPU profile of the whole run to a file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := o.parse(*run)
	if err == nil {
		err = profiled(*profile, func() error { return o.measureAll(ctx, rows(), *out) })
	}
	stop()
	if err != nil {
		log.Fatalf("bench: %v", err)
	}
}

// rows are all figures, in the order in which they are printed.
func rows() (all []row) {
	for _, some := range [][]row{
		sendRows(), receiveRows(), concurrencyRows(), latencyRows(), partitionRows(), storageRows(), hourRows(),
		serverRows(), clientRows(),
	} {
		all = append(all, some...)
	}
	return all
}

// options say which rows are measured.
type options struct {
	run  *regexp.Regexp
	only string
}

func (o *options) parse(run string) (err error) {
	if o.only != "" && o.only != "ours" && o.only != "sdk" {
		return fmt.Errorf(`-only is %q: it must be "ours" or "sdk"`, o.only)
	}
	o.run, err = regexp.Compile(run)
	return err
}

// profiled does work and writes a CPU profile of it to a file, unless path is empty.
func profiled(path string, work func() error) error {
	if path == "" {
		return work()
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	err = work()
	pprof.StopCPUProfile()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// measureAll prints a line for each row, and writes all of them to a file unless out is empty.
func (o *options) measureAll(ctx context.Context, rows []row, out string) error {
	short := 0
	all := newReport()
	for _, r := range rows {
		if !o.run.MatchString(r.name) {
			continue
		}
		f, err := o.measure(ctx, r)
		if errors.Is(err, errLeftOut) {
			fmt.Printf("bench: %s: %v\n", r.name, err)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		fmt.Println(f.line(r))
		all.add(r, f)
		if !f.reaches(r.target) {
			short++
		}
	}
	fmt.Printf("bench: %d short\n", short)
	if out == "" {
		return nil
	}
	return all.write(out)
}

// measure runs both sides in turn. Who goes first changes from round to round.
func (o *options) measure(ctx context.Context, r row) (f figure, err error) {
	s, cleanup, err := r.setup(ctx)
	if cleanup != nil {
		defer cleanup()
	}
	if err != nil {
		return f, err
	}
	turns := []turn{{s.ours, &f.ours}, {s.sdk, &f.sdk}}
	for round := range r.rounds {
		for i := range turns {
			t := turns[(i+round)%2]
			if t.work == nil || o.only == "ours" && t.into != &f.ours || o.only == "sdk" && t.into != &f.sdk {
				continue
			}
			runtime.GC()
			v, err := t.work(ctx)
			if err != nil {
				return f, err
			}
			*t.into = append(*t.into, v)
		}
	}
	return f, nil
}

type turn struct {
	work func(context.Context) (float64, error)
	into *[]float64
}
