package source_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/source"
)

// barrierBundle is a hold with its barriers, and the names that went out to the source.
type barrierBundle struct {
	*source.Barriers

	sent  chan string
	ended chan source.Position
}

func setupBarriers(epoch int64) *barrierBundle {
	b := &barrierBundle{sent: make(chan string, 10), ended: make(chan source.Position, 10)}
	b.Barriers = source.NewBarriers(epoch, func(_ context.Context, name string) error {
		b.sent <- name
		return nil
	})
	return b
}

// wait has somebody wait for a barrier, and returns the name that was sent.
func (b *barrierBundle) wait(t *testing.T) string {
	t.Helper()
	go func() {
		if end, err := b.Wait(t.Context()); err == nil {
			b.ended <- end
		}
	}()
	return <-b.sent
}

// passed are the ends of the barriers that were passed since the last call.
func (b *barrierBundle) passed() (ends []source.Position) {
	synctest.Wait()
	for {
		select {
		case end := <-b.ended:
			ends = append(ends, end)
		default:
			return ends
		}
	}
}

func TestABarrierIsPassed(t *testing.T) {
	t.Parallel()

	t.Run("once the source has brought it and everything up to its end is settled", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setupBarriers(1)
			name := b.wait(t)
			require.Empty(t, b.passed(), "it was only sent")
			require.Zero(t, b.Awaited())
			b.Settled(100)
			require.Empty(t, b.passed(), "the source has not brought it")
			b.Seen(name, 200)
			b.Seen(name, 300)
			b.Seen(name, 400) // a source that starts again brings it again, and the first time counts
			require.Empty(t, b.passed(), "something before it may be unsettled")
			require.EqualValues(t, 200, b.Awaited())
			b.Settled(199)
			require.Empty(t, b.passed(), "its own transaction is not settled")
			b.Settled(200)
			require.Equal(t, []source.Position{200}, b.passed())
			require.Zero(t, b.Awaited(), "nobody waits any more")
		})
	})

	t.Run("each for itself, in the order of the source", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setupBarriers(1)
			first, second := b.wait(t), b.wait(t)
			require.NotEqual(t, first, second)
			b.Seen(first, 10)
			b.Seen(second, 20)
			b.Settled(10)
			require.Equal(t, []source.Position{10}, b.passed())
			b.Settled(30)
			require.Equal(t, []source.Position{20}, b.passed())
		})
	})

	t.Run("not by one of an earlier hold, which the source brings again", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			former := setupBarriers(1)
			old := former.wait(t)
			b := setupBarriers(2)
			require.NotEqual(t, old, b.wait(t))
			b.Seen(old, 10)
			b.Settled(100)
			require.Empty(t, b.passed())
		})
	})

	t.Run("not by what comes after the waiting has ended", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setupBarriers(1)
			ctx, cancel := context.WithCancelCause(t.Context())
			stop := errors.New("the hold ended")
			failed := make(chan error, 1)
			go func() {
				_, err := b.Wait(ctx)
				failed <- err
			}()
			name := <-b.sent
			cancel(stop)
			require.ErrorIs(t, <-failed, stop)
			b.Seen(name, 10)
			require.Zero(t, b.Awaited())
			b.Settled(10)
			next := b.wait(t)
			b.Seen(next, 20)
			b.Settled(20)
			require.Equal(t, []source.Position{20}, b.passed())
		})
	})
}

func TestABarrierThatCannotBeSentIsAnError(t *testing.T) {
	t.Parallel()
	lost := errors.New("connection lost")
	b := source.NewBarriers(1, func(context.Context, string) error { return lost })
	_, err := b.Wait(t.Context())
	require.ErrorIs(t, err, lost)
}
