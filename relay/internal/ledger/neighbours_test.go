package ledger_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/scan"
)

// neighboursSQL writes rows of every state, each beside others that differ from it in one thing:
// the endpoint, the event, the state, the time, the key, the slot. Ours are endpoint erp and slot
// s.
const neighboursSQL = `
DELETE FROM tailpost.delivery;
DELETE FROM tailpost.gap;
DELETE FROM tailpost.replay_missing;
DELETE FROM tailpost.replay;
DELETE FROM tailpost.resend;
DELETE FROM tailpost.discarded;
DELETE FROM tailpost.endpoint_version;
DELETE FROM tailpost.endpoint;
DELETE FROM public.events;
DELETE FROM tailpost.relay WHERE slot = 'other';

INSERT INTO tailpost.delivery (event_id, endpoint_id, state, reason, attempts, next_attempt_at, event_type, key,
    event_created_at, commit_lsn, seq, created_at, updated_at)
SELECT d.event, e.endpoint, d.state, 'failed', 1, d.due, 'a', d.key, '2026-03-14 11:00Z', d.lsn, d.seq, '2026-03-14 11:00Z', d.changed
FROM (VALUES
    ('waits',        'pending', NULL::timestamptz,   'k',  '0/20'::pg_lsn, 0, '2026-03-14 11:00Z'::timestamptz),
    ('due',          'pending', '2026-03-14 12:00Z', 'k',  '0/30',         0, '2026-03-14 11:00Z'),
    ('same place',   'pending', '2026-03-14 12:00Z', 'k',  '0/30',         0, '2026-03-14 11:00Z'),
    ('later',        'pending', '2026-03-14 13:00Z', 'k',  '0/80',         0, '2026-03-14 11:00Z'),
    ('no key',       'pending', NULL,                NULL, '0/50',         0, '2026-03-14 11:00Z'),
    ('no key later', 'pending', '2026-03-14 14:00Z', NULL, '0/60',         0, '2026-03-14 11:00Z'),
    ('dead',         'dead',    NULL,                'k',  '0/5',          0, '2026-03-14 11:00Z'),
    ('dead, a time', 'dead',    '2026-03-14 12:01Z', 'k',  '0/6',          0, '2026-03-14 12:00Z'),
    ('dead, last',   'dead',    NULL,                'k',  '0/90',         0, '2026-03-14 12:00Z')
) AS d (event, state, due, key, lsn, seq, changed)
CROSS JOIN unnest('{erp,crm,*}'::text[]) AS e (endpoint);
UPDATE tailpost.delivery SET updated_at = '2026-03-14 12:00Z' WHERE event_id = 'dead' AND endpoint_id <> 'erp';
INSERT INTO tailpost.delivery (event_id, endpoint_id, state, reason, attempts, event_type, key, event_created_at, commit_lsn, seq, created_at, updated_at)
VALUES ('first elsewhere', 'crm', 'pending', 'order', 0, 'a', 'k', now(), '0/1',  0, now(), now()),
       ('last elsewhere',  'crm', 'pending', 'order', 0, 'a', 'k', now(), '0/99', 0, now(), now());

INSERT INTO tailpost.discarded VALUES ('e1', 'erp', '2026-03-14 11:00Z'), ('e1', 'crm', '2026-03-14 12:00Z'), ('e2', 'erp', '2026-03-14 12:00Z');

INSERT INTO tailpost.relay (slot, epoch, owner, system_id, timeline, batch, settled_lsn, updated_at, started_at, heal, heal_since, heal_from, heal_at, heal_gaps)
VALUES ('other', 1, 'host:9', '7', 1, 3, '0/7', '2026-03-14 11:00Z', '2026-03-14 11:00Z', 'another gap', '2026-03-14 10:00Z', '0/3', '2026-03-14 11:00Z', '{2026-03-14 12:30Z}');
INSERT INTO tailpost.gap (slot, why, from_lsn, to_lsn, events, deliveries, detected_at, at)
VALUES ('s', 'lost', '0/1', '0/2', 1, 1, '2026-03-14 11:50Z', '2026-03-14 11:50Z'), ('other', 'lost elsewhere', '0/1', '0/2', 1, 1, '2026-03-14 12:20Z', '2026-03-14 12:40Z');

INSERT INTO tailpost.replay (id, endpoint_id, types, until, state, total, done, missing, place, created_at, updated_at)
SELECT r.id, r.endpoint, '{}', '2026-03-14 13:00Z', r.state, 9, 4, r.missing, CASE WHEN r.state <> 'pending' THEN '0/40'::pg_lsn END, r.at, r.at
FROM (VALUES
    ('over',       'erp', 'done',      3,                '2026-03-14 10:00Z'::timestamptz),
    ('cancelled',  'erp', 'cancelled', 3,                '2026-03-14 11:00Z'),
    ('waits',      'erp', 'pending',   NULL,             '2026-03-14 11:40Z'),
    ('ours',       'erp', 'running',   3,                '2026-03-14 11:30Z'),
    ('theirs',     'crm', 'running',   3,                '2026-03-14 11:30Z'),
    ('many',       'shop', 'running',  10001,            '2026-03-14 11:30Z'),
    ('again',      'b2b', 'running',   3,                '2026-03-14 11:30Z'),
    ('after that', 'crm', 'pending',   NULL,             '2026-03-14 11:40Z')
) AS r (id, endpoint, state, missing, at);
UPDATE tailpost.replay SET missing_again = true WHERE id = 'again';

INSERT INTO tailpost.resend (id, selection, state, created_at, updated_at)
SELECT r.id, '{"state": "dead", "endpoint_id": "erp"}', r.state, r.at, r.at
FROM (VALUES ('over', 'done', '2026-03-14 10:00Z'::timestamptz), ('cancelled', 'cancelled', '2026-03-14 11:00Z'), ('after that', 'pending', '2026-03-14 11:40Z'), ('ours', 'pending', '2026-03-14 11:30Z')) AS r (id, state, at);

INSERT INTO tailpost.endpoint (id, name, url, subscriptions, policy, status, failing_since, source, secrets, created_at, updated_at)
VALUES ('erp', 'erp', 'https://erp.example', '[]', '{"sealed": "before"}', 'active', '2026-03-14 11:00Z', 'api', '\x01', now(), now()),
       ('crm', 'crm', 'https://crm.example', '[]', '{"sealed": "now"}', 'active', '2026-03-14 11:00Z', 'api', '\x02', now(), now()),
       ('declared', 'declared', 'https://declared.example', '[]', '{}', 'active', NULL, 'config', NULL, now(), now());
INSERT INTO tailpost.endpoint_version (endpoint_id, commit_lsn, seq, "row")
SELECT v.id, v.lsn, v.seq, jsonb_build_object('name', 'n', 'url', 'u', 'description', '', 'subscriptions', '[]'::jsonb, 'policy', jsonb_build_object('sealed', v.sealed), 'secrets', 'AQ==')
FROM (VALUES
    ('erp', '0/10'::pg_lsn, 0, 'now'), ('erp', '0/10', 1, 'before'), ('erp', '0/20', 1, 'now'), ('crm', '0/10', 1, 'now'), ('crm', '0/24', 0, 'now'),
    ('declared', '0/10', 0, 'now')
) AS v (id, lsn, seq, sealed);`

