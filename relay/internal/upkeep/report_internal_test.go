package upkeep

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/pace"
)

func TestRetentionRunsAsOftenAsRowsAreKeptBriefly(t *testing.T) {
	t.Parallel()
	for kept, want := range map[time.Duration]time.Duration{
		0: time.Hour, time.Minute: 10 * time.Second, 100 * time.Second: 10 * time.Second, 10 * time.Minute: time.Minute,
		10 * time.Hour: time.Hour, 1000 * time.Hour: time.Hour,
	} {
		require.Equal(t, want, retentionPause(kept), "rows are kept for %s", kept)
	}
}

// A right that is missing is missing at every run: the log says so once, and what to do. What else
// fails may be over by the next run, and is said each time.
func TestRetentionSaysOnceThatItMayNotDelete(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	k := &keeper{log: zerolog.New(&log)}
	lines := func() int { return strings.Count(log.String(), "\n") }
	k.report(t.Context(), "outbox", nil)
	require.Zero(t, lines())
	for range 3 {
		k.report(t.Context(), "outbox", &pgconn.PgError{Code: "42501"})
	}
	require.Equal(t, 1, lines())
	require.Contains(t, log.String(), "GRANT DELETE")
	for range 2 {
		k.report(t.Context(), "outbox", errors.New("deadlock detected"))
	}
	require.Equal(t, 3, lines())
	over, cancel := context.WithCancel(t.Context())
	cancel()
	k.report(over, "outbox", errors.New("canceled"))
	require.Equal(t, 3, lines(), "a relay that stops has nothing to say of what it broke off")
}

// What is old goes in small statements with rests between them, until there is no more; the log
// says how much it was, and nothing where there was nothing.
func TestRetentionGoesOnUntilThereIsNoMore(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		pages []int64
		want  string
	}{"nothing": {[]int64{0}, ""}, "one page": {[]int64{7}, `"rows":7,`}, "three": {[]int64{500, 500, 1}, `"rows":1001,`}} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			k := &keeper{log: zerolog.New(&log)}
			calls, began := 0, time.Now()
			require.NoError(t, k.again(t.Context(), "resends", func() (int64, bool, error) {
				require.NoError(t, pace.Wait(t.Context(), time.Second), "what the statement takes")
				calls++
				return test.pages[calls-1], calls < len(test.pages), nil
			}), name)
			require.Equal(t, len(test.pages), calls, name)
			require.Contains(t, log.String(), test.want, name)
			require.Equal(t, test.want == "", log.Len() == 0, name)
			rests := time.Duration(len(test.pages)-1) * retentionPace * time.Second
			require.Equal(t, time.Duration(len(test.pages))*time.Second+rests, time.Since(began), name)
		})
	}
	failed := errors.New("no database")
	k := &keeper{log: zerolog.Nop()}
	require.ErrorIs(t, k.again(t.Context(), "resends", func() (int64, bool, error) { return 0, true, failed }), failed)
}
