package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

// options are what the command line asks for.
type options struct {
	n    int
	seed uint64
	only string
	list bool
	jobs int
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("mutants", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.n, "n", 0, "only this many, picked at random; 0: all")
	seed := flags.String("seed", "", "what picks them; empty: another one each time")
	flags.StringVar(&o.only, "only", "", "only these, separated by commas; a name that ends with * is a prefix")
	flags.BoolVar(&o.list, "list", false, "print the list and change nothing")
	flags.IntVar(&o.jobs, "j", runtime.NumCPU(), "how many to try at a time")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected %q: names of mutants go behind -only", flags.Arg(0))
	}
	o.seed = rand.Uint64N(1_000_000)
	if *seed != "" {
		n, err := strconv.ParseUint(*seed, 10, 64)
		if err != nil {
			return o, fmt.Errorf("read -seed: %w", err)
		}
		o.seed = n
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	chosen, err := pick(all(), o)
	if err != nil {
		return err
	}
	// Of a few, only those: whoever moves code tries their own list first. A test looks at all.
	checked := chosen
	if o.only == "" {
		checked = all()
	}
	if problems := check(checked, root); len(problems) > 0 {
		return errors.Join(problems...)
	}
	if o.list {
		for _, m := range chosen {
			fmt.Fprintf(stdout, "%s\t%s\t%s\n", m.name, m.file, m.promise)
		}
		return nil
	}
	trial := &trial{out: stdout}
	if err := trial.run(ctx, root, chosen, o.jobs); err != nil {
		return err
	}
	return trial.sum(len(chosen), o.seed)
}

// pick returns what the options ask for.
func pick(list []mutant, o options) ([]mutant, error) {
	if o.only == "" {
		return choose(list, o.n, o.seed), nil
	}
	var chosen []mutant
	for name := range strings.SplitSeq(o.only, ",") {
		before := len(chosen)
		for _, m := range list {
			if prefix, ok := strings.CutSuffix(name, "*"); m.name == name || ok && strings.HasPrefix(m.name, prefix) {
				chosen = append(chosen, m)
			}
		}
		if len(chosen) == before {
			return nil, fmt.Errorf("no mutant is named %s: -list prints the names", name)
		}
	}
	return choose(chosen, o.n, o.seed), nil
}

func shuffled(n int, seed uint64) []int {
	return rand.New(rand.NewPCG(seed, 0)).Perm(n)
}

// trial tries mutants and counts what came of them.
type trial struct {
	out io.Writer

	mu       sync.Mutex
	killed   int
	survived []string
	broken   []error
}

// run tries the mutants of a list in copies of the checkout, jobs of them at a time.
func (t *trial) run(ctx context.Context, root string, list []mutant, jobs int) error {
	scratch, err := os.MkdirTemp("", "tailpost-mutants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	// Postgres, which tests run as another user, must reach what they put beside them.
	if err := os.Chmod(scratch, 0o755); err != nil {
		return err
	}
	trees := make([]*tree, max(1, min(jobs, len(list))))
	for i := range trees {
		if trees[i], err = copyTree(ctx, root, filepath.Join(scratch, strconv.Itoa(i))); err != nil {
			return err
		}
	}
	if err := trees[0].sound(ctx, list); err != nil {
		return err
	}
	// Neighbours in the list break the same package: one worker after the other takes the next.
	next := make(chan mutant)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(next)
		for _, m := range list {
			select {
			case next <- m:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for _, copied := range trees {
		group.Go(func() error {
			for m := range next {
				if err := t.try(ctx, copied, m); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// try makes one change and notes what the tests say. An error ends the trial.
func (t *trial) try(ctx context.Context, in *tree, m mutant) error {
	began := time.Now()
	var passed bool
	var output string
	err := in.with(m, func() (err error) {
		passed, output, err = in.goTest(ctx, m.pkg, m.run, testTimeout)
		return err
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	took := time.Since(began).Round(100 * time.Millisecond)
	switch {
	case err != nil:
		t.broken = append(t.broken, fmt.Errorf("%s: %w\n%s", m.name, err, output))
		fmt.Fprintf(t.out, "error     %s (%s): %v\n", m.name, took, err)
	case passed:
		t.survived = append(t.survived, m.name)
		fmt.Fprintf(t.out, "SURVIVED  %s (%s): %s\n          %s; go test -run '%s' %s\n", m.name, took, m.promise, m.file, m.run, m.pkg)
	default:
		t.killed++
		by := took.String()
		if strings.Contains(output, "test timed out after") {
			by += ", a test hung: see that it does for this" // and not for a crowded machine
		}
		fmt.Fprintf(t.out, "killed    %s (%s)\n", m.name, by)
	}
	return nil
}

// sum prints the totals. An error names what has to be looked at.
func (t *trial) sum(n int, seed uint64) error {
	fmt.Fprintf(t.out, "mutants: %d tried, %d killed, %d survived, %d in error (seed %d)\n", n, t.killed, len(t.survived), len(t.broken), seed)
	errs := slices.Clone(t.broken)
	if len(t.survived) > 0 {
		errs = append(errs, errors.New("no test noticed "+strings.Join(t.survived, ", ")))
	}
	return errors.Join(errs...)
}