// allRowsSQL names every row of what a relay writes, and tells what it says.
const allRowsSQL = `
SELECT 'delivery ' || event_id || ' of ' || endpoint_id, x::text FROM tailpost.delivery AS x
UNION ALL SELECT 'discarded ' || event_id || ' of ' || endpoint_id, x::text FROM tailpost.discarded AS x
UNION ALL SELECT 'slot ' || slot, x::text FROM tailpost.relay AS x
UNION ALL SELECT 'gap of ' || slot || ': ' || why, x::text FROM tailpost.gap AS x
UNION ALL SELECT 'replay ' || id, x::text FROM tailpost.replay AS x
UNION ALL SELECT 'missing ' || event_id || ' of ' || replay_id, x::text FROM tailpost.replay_missing AS x
UNION ALL SELECT 'resend ' || id, x::text FROM tailpost.resend AS x
UNION ALL SELECT 'endpoint ' || id, x::text FROM tailpost.endpoint AS x
UNION ALL SELECT concat_ws(' ', 'version', endpoint_id, commit_lsn, seq), x::text FROM tailpost.endpoint_version AS x
UNION ALL SELECT 'event ' || id, x::text FROM public.events AS x`

// changes lists what differs: + is new, - is gone, ~ says something else.
func changes(before, after map[string]string) []string {
	list := []string{}
	for name, text := range after {
		was, known := before[name]
		switch {
		case !known:
			list = append(list, "+ "+name)
		case was != text:
			list = append(list, "~ "+name)
		}
	}
	for name := range before {
		if _, there := after[name]; !there {
			list = append(list, "- "+name)
		}
	}
	slices.Sort(list)
	return list
}

