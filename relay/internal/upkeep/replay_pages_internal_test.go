package upkeep

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/scan"
)

// next returns what is left of the replay as the table has it, as any relay would find it; nil: it
// is over.
func (b *againBundle) next(t *testing.T) *ledger.Replay {
	t.Helper()
	open, err := b.ledger.Replays(t.Context())
	require.NoError(t, err)
	if len(open) == 0 {
		return nil
	}
	return &open[0]
}

// finish has the replay carried out to its end.
func (b *againBundle) finish(t *testing.T) {
	t.Helper()
	for range 50 {
		r := b.next(t)
		if r == nil {
			return
		}
		went, err := b.replayer().step(t.Context(), r)
		require.NoError(t, err)
		require.True(t, went)
	}
	t.Fatal("the replay comes to no end")
}

// searched has the replay begin and search for what is missing, and returns it.
func (b *againBundle) searched(t *testing.T) *ledger.Replay {
	t.Helper()
	for range 50 {
		r := b.next(t)
		require.NotNil(t, r, "it ended before it had searched")
		if r.Searched {
			return r
		}
		_, err := b.replayer().step(t.Context(), r)
		require.NoError(t, err)
	}
	t.Fatal("the search comes to no end")
	return nil
}

// queued are the ids of what waits for the endpoint, in its order.
func (b *againBundle) queued(t *testing.T) string {
	t.Helper()
	return b.text(t, "SELECT COALESCE(string_agg(event_id, ' ' ORDER BY commit_lsn, seq, event_id), '') FROM tailpost.delivery")
}

// counted are the numbers of the replay.
func (b *againBundle) counted(t *testing.T) string {
	t.Helper()
	return b.text(t, `SELECT format('%s: total %s, done %s, queued %s, unreadable %s, missing %s', state, total, done, queued, unreadable, missing) FROM tailpost.replay`)
}

// A replay queues what its range has, in the order of its endpoint, and its numbers are about that
// range.
func TestAReplayQueuesWhatItsRangeHas(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	noon := day.Add(12 * time.Hour)
	for name, test := range map[string]struct {
		ordering      config.Ordering
		types         string
		since         *time.Time
		untimed, days bool
		want, numbers string
	}{
		"all, by key":                  {ordering: config.OrderingNone, types: "{}", want: "a b c d", numbers: "total 5, done 5, queued 4, unreadable 1"},
		"of types":                     {ordering: config.OrderingNone, types: "{order.*}", want: "a b d", numbers: "total 4, done 4, queued 3, unreadable 1"},
		"since a time, with it":        {ordering: config.OrderingNone, types: "{}", since: &day, want: "a c", numbers: "total 3, done 3, queued 2, unreadable 1"},
		"all, in the order of times":   {ordering: config.OrderingStrict, types: "{}", want: "d b a c", numbers: "total 5, done 5, queued 4, unreadable 1"},
		"since the beginning of a day": {ordering: config.OrderingNone, types: "{}", since: &day, days: true, want: "a c", numbers: "total 3, done 3, queued 2, unreadable 1"},
		"since within a day":           {ordering: config.OrderingNone, types: "{}", since: &noon, days: true, want: "a c", numbers: "total 3, done 3, queued 2, unreadable 1"},
		"in order since within a day":  {ordering: config.OrderingStrict, types: "{}", since: &noon, days: true, want: "a c", numbers: "total 3, done 3, queued 2, unreadable 1"},
		"in an order, without a time":  {ordering: config.OrderingKey, types: "{}", untimed: true, want: "a b c d", numbers: "total 5, done 5, queued 4, unreadable 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupAgain(t, func(e *dispatch.Endpoint) { e.Config.Ordering = test.ordering })
			b.exec(t, `
				TRUNCATE public.events;
				ALTER TABLE public.events ADD headers json;
				INSERT INTO public.events VALUES
					('a', 'order.created', '{}', '2026-03-02Z', NULL), ('b', 'order.paid', '{}', '2026-03-01Z', NULL),
					('c', 'user.created', '{}', '2026-03-03Z', NULL), ('d', 'order.created', '{}', NULL, NULL),
					('e', 'order.paid', '{}', '2026-03-04Z', '[1]')`)
			b.mapping.Headers = "headers"
			if test.days {
				b.exec(t, "SET timezone = 'UTC'; ALTER TABLE public.events ALTER created_at TYPE date")
				b.mapping.TimeZone = "UTC"
			}
			if test.untimed {
				b.mapping.CreatedAt = ""
			}
			b.replay(t, "erp", test.types, test.since)
			b.finish(t)
			require.Equal(t, test.want, b.queued(t))
			require.Equal(t, "true", b.text(t, "SELECT bool_and(search = ARRAY['id=' || event_id])::text FROM tailpost.delivery"), "whoever searches for it finds what waits")
			require.Equal(t, "done: "+test.numbers+", missing 0", b.counted(t))
			sorted := test.ordering == config.OrderingStrict // a page in no order, or by key alone, needs no sorting
			require.Equal(t, fmt.Sprint(sorted), b.text(t, "SELECT in_order::text FROM tailpost.replay"))
		})
	}
}

