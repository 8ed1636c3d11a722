package kit

import (
	"context"
	"errors"
	"math"
	"time"
)

// How often a condition is looked at: the more seldom, the longer it is waited for and the longer a
// look takes, because those who look take the processor from those whom they wait for.
const (
	pollInterval    = 10 * time.Millisecond
	longestInterval = 250 * time.Millisecond
)

// Patience is the deadline for what should happen soon. It is long, because machines that test are
// busy; a test that passes does not wait for it.
const Patience = 60 * time.Second

// TB is what the kit needs of testing.TB.
type TB interface {
	Helper()
	Name() string
	Context() context.Context
	Cleanup(f func())
	TempDir() string
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Failed() bool
}

// Eventually polls check until it returns nil. When that takes longer than within, the test fails
// with the last error.
func Eventually(t TB, within time.Duration, check func() error) {
	t.Helper()
	if err := poll(t.Context(), within, func() (int, error) { return 0, check() }); err != nil {
		t.Fatalf("not within %s: %v", within, err)
	}
}

// Progress is Eventually for what takes as long as there is much of it: the test fails with check's
// last error once the number that it returns has not risen for Patience, however slow the machine.
func Progress(t TB, check func() (int, error)) {
	t.Helper()
	if err := poll(t.Context(), Patience, check); err != nil {
		t.Fatalf("no progress within %s: %v", Patience, err)
	}
}

// poll returns nil once check does, and check's error when its number has not risen for so long.
func poll(ctx context.Context, within time.Duration, check func() (int, error)) error {
	began := time.Now()
	most, until := math.MinInt, began.Add(within)
	for {
		looked := time.Now()
		n, err := check()
		if err == nil {
			return nil
		}
		now := time.Now()
		if n > most {
			most, until = n, now.Add(within)
		}
		if !now.Before(until) {
			return err
		}
		pause := min(longestInterval, max(pollInterval, now.Sub(began)/20, 4*now.Sub(looked)))
		select {
		case <-time.After(min(pause, until.Sub(now))):
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		}
	}
}