// neighbourhood is a database full of neighbours, whose slot s is held.
type neighbourhood struct {
	*bundle

	before, hold ledger.Hold // one that is over, and the last one
	table        *scan.Table
}

func setupNeighbours(t *testing.T) *neighbourhood {
	t.Helper()
	n := &neighbourhood{bundle: setup(t)}
	m := n.outboxOf(t, "text")
	n.before = take(t, n.ledger)
	n.hold = take(t, n.ledger)
	sweep, err := n.ledger.NewSweep(t.Context(), m, scan.Scope{})
	require.NoError(t, err)
	n.table = &sweep.Table
	n.exec(t, neighboursSQL)
	return n
}

// replayOf returns a replay as a relay has it that has read it from the database.
func (n *neighbourhood) replayOf(id string) *ledger.Replay {
	total := int64(9)
	r := &ledger.Replay{ID: id, EndpointID: "erp", Done: 4, Total: &total, Running: true, Place: 0x40}
	r.Until = noon.Add(time.Hour)
	return r
}

// Each of these changes the rows that it is about. What differs from them in one thing alone (the
// endpoint, the event, the slot, the state) stays as it is.
func TestWhatIsWritten_changesNothingElse(t *testing.T) {
	t.Parallel()
	n := setupNeighbours(t)
	l := n.ledger
	gap := ledger.Heal{Why: "lost again", Since: noon, From: 4, At: noon}
	rg := scan.Range{EndpointID: "erp", Until: noon.Add(time.Hour), Wants: all}
	queue := func(id, was string) func(context.Context) error {
		return func(ctx context.Context) error {
			r := n.replayOf(id)
			r.Cursor.Key = was
			_, err := l.QueueReplay(ctx, n.hold, r, ledger.Step{Deliveries: []outbox.Delivery{pending("e9", "erp", "", 0x40, noon)}, Cursor: scan.Cursor{Key: "e9"}, Done: 1}, noon)
			return err
		}
	}
	again := func(id string, does bool) func(context.Context) error {
		return func(ctx context.Context) error {
			got, err := l.SearchAgain(ctx, n.hold, n.replayOf(id), noon)
			require.Equal(t, does, got, "search again of %q", id)
			return err
		}
	}
	aged := func(drop func(context.Context, time.Time) (int64, bool, error)) func(context.Context) error {
		return func(ctx context.Context) error {
			_, more, err := drop(ctx, noon)
			require.False(t, more)
			return err
		}
	}
	for name, test := range map[string]struct {
		do   func(context.Context) error
		want []string
		err  error
	}{
		"letting all go that waits": {
			do:   func(ctx context.Context) error { _, err := l.Loosen(ctx, "erp", true, noon); return err },
			want: []string{"~ delivery no key of erp", "~ delivery waits of erp"},
		},
		"letting go what has no key": {
			do:   func(ctx context.Context) error { _, err := l.Loosen(ctx, "erp", false, noon); return err },
			want: []string{"~ delivery no key of erp"},
		},
		"unblocking the deliveries that nothing blocks": {
			do: func(ctx context.Context) error {
				at, more, err := l.Unblock(ctx, "erp", ledger.DuePlace{}, noon)
				require.False(t, more)
				require.Equal(t, ledger.DuePlace{CommitLSN: 0x50, EventID: "no key"}, at, "the last that waits")
				return err
			},
			want: []string{"~ delivery waits of erp"},
		},
		"unblocking what others are busy with": {
			do: func(ctx context.Context) error {
				busy, err := n.db.Conn(t).Begin(ctx)
				require.NoError(t, err)
				_, err = busy.Exec(ctx, "SELECT FROM tailpost.delivery WHERE event_id = 'waits' AND endpoint_id = 'erp' FOR UPDATE")
				require.NoError(t, err)
				_, _, err = l.Unblock(ctx, "erp", ledger.DuePlace{}, noon)
				require.NoError(t, busy.Rollback(ctx))
				return err
			},
		},
		"reading an event again": {
			do:   func(ctx context.Context) error { return l.Reroute(ctx, n.hold, "waits", nil, "", noon) },
			want: []string{"- delivery waits of *"},
		},
		"reading an event again that is given up": {
			do:  func(ctx context.Context) error { return l.Reroute(ctx, n.hold, "dead", nil, "", noon) },
			err: ledger.ErrOver,
		},
		"giving an event up": {
			do:   func(ctx context.Context) error { return l.Reroute(ctx, n.hold, "waits", nil, "no type", noon) },
			want: []string{"~ delivery waits of *"},
		},
		"parking an event that another endpoint waits for": {
			do: func(ctx context.Context) error {
				n.exec(t, "DELETE FROM tailpost.delivery WHERE event_id = 'later' AND endpoint_id = 'erp'")
				return l.Record(ctx, n.hold, &ledger.Batch{Now: noon, Park: []outbox.Delivery{pending("later", "erp", "", 0x81, noon)}})
			},
			want: []string{"~ delivery later of erp", "~ slot s"},
		},
		"recording an attempt that failed": {
			do: func(ctx context.Context) error {
				d := pending("due", "erp", "k", 0x30, noon.Add(time.Hour))
				return l.Record(ctx, n.hold, &ledger.Batch{Now: noon, Update: []outbox.Delivery{d}})
			},
			want: []string{"~ delivery due of erp", "~ slot s"},
		},
		"recording an attempt that delivered": {
			do: func(ctx context.Context) error {
				row := ledger.QueueRow{Pair: outbox.Pair{EventID: "due", EndpointID: "erp"}, CommitLSN: 0x30}
				return l.Record(ctx, n.hold, &ledger.Batch{Now: noon, Remove: []ledger.QueueRow{row}})
			},
			want: []string{"- delivery due of erp", "~ slot s"},
		},
		"recording that an endpoint fails": {
			do: func(ctx context.Context) error {
				return l.Record(ctx, n.hold, &ledger.Batch{Now: noon, Endpoints: []ledger.EndpointChange{{EndpointID: "erp", FailingSince: noon}}})
			},
			want: []string{"~ endpoint erp", "~ slot s"},
		},
		"recording a change of an endpoint": {
			do: func(ctx context.Context) error {
				return l.Record(ctx, n.hold, &ledger.Batch{Now: noon, Settled: 0x25, Versions: []ledger.EndpointVersion{version(t, 0x30, 0, apiRow("erp", "https://erp.example"))}})
			},
			want: []string{"+ version erp 0/30 0", "- version erp 0/10 0", "- version erp 0/10 1", "~ slot s"},
		},
		"noting the endpoints of a slot that was never taken": {
			do: func(ctx context.Context) error { return l.ResetVersions(ctx, "new", "7", false) },
			want: []string{
				"+ version crm 0/0 0", "+ version erp 0/0 0", "- version crm 0/10 1", "- version crm 0/24 0", "- version declared 0/10 0",
				"- version erp 0/10 0", "- version erp 0/10 1", "- version erp 0/20 1",
			},
		},
		"noting the endpoints of a slot that was taken": {
			do: func(ctx context.Context) error { return l.ResetVersions(ctx, "s", "7", false) },
		},
		"recording as a relay that lost the slot": {
			// The other slot is at the epoch that this one had.
			do: func(ctx context.Context) error {
				_, err := l.Queue(ctx, n.before, []outbox.Delivery{pending("e9", "erp", "", 1, noon)}, noon)
				return err
			},
			err: ledger.ErrDeposed,
		},
		"noting a gap": {
			do:   func(ctx context.Context) error { return l.DueHeal(ctx, "s", gap) },
			want: []string{"~ slot s"},
		},
		"clearing the gaps": {
			do: func(ctx context.Context) error {
				due, err := l.ClearGaps(ctx, "s", noon)
				require.Equal(t, "lost again", due)
				require.Equal(t, 1, n.count(t, "SELECT count(*) FROM tailpost.relay WHERE gaps_cleared_at = $1", noon), "what others had is none of it")
				return err
			},
			want: []string{"~ slot s"},
		},
		"ending an audit": {
			do:   func(ctx context.Context) error { return l.Audited(ctx, n.hold, ledger.Audit{Before: noon}) },
			want: []string{"~ slot s"},
		},
		"beginning a replay": {
			do: func(ctx context.Context) error {
				return l.BeginReplay(ctx, n.hold, n.table, n.replayOf("waits"), rg, noon)
			},
			want: []string{"~ replay waits"},
		},
		"beginning a replay that is cancelled": {
			do: func(ctx context.Context) error {
				return l.BeginReplay(ctx, n.hold, n.table, n.replayOf("cancelled"), rg, noon)
			},
			err: ledger.ErrOver,
		},
		"queueing a replay":                 {do: queue("ours", ""), want: []string{"+ delivery e9 of erp", "~ replay ours"}},
		"queueing a page of a replay again": {do: queue("ours", "e8"), err: ledger.ErrOver},
		"searching for what a replay misses": {do: func(ctx context.Context) error {
			return l.SearchReplay(ctx, n.hold, n.table, n.replayOf("ours"), rg, noon)
		}, want: []string{"~ replay ours"}},
		"searching again":                    {do: again("ours", true), want: []string{"~ replay ours"}},
		"searching again for one cancelled":  {do: again("cancelled", false)},
		"searching again beside a full list": {do: again("many", false)},
		"searching a third time":             {do: again("again", false)},
		"ending a replay":                    {do: func(ctx context.Context) error { return l.EndReplay(ctx, n.hold, "ours", "", noon) }, want: []string{"~ replay ours"}},
		"ending a replay that is cancelled":  {do: func(ctx context.Context) error { return l.EndReplay(ctx, n.hold, "cancelled", "", noon) }},
		"ending a resend":                    {do: func(ctx context.Context) error { return l.FailResend(ctx, n.hold, "ours", "unknown", noon) }, want: []string{"~ resend ours"}},
		"ending a resend that is cancelled":  {do: func(ctx context.Context) error { return l.FailResend(ctx, n.hold, "cancelled", "unknown", noon) }},
		"dropping what is dead and old":      {do: aged(l.DropDead), want: []string{"- delivery dead of erp"}},
		"forgetting what is discarded":       {do: aged(l.DropDiscarded), want: []string{"- discarded e1 of erp"}},
		"dropping replays that are over":     {do: aged(l.DropReplays), want: []string{"- replay cancelled", "- replay over"}},
		"dropping resends that are over":     {do: aged(l.DropResends), want: []string{"- resend cancelled", "- resend over"}},
		"resending what is dead": {
			do: func(ctx context.Context) error {
				open, err := l.Resends(ctx)
				require.NoError(t, err)
				require.Equal(t, "ours", open[0].ID)
				_, err = l.ResendPage(ctx, n.hold, &open[0], 2, noon)
				return err
			},
			want: []string{"~ delivery dead of erp", "~ delivery dead, a time of erp", "~ resend ours"},
		},
		"sealing anew": {
			do: func(ctx context.Context) error {
				n.exec(t, `INSERT INTO tailpost.endpoint_version (endpoint_id, commit_lsn, seq, "row") VALUES ('deleted', '0/10', 0, NULL)`)
				defer n.exec(t, "DELETE FROM tailpost.endpoint_version WHERE endpoint_id = 'deleted'")
				changed, err := l.Reseal(ctx, func(row *ledger.EndpointRow) (bool, error) {
					require.NotEmpty(t, row.Secrets, "there is nothing to seal in %q", row.ID)
					before := strings.Contains(string(row.Policy), "before")
					if before {
						row.Policy = []byte(`{"sealed": "anew"}`)
					}
					return before, nil
				})
				require.Equal(t, 1, changed)
				return err
			},
			want: []string{"~ endpoint erp", "~ version erp 0/10 1"},
		},
	} {
		n.exec(t, neighboursSQL)
		n.exec(t, "UPDATE tailpost.relay SET heal = 'lost again', heal_gaps = '{2026-03-14 11:30Z}', gaps_cleared_at = NULL WHERE slot = 's'")
		before := n.allRows(t)
		err := test.do(t.Context())
		if test.err == nil {
			require.NoError(t, err, name)
		} else {
			require.ErrorIs(t, err, test.err, name)
		}
		want := append([]string{}, test.want...)
		require.Equal(t, want, changes(before, n.allRows(t)), name)
	}
}

