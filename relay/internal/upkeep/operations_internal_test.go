package upkeep

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/pace"
)

// queueOf is what people asked for: each with the pages that are left of it.
type queueOf struct {
	mu    sync.Mutex
	pages map[string]int
	fails map[string]error // by id: why it cannot go on
	waits map[string]bool  // by id: for an endpoint that has enough to do
	began bool             // what cannot go on says that it has moved
	fail  error            // of looking for them
	done  []string         // ids of the pages that were done
	looks int
}

func (q *queueOf) find(context.Context) (all []operation, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.looks++
	for _, id := range []string{"a", "b", "c"} {
		if q.pages[id] > 0 {
			all = append(all, operation{id: id, step: func(context.Context) (bool, error) { return q.step(id) }})
		}
	}
	if q.fail != nil {
		return nil, q.fail
	}
	return all, nil
}

func (q *queueOf) step(id string) (bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.fails[id]; err != nil {
		if errors.Is(err, ledger.ErrOver) {
			q.pages[id] = 0
		}
		return q.began, err
	}
	if q.waits[id] {
		return false, nil
	}
	q.pages[id]--
	q.done = append(q.done, id)
	return true, nil
}

// after lets time pass and then looks at the queue.
func (q *queueOf) after(t *testing.T, d time.Duration, look func()) {
	t.Helper()
	require.NoError(t, pace.Wait(t.Context(), d))
	synctest.Wait()
	q.mu.Lock()
	defer q.mu.Unlock()
	look()
}

// running carries out operations in a bubble until the test is over.
func (q *queueOf) running(t *testing.T) (r *operations, ended <-chan struct{}) {
	t.Helper()
	r = &operations{what: "resends", wake: NewSignal(), find: q.find, log: zerolog.Nop()}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	synctest.Wait()
	return r, done
}

func TestOperationsTakeTurnsAndRestUntilTheyAreWoken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &queueOf{pages: map[string]int{"a": 3, "b": 1, "c": 2}}
		r, _ := q.running(t)
		looks := 0
		q.after(t, 0, func() {
			require.Equal(t, []string{"a", "b", "c", "a", "c", "a"}, q.done)
			looks = q.looks
		})
		q.after(t, 24*time.Hour, func() {
			require.Equal(t, looks, q.looks, "nothing is asked of the database while nothing is open")
			q.pages["b"] = 1
		})
		r.wake.Set()
		q.after(t, 0, func() { require.Zero(t, q.pages["b"]) })
	})
}

func TestOperationsGoOnBesideWhatFails(t *testing.T) {
	t.Parallel()
	for _, began := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			q := &queueOf{pages: map[string]int{"a": 1, "b": 100}, fails: map[string]error{"a": errors.New("locked")}, began: began}
			q.running(t)
			q.after(t, 100*operationPause, func() { require.Zero(t, q.pages["b"]) })
			// It is tried less and less often, but not given up.
			looks := 0
			q.after(t, 10*operationPauseMost, func() { looks = q.looks })
			q.after(t, 10*operationPauseMost, func() {
				require.Equal(t, 10, q.looks-looks)
				delete(q.fails, "a")
			})
			q.after(t, operationPauseMost, func() { require.Zero(t, q.pages["a"]) })
		})
	}
}

func TestOperationsGoOnBesideWhatWaits(t *testing.T) {
	t.Parallel()
	for _, waits := range []string{"a", "b", "c"} {
		synctest.Test(t, func(t *testing.T) {
			q := &queueOf{pages: map[string]int{"a": 3, "b": 3, "c": 3}, waits: map[string]bool{waits: true}}
			q.running(t)
			q.after(t, 0, func() { require.Len(t, q.done, 6, "at once, whichever waits") })
		})
	}
}

// What has waited for long is looked at seldom. Whoever asks for something new then waits no longer
// for it than whoever asked first.
func TestOperationsAreLookedAtSoonOnceTheyAreWoken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &queueOf{pages: map[string]int{"a": 1, "b": 0}, waits: map[string]bool{"a": true, "b": true}}
		r, _ := q.running(t)
		q.after(t, 10*operationPauseMost, func() { q.pages["b"] = 1 })
		r.wake.Set()
		q.after(t, operationPause/10, func() { delete(q.waits, "b") })
		q.after(t, 2*operationPause, func() { require.Equal(t, []string{"b"}, q.done) })
	})
}

// A database that cannot be asked for long is asked less and less often, but not given up: what was
// asked for is done though nobody asks for more.
func TestOperationsAreDoneThoughLookingForThemFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &queueOf{pages: map[string]int{"a": 1}, fail: errors.New("no database")}
		q.running(t)
		looks := 0
		q.after(t, 10*operationPauseMost, func() { looks = q.looks })
		q.after(t, 10*operationPauseMost, func() {
			require.Equal(t, 10, q.looks-looks)
			q.fail = nil
		})
		q.after(t, operationPauseMost, func() { require.Equal(t, []string{"a"}, q.done) })
	})
}

// What had to wait for long goes on with short pauses once it goes on: an endpoint may have room
// for a page at a time.
func TestOperationsPauseBrieflyOnceTheyGoOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &queueOf{pages: map[string]int{"a": 1, "b": 1}, waits: map[string]bool{"a": true, "b": true}}
		q.running(t)
		looks := 0
		q.after(t, 10*operationPauseMost, func() {
			delete(q.waits, "b")
			looks = q.looks
		})
		q.after(t, operationPauseMost, func() {
			require.Equal(t, []string{"b"}, q.done)
			require.Greater(t, q.looks-looks, 4)
		})
	})
}

func TestOperationsSayWhichOfThemFailed(t *testing.T) {
	t.Parallel()
	q := &queueOf{pages: map[string]int{"a": 1, "b": 1}, fails: map[string]error{"b": errors.New("locked")}}
	_, moved, err := (&operations{find: q.find}).round(t.Context())
	require.True(t, moved)
	require.EqualError(t, err, "b: locked")
}

func TestOperationsGoOnAtOnceAfterWhatWasCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &queueOf{pages: map[string]int{"a": 5, "b": 2}, fails: map[string]error{"a": ledger.ErrOver}}
		q.running(t)
		q.after(t, 0, func() { require.Equal(t, []string{"b", "b"}, q.done) })
	})
}

func TestOperationsLookForMoreAtOnceAfterWhatWasCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &queueOf{pages: map[string]int{"a": 1}, fails: map[string]error{"a": ledger.ErrOver}}
		q.running(t)
		q.after(t, 0, func() { require.Equal(t, 2, q.looks, "what came meanwhile waits for no pause") })
	})
}

func TestOperationsEndWhereAnotherRelayIsInCharge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &queueOf{pages: map[string]int{"a": 1, "b": 1}, fails: map[string]error{"a": fmt.Errorf("resend: %w", ledger.ErrDeposed)}}
		_, ended := q.running(t)
		<-ended
		require.Empty(t, q.done)
	})
}
