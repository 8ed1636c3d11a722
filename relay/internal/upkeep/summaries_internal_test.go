package upkeep

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/pace"
)

// summing summarises in a bubble until the test is over; made counts how often.
func summing(t *testing.T, takes time.Duration, log zerolog.Logger, err error) (s *summaries, made *atomic.Int32) {
	t.Helper()
	made = new(atomic.Int32)
	s = &summaries{wake: NewSignal(), log: log}
	s.summarize = func(ctx context.Context) error {
		if pace.Wait(ctx, takes) == nil {
			made.Add(1)
		}
		return err
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	return s, made
}

func TestAttemptsAreSummarisedOnceThereAreMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, made := summing(t, 0, zerolog.Nop(), nil)
		s.committed(summaryRows - 1)
		pass(t, 24*time.Hour)
		require.Zero(t, made.Load(), "too few to slow a search down")
		s.committed(1)
		pass(t, 0)
		require.EqualValues(t, 1, made.Load())
		pass(t, 24*time.Hour)
		s.committed(summaryRows - 1)
		pass(t, 24*time.Hour)
		require.EqualValues(t, 1, made.Load(), "they are counted from the last summary on")
	})
}

func TestSummariesTakeATwentiethOfTheTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, made := summing(t, time.Second, zerolog.Nop(), nil)
		for range 210 {
			s.committed(summaryRows)
			pass(t, time.Second)
		}
		require.InDelta(t, 10, made.Load(), 1)
	})
}

func TestSummariesThatAreRefusedAreToldOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s, made := summing(t, 0, zerolog.New(&log).Level(zerolog.WarnLevel), &pgconn.PgError{Code: "42501"})
		for range 5 {
			s.committed(summaryRows)
			pass(t, time.Minute)
		}
		require.EqualValues(t, 5, made.Load())
		require.Equal(t, 1, bytes.Count(log.Bytes(), []byte("migrate --print")))
	})
}