// A replay that is broken off in the middle of a page, by whatever cause, is gone on with there: no
// event is left out, none comes twice, and later ones stay behind earlier ones.
func TestAReplayThatIsBrokenOffGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	for _, ordering := range []config.Ordering{config.OrderingNone, config.OrderingStrict} {
		t.Run(string(ordering), func(t *testing.T) {
			t.Parallel()
			b := setupAgain(t, func(e *dispatch.Endpoint) { e.Config.Ordering = ordering })
			// Two of them are as much as is queued at once.
			b.exec(t, `
				TRUNCATE public.events;
				ALTER TABLE public.events ALTER payload SET STORAGE EXTERNAL`)
			b.exec(t, `
				INSERT INTO public.events
				SELECT 'e' || n, 'order.created', to_json(repeat('x', $1::int)), '2026-03-01'::timestamptz + n * interval '1s'
				FROM generate_series(1, 6) AS n`, pageBytes/2+1000)
			b.replay(t, "erp", "{}", nil)
			b.exec(t, "ALTER TABLE tailpost.delivery ADD CONSTRAINT fault CHECK (event_id <> 'e3')")
			var err error
			for err == nil {
				r := b.next(t)
				require.NotNil(t, r, "it is broken off")
				_, err = b.replayer().step(t.Context(), r)
			}
			require.ErrorContains(t, err, "fault")
			require.Equal(t, "e1 e2", b.queued(t))
			b.exec(t, "ALTER TABLE tailpost.delivery DROP CONSTRAINT fault")
			b.finish(t)
			require.Equal(t, "e1 e2 e3 e4 e5 e6", b.queued(t))
			require.Equal(t, "done: total 6, done 6, queued 6, unreadable 0, missing 0", b.counted(t))
		})
	}
}

// What was attempted and is gone from the table cannot be replayed, and is listed: also what went
// while the replay was on its way.
func TestAReplaySaysWhatIsGone(t *testing.T) {
	t.Parallel()
	b := setupAgain(t)
	require.NoError(t, b.ledger.EnsurePartitions(t.Context(), time.Now()))
	b.exec(t, `
		INSERT INTO tailpost.attempt (event_id, event_type, endpoint_id, number, trigger, url, outcome, duration_ms, attempted_at, commit_lsn)
		SELECT id, 'order.created', 'erp', 1, 'stream', 'https://example.com/in', 'delivered', 1, now() - interval '1s', '0/10'
		FROM unnest(ARRAY['before', 'e1', 'e2']) AS id`)
	b.replay(t, "erp", "{}", nil)
	b.searched(t)
	require.Empty(t, b.queued(t), "what is missing is known before anything is queued")
	b.exec(t, "DELETE FROM public.events WHERE id = 'e2'")
	b.finish(t)
	require.Equal(t, "e1", b.queued(t))
	require.Equal(t, "before e2", b.text(t, "SELECT string_agg(event_id, ' ' ORDER BY event_id) FROM tailpost.replay_missing"))
	require.Equal(t, "done: total 2, done 1, queued 1, unreadable 0, missing 2", b.counted(t))
}