// Each of these finds the rows that it is about, and none that differs from them in one thing
// alone.
func TestWhatIsRead_isNothingElse(t *testing.T) {
	t.Parallel()
	n := setupNeighbours(t)
	ctx, l := t.Context(), n.ledger

	page := func(unkeyed bool) ledger.Page {
		p, err := l.Page(ctx, ledger.PageQuery{EndpointID: "erp", Now: noon, Limit: 10, Unkeyed: unkeyed})
		require.NoError(t, err)
		return p
	}
	p := page(false)
	require.ElementsMatch(t, []string{"due", "same place"}, ids(p.Deliveries))
	require.Equal(t, noon.Add(time.Hour), p.Next, "what is dead is not due later either")
	p = page(true)
	require.Empty(t, p.Deliveries)
	require.Equal(t, noon.Add(2*time.Hour), p.Next, "what has a key is not asked for")

	order := []string{"waits", "due", "same place", "no key", "no key later", "later"}
	rows, _, err := l.InOrder(ctx, "erp", 10, false)
	require.NoError(t, err)
	require.ElementsMatch(t, order, ids(rows))
	rows, _, err = l.InKeyOrder(ctx, "erp", []string{"k"}, 10, false)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"waits", "due", "same place", "later"}, ids(rows))
	heads, err := l.First(ctx, "erp", false)
	require.NoError(t, err)
	require.Equal(t, []ledger.KeyHead{{EventID: "waits"}}, heads)

	// Endpoints that have nothing but dead deliveries wait for nothing, wherever they come in the
	// order of names; and what is dead says nothing of when the others are due.
	n.exec(t, "INSERT INTO tailpost.delivery SELECT (jsonb_populate_record(d, jsonb_build_object('endpoint_id', e))).* FROM tailpost.delivery AS d, unnest('{!,f,x}'::text[]) AS e WHERE d.endpoint_id = 'erp' AND d.state = 'dead'")
	n.exec(t, "INSERT INTO tailpost.delivery SELECT (jsonb_populate_record(d, jsonb_build_object('endpoint_id', 'timed'))).* FROM tailpost.delivery AS d WHERE d.endpoint_id = 'erp' AND (d.state = 'dead' OR d.event_id = 'later')")
	queues, err := l.NextDue(ctx)
	require.NoError(t, err)
	require.Equal(t, map[string]ledger.Queue{
		"*": {Next: noon, Unscheduled: true}, "crm": {Next: noon, Unscheduled: true}, "erp": {Next: noon, Unscheduled: true},
		"timed": {Next: noon.Add(time.Hour)},
	}, queues)

	again, err := l.Rejected(ctx, 10)
	require.NoError(t, err)
	var events []string
	for _, r := range again {
		events = append(events, r.EventID)
		if r.EventID == "waits" {
			require.Equal(t, ledger.Rejected{EventID: "waits", CommitLSN: 0x20}, r)
		}
	}
	require.ElementsMatch(t, order, events, "what stands for everyone and is not given up")
	again, err = l.Rejected(ctx, 4)
	require.NoError(t, err)
	require.Len(t, again, 4)
	require.Equal(t, "no key", again[3].EventID, "the first in the order of commits")

	open, err := l.Replays(ctx)
	require.NoError(t, err)
	first := make(map[string]string)
	for i := range open {
		first[open[i].EndpointID] = open[i].ID
	}
	require.Equal(t, map[string]string{"erp": "ours", "crm": "theirs", "shop": "many", "b2b": "again"}, first)

	routed, err := l.Routed(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"crm", "declared", "erp"}, slices.Sorted(maps.Keys(routed)))
	require.Equal(t, []bool{false, true, false}, []bool{routed["crm"].Config, routed["declared"].Config, routed["erp"].Config})

	require.NoError(t, l.Mirrorable(ctx, endpoints("declared", "new")))
	err = l.Mirrorable(ctx, endpoints("declared", "crm"))
	require.ErrorContains(t, err, `"crm" exists already`)
	require.True(t, ledger.NameTaken(err))

	for _, event := range []string{"due", "other"} {
		b := &ledger.Batch{Attempts: []outbox.Attempt{attempt(event, "shop", outbox.Delivered, 0x30)}}
		require.NoError(t, l.Record(ctx, n.hold, b))
	}
	recorded, err := l.RecordedOf(ctx, "s", 0x20, []string{"due", "unknown"})
	require.NoError(t, err)
	require.Equal(t, []string{"*", "crm", "erp", "shop"}, slices.Sorted(maps.Keys(endpointsOf(recorded, "due"))))
	require.Len(t, recorded, 4, "nothing of other events")

	now := noon.Add(time.Hour)
	gaps := func(since time.Time) (at []string) {
		found, err := l.Gaps(ctx, ledger.GapsOptions{Slot: "s", Uncounted: []string{"backfill"}, Since: since, Now: now})
		require.NoError(t, err)
		for _, g := range found {
			at = append(at, g.Why+" at "+g.At.UTC().Format(time.TimeOnly))
		}
		return at
	}
	const due = "UPDATE tailpost.relay SET heal = $1, heal_gaps = '{2026-03-14 11:30Z}' WHERE slot = 's'"
	n.exec(t, due, "lost again")
	require.Equal(t, []string{"lost again at 11:30:00", "lost at 11:50:00"}, gaps(noon.Add(-time.Hour)))
	require.Equal(t, []string{"lost at 11:50:00", "lost again at 13:00:00"}, gaps(noon.Add(-20*time.Minute)), "it is due, however long ago it was found")
	n.exec(t, due, nil)
	require.Equal(t, []string{"lost at 11:50:00"}, gaps(noon.Add(-time.Hour)), "nothing is due")

	// An endpoint of the configuration has no versions, whatever one of its name had before.
	versions, err := l.Versions(ctx, 0x100)
	require.NoError(t, err)
	require.Equal(t, []string{"crm", "erp"}, rowIDs(versions))
	present, err := l.Present(ctx, []string{"erp", "declared"})
	require.NoError(t, err)
	require.Equal(t, []string{"erp"}, rowIDs(present))
}

// endpointsOf returns the endpoints of an event's pairs.
func endpointsOf(pairs map[outbox.Pair]struct{}, event string) map[string]struct{} {
	found := make(map[string]struct{})
	for p := range pairs {
		if p.EventID == event {
			found[p.EndpointID] = struct{}{}
		}
	}
	return found
}

func rowIDs(rows []ledger.EndpointRow) []string {
	ids := make([]string, len(rows))
	for i := range rows {
		ids[i] = rows[i].ID
	}
	return ids
}
