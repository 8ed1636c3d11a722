package kit

import (
	"context"
	"errors"
	"time"
)

// pollInterval is how often a condition is looked at.
const pollInterval = 10 * time.Millisecond

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
	if err := poll(t.Context(), within, check); err != nil {
		t.Fatalf("not within %s: %v", within, err)
	}
}

func poll(ctx context.Context, within time.Duration, check func() error) error {
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return err
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		}
	}
}