// However many rows there are and however large, what is read and queued at once is bounded, and
// all of them are gone through.
func TestAReplayTakesSoMuchAtOnce(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]func(n int) int{
		"small":          func(int) int { return 10 },
		"large":          func(int) int { return pageBytes / 3 },
		"of every kind":  func(n int) int { return 1 << (n % 22) },
		"one is a giant": func(n int) int { return n % 2 * 10 * pageBytes },
	} {
		rows := make([]scan.Row, 3*pageRows+7)
		for i := range rows {
			rows[i] = scan.Row{RowPlace: scan.RowPlace{ID: fmt.Sprint(i)}, Type: "order.paid", Size: size(i)}
		}
		rg := scan.Range{Wants: func(string) bool { return true }}
		for rest := rows; len(rest) > 0; {
			chunk, places, wanted := cut(rest, rg)
			require.NotEmpty(t, chunk, name)
			require.Len(t, places, len(chunk), name)
			require.Len(t, wanted, len(chunk), name)
			require.LessOrEqual(t, len(chunk), pageRows, name)
			before := 0 // of all but the last
			for _, row := range chunk[:len(chunk)-1] {
				before += row.Size
			}
			require.Less(t, before, pageBytes, name)
			rest = rest[len(chunk):]
		}
	}
}

// An event of a table without times has that of its commit, where the server remembers it, and
// places follow one another over the pages.
func TestAReplayedEventHasItsTimeAndPlace(t *testing.T) {
	t.Parallel()
	b := setupAgain(t)
	committed, own := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	later := time.Now().Add(time.Hour)
	rows := []scan.Row{
		{RowPlace: scan.RowPlace{ID: "a"}, CreatedAt: committed}, {RowPlace: scan.RowPlace{ID: "b"}, CreatedAt: committed}, {RowPlace: scan.RowPlace{ID: "c"}},
	}
	found := []scan.Found{
		{Event: outbox.Event{ID: "c", Type: "order.paid", DeliverAt: later}}, {Event: outbox.Event{ID: "b", Type: "order.paid", CreatedAt: own}}, {Event: outbox.Event{ID: "a", Type: "order.paid"}},
	}
	began := time.Now()
	st := b.replayer().deliveries(&ledger.Replay{EndpointID: "erp", Place: 77, Done: 40}, found, rows, map[string]int{"a": 0, "b": 1, "c": 2})
	require.Len(t, st.Deliveries, 3)
	for n, want := range []struct {
		id string
		at time.Time
	}{{"a", committed}, {"b", own}, {"c", time.Time{}}} {
		d := &st.Deliveries[n]
		ev := &d.Event
		require.Equal(t, want.id, ev.ID)
		require.Equal(t, outbox.Pending, d.State)
		if ev.DeliverAt.IsZero() {
			require.Equal(t, outbox.ReasonReplay, d.Reason)
		} else {
			require.Equal(t, outbox.ReasonScheduled, d.Reason)
			require.Equal(t, later, d.NextAttemptAt, "a replay sends nothing before its time")
		}
		require.EqualValues(t, 77, ev.CommitLSN)
		require.EqualValues(t, 40+n, ev.Seq)
		if want.at.IsZero() {
			require.False(t, ev.CreatedAt.Before(began), "nothing tells: now")
			continue
		}
		require.True(t, want.at.Equal(ev.CreatedAt), "%s: %s", want.id, ev.CreatedAt)
	}
}

// sending runs the bundle's dispatcher and returns the ids of what it sends.
func (b *againBundle) sending(t *testing.T) <-chan string {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context())) // until what is sent is recorded
	done := make(chan error, 1)
	go func() { done <- b.dispatcher.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-done)
	})
	return b.sent
}

// sends waits until all of some ids were sent.
func sends(t *testing.T, sent <-chan string, want ...string) {
	t.Helper()
	var got []string
	for range want {
		select {
		case id := <-sent:
			got = append(got, id)
		case <-time.After(30 * time.Second):
			require.Fail(t, "nothing more is sent", "%v of %v", got, want)
		}
	}
	slices.Sort(got)
	require.Equal(t, want, got)
}

// What a page has queued is sent at once: also where the page was committed and not heard of, so
// that it looks as if it had been done already.
func TestWhatAReplayQueuesIsSentAtOnce(t *testing.T) {
	t.Parallel()
	for name, unheard := range map[string]bool{"heard of": false, "not heard of": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupAgain(t)
			b.replay(t, "erp", "{}", nil)
			page := b.searched(t)
			want := error(nil)
			if unheard {
				again := *page
				_, err := b.replayer().step(t.Context(), &again) // nobody runs the dispatcher yet
				require.NoError(t, err)
				b.dispatcher = b.dispatching(t)
				want = ledger.ErrOver
			}
			sent := b.sending(t)
			_, err := b.replayer().step(t.Context(), page)
			require.ErrorIs(t, err, want)
			sends(t, sent, "e1", "e2")
		})
	}
}
