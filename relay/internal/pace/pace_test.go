package pace_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tailpost/tailpost/relay/internal/pace"
)

func pauses(b *pace.Backoff, n int) []time.Duration {
	all := make([]time.Duration, n)
	for i := range all {
		all[i] = b.Next()
	}
	return all
}

func TestBackoff_doublesBetweenItsBounds(t *testing.T) {
	t.Parallel()
	b := &pace.Backoff{Least: time.Second, Most: 5 * time.Second}
	want := []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second}
	require.Equal(t, want, pauses(b, 5))
	b.Reset()
	require.Equal(t, want, pauses(b, 5), "from the start again")
}

func TestBackoff_zeroValuePausesToo(t *testing.T) {
	t.Parallel()
	got := pauses(&pace.Backoff{}, 10)
	require.Equal(t, pace.DefaultLeast, got[0])
	require.Equal(t, pace.DefaultMost, got[9])
	require.Equal(t, []time.Duration{time.Minute, time.Minute}, pauses(&pace.Backoff{Least: time.Minute}, 2))
	require.Equal(t, []time.Duration{pace.DefaultLeast, 150 * time.Millisecond}, pauses(&pace.Backoff{Most: 150 * time.Millisecond}, 2))
}

// TestBackoff_isNeverWithoutAPause: whatever its bounds, no pause is zero, none is shorter than the
// one before, and none is longer than the bound.
func TestBackoff_isNeverWithoutAPause(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := &pace.Backoff{
			Least: time.Duration(rapid.Int64().Draw(t, "least")), Most: time.Duration(rapid.Int64().Draw(t, "most")),
		}
		var last time.Duration
		for range 70 {
			next := b.Next()
			require.Positive(t, next)
			require.GreaterOrEqual(t, next, last)
			if b.Most > 0 {
				require.LessOrEqual(t, next, b.Most)
			}
			last = next
		}
	})
}

func TestRest_isAMultipleOfTheWork(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		rest pace.Rest
		took time.Duration
		want time.Duration
	}{
		"a multiple":                     {pace.Rest{Times: 9}, time.Second, 9 * time.Second},
		"at least":                       {pace.Rest{Times: 9, Least: time.Minute}, time.Second, time.Minute},
		"at most":                        {pace.Rest{Times: 9, Most: 2 * time.Second}, time.Second, 2 * time.Second},
		"less than at most":              {pace.Rest{Times: 9, Most: time.Minute}, time.Second, 9 * time.Second},
		"the bound holds the least too":  {pace.Rest{Least: time.Hour, Most: time.Second}, 0, time.Second},
		"the zero Rest":                  {pace.Rest{}, time.Second, time.Second},
		"work without a measurable time": {pace.Rest{Times: 4}, 0, time.Millisecond},
		"a clock that went back":         {pace.Rest{Times: 4}, -time.Hour, time.Millisecond},
		"more than a duration holds":     {pace.Rest{Times: 20}, math.MaxInt64 / 2, math.MaxInt64},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, test.rest.After(test.took))
		})
	}
}

func TestWaits_lastAsLongAsTheySay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		require.NoError(t, pace.Wait(t.Context(), time.Minute))
		require.Equal(t, time.Minute, time.Since(began))

		require.NoError(t, pace.Wait(t.Context(), -time.Minute))
		require.Equal(t, time.Minute, time.Since(began), "what is over is not waited for")

		b := &pace.Backoff{Least: time.Second, Most: time.Minute}
		require.NoError(t, b.Wait(t.Context()))
		require.NoError(t, b.Wait(t.Context()))
		require.Equal(t, time.Minute+3*time.Second, time.Since(began))

		work := time.Now()
		require.NoError(t, pace.Wait(t.Context(), time.Second))
		require.NoError(t, pace.Rest{Times: 4}.Wait(t.Context(), work))
		require.Equal(t, 5*time.Second, time.Since(work))
	})
}

func TestWaits_endWithTheirContext(t *testing.T) {
	t.Parallel()
	why := errors.New("the slot is lost")
	for name, wait := range map[string]func(context.Context) error{
		"Wait":         func(ctx context.Context) error { return pace.Wait(ctx, time.Hour) },
		"Backoff.Wait": func(ctx context.Context) error { return (&pace.Backoff{Least: time.Hour}).Wait(ctx) },
		"Rest.Wait":    func(ctx context.Context) error { return pace.Rest{Least: time.Hour}.Wait(ctx, time.Now()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				began := time.Now()
				time.AfterFunc(time.Minute, func() { cancel(why) })
				require.ErrorIs(t, wait(ctx), why)
				require.Equal(t, time.Minute, time.Since(began))
				require.ErrorIs(t, wait(ctx), why, "at once, now")
				require.ErrorIs(t, pace.Wait(ctx, 0), why)
				require.Equal(t, time.Minute, time.Since(began))
			})
		})
	}
}

func TestLaterAndSooner(t *testing.T) {
	t.Parallel()
	never, one, two := time.Time{}, time.Unix(1, 0), time.Unix(2, 0)
	for _, test := range []struct{ a, b, later, sooner time.Time }{
		{one, two, two, one},
		{two, one, two, one},
		{never, one, one, one},
		{one, never, one, one},
		{never, never, never, never},
	} {
		require.Equal(t, test.later, pace.Later(test.a, test.b), "later of %s and %s", test.a, test.b)
		require.Equal(t, test.sooner, pace.Sooner(test.a, test.b), "sooner of %s and %s", test.a, test.b)
	}
}
