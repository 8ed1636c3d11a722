package upkeep

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/pace"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// watched is a publication as the database has it.
type watched struct {
	*publication

	mu       sync.Mutex
	identity string
	err      error
	looks    int
	ended    error
}

func (w *watched) look(context.Context) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looks++
	return w.identity, w.err
}

// set changes what the database has, or look at what came of it.
func (w *watched) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// watching watches in a bubble until the test is over.
func watching(t *testing.T) *watched {
	t.Helper()
	w := &watched{identity: "same"}
	w.publication = &publication{
		identity: "same", look: w.look, wake: NewSignal(), log: zerolog.Nop(),
		end: func(err error) { w.set(func() { w.ended = err }) },
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	return w
}

// pass lets time pass.
func pass(t *testing.T, d time.Duration) {
	t.Helper()
	require.NoError(t, pace.Wait(t.Context(), d))
	synctest.Wait()
}

func TestThePublicationIsLookedAtOnlyWhileWALIsWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watching(t)
		pass(t, time.Hour)
		w.set(func() { require.Zero(t, w.looks, "nothing has happened") })
		for p := range source.Position(1000) {
			w.moved(p + 1)
			pass(t, watchInterval/100)
		}
		pass(t, watchInterval)
		w.set(func() { require.InDelta(t, 10, w.looks, 1, "once an interval, however much is written") })
		looks := 0
		w.set(func() { looks = w.looks })
		for range 100 {
			w.moved(1000)
			pass(t, watchInterval)
		}
		w.set(func() {
			require.Equal(t, looks, w.looks, "the same position again is nothing new")
			require.NoError(t, w.ended)
		})
	})
}

func TestAnotherPublicationEndsTheHold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watching(t)
		w.set(func() { w.identity = "another" })
		w.moved(1)
		pass(t, watchInterval)
		w.set(func() { require.ErrorIs(t, w.ended, ErrPublicationChanged) })
	})
}

// The upkeep of a hold watches for it, and breaks that hold.
func TestTheUpkeepOfAHoldEndsItWithItsPublication(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		u := New(Options{Ledger: &ledger.Ledger{}, Publication: "same", Endpoints: "too", Standbys: "s1", End: func(err error) { ended <- err }, Logger: zerolog.Nop()})
		identity := "same too s1"
		u.publication.look = func(context.Context) (string, error) { return identity, nil }
		ctx, stop := context.WithCancel(t.Context())
		var watch sync.WaitGroup
		defer watch.Wait()
		defer stop()
		task := u.Tasks()[slices.IndexFunc(u.Tasks(), func(task Task) bool { return task.Name == "publication watch" })]
		watch.Go(func() { task.Run(ctx) })
		u.Moved(1)
		pass(t, watchInterval)
		require.Empty(t, ended, "it is the one that the stream was set up with")
		identity = "same another s1"
		u.Moved(2)
		pass(t, watchInterval)
		require.ErrorIs(t, <-ended, ErrPublicationChanged)
	})
}

func TestWALThatIsWrittenDuringALookBringsAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watching(t)
		w.publication.look = func(ctx context.Context) (string, error) {
			identity, err := w.look(ctx)
			w.set(func() { w.identity = "another" })
			w.moved(2) // what changed it came behind the look
			return identity, err
		}
		w.moved(1)
		pass(t, watchInterval)
		w.set(func() { require.NoError(t, w.ended) })
		pass(t, watchInterval)
		w.set(func() { require.ErrorIs(t, w.ended, ErrPublicationChanged) })
	})
}

func TestALookThatFailsIsMadeAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watching(t)
		w.set(func() { w.identity, w.err = "", errors.New("connection lost") })
		w.moved(1)
		pass(t, watchInterval)
		w.set(func() {
			require.Equal(t, 1, w.looks)
			require.NoError(t, w.ended, "an error says nothing about the publication")
			w.identity, w.err = "another", nil
		})
		pass(t, watchInterval)
		w.set(func() { require.ErrorIs(t, w.ended, ErrPublicationChanged) })
	})
}
