package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"syscall"

	"github.com/tailpost/tailpost/integration/pgserver"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	// The limit, the poller and NATS are this program again, as processes of their own.
	if len(args) > 0 {
		switch args[0] {
		case "post":
			return runPost(ctx, args[1:], stdout)
		case "poll":
			return runPoll(ctx, args[1:])
		case "nats":
			return runNATS(ctx, args[1:], stdout)
		}
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	binary := flags.String("bin", "bin/tailpost", "the tailpost binary")
	runs := flags.Int("runs", 3, "runs of every row")
	quick := flags.Bool("quick", false, "one run with less of everything, to see that nothing is far off")
	rows := flags.String("rows", ".", "only cases whose name matches this `expression`")
	verbose := flags.Bool("v", false, "print what the relay logs; it then serves profiles, and logs where")
	if err := flags.Parse(args); err != nil {
		return err
	}
	only, err := regexp.Compile(*rows)
	if err != nil {
		return fmt.Errorf("read -rows: %w", err)
	}
	if *quick {
		*runs = 1
	}
	b, err := newBench(ctx, *binary, *quick, *verbose, stderr)
	if err != nil {
		return err
	}
	err = b.all(ctx, only, *runs)
	if e := b.table.print(stdout); err == nil {
		err = e
	}
	return errors.Join(err, b.close())
}

// bench is what all cases share.
type bench struct {
	binary  string
	quick   bool
	verbose bool
	log     io.Writer
	dir     string
	server  *pgserver.Server
	sink    *sink // the receiver of the case that runs
	table   *table
	number  int // of databases made

	authority *authority
}

func newBench(ctx context.Context, binary string, quick, verbose bool, log io.Writer) (*bench, error) {
	if runtime.GOOS != "linux" {
		return nil, errors.New("CPU and memory are read from /proc: run this on Linux")
	}
	binary, err := filepath.Abs(binary)
	if err != nil {
		return nil, fmt.Errorf("find the binary: %w", err)
	}
	if _, err := os.Stat(binary); err != nil {
		return nil, fmt.Errorf("find the binary (make build): %w", err)
	}
	b := &bench{binary: binary, quick: quick, verbose: verbose, log: log, table: newTable()}
	if b.dir, err = os.MkdirTemp("", "tailpost-bench-"); err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	if b.authority, err = newAuthority(b.dir); err != nil {
		return nil, errors.Join(err, b.close())
	}
	if b.sink, err = newSink(ctx); err != nil {
		return nil, errors.Join(err, b.close())
	}
	b.server, err = pgserver.Start(ctx, pgserver.Options{Settings: map[string]string{
		"shared_buffers": "256MB", "max_wal_size": "8GB",
	}})
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *bench) close() error {
	var errs []error
	if b.sink != nil {
		errs = append(errs, b.sink.close())
	}
	if b.server != nil {
		errs = append(errs, b.server.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(b.dir))...)
}

// with runs a part of a case with a receiver of its own, which it closes.
func (b *bench) with(s *sink, part func() error) error {
	usual := b.sink
	b.sink = s
	err := part()
	b.sink = usual
	return errors.Join(err, s.close())
}

// all runs every wanted case as often as asked, one after the other within each run.
func (b *bench) all(ctx context.Context, only *regexp.Regexp, runs int) error {
	for n := range runs {
		for _, c := range cases() {
			if !only.MatchString(c.name) || (c.once && n > 0) {
				continue
			}
			fmt.Fprintf(b.log, "run %d of %d: %s\n", n+1, runs, c.name)
			if err := c.run(ctx, b); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return nil
}

// size is n, or a part of it in a quick run.
func (b *bench) size(n int) int {
	if b.quick {
		return n / 5
	}
	return n
}
