package ledger_test

import (
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

// recorded sweeps the table and returns who has something of each row, by id.
func recorded(t *testing.T, s *scan.Sweep) map[string][]string {
	t.Helper()
	rows, err := s.Rows(t.Context(), 0, 100)
	require.NoError(t, err)
	has := make(map[string][]string)
	for i := range rows {
		has[rows[i].ID] = rows[i].Recorded
	}
	return has
}

// An event is not missing for an endpoint that has an attempt of it, waits for it, or for which
// somebody discarded it.
func TestRows_sayWhoHasAnEvent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := b.outboxOf(t, "text", "attempted", "tested", "parked", "dead", "discarded", "nothing")
	hold := take(t, b.ledger)
	dead := pending("dead", "erp", "", 1, time.Time{})
	dead.State = outbox.StateDead
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Park: []outbox.Delivery{pending("parked", "erp", "", 1, noon), dead}}))
	b.attempted(t, "attempted", 1, "stream", outbox.Delivered, 0)
	b.attempted(t, "tested", 1, "test", outbox.Delivered, 0)
	b.exec(t, "INSERT INTO tailpost.discarded VALUES ('discarded', 'erp', $1)", noon)

	sweep, err := b.ledger.NewSweep(t.Context(), m, scan.Scope{})
	require.NoError(t, err)
	want := map[string][]string{
		"attempted": {"erp"}, "tested": {}, "parked": {"erp"}, "dead": {"erp"}, "discarded": {"erp"}, "nothing": {},
	}
	require.Equal(t, want, recorded(t, sweep))

	rows, err := sweep.Rows(t.Context(), 0, 100)
	require.NoError(t, err)
	var places []scan.RowPlace
	for i := range rows {
		places = append(places, rows[i].RowPlace)
	}
	found, err := sweep.Events(t.Context(), places)
	require.NoError(t, err)
	require.Len(t, found, len(want))
	for i := range found {
		require.Equal(t, want[found[i].Event.ID], found[i].Recorded, found[i].Event.ID)
	}
}

// New rows are found by an index of their time, of whatever type and kind, in every partition;
// where one has no such index, none is.
func TestRecent_findsTheBlocksOfNewRows(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		kind, index, parts string
		ok                 bool
	}{
		"btree":                   {kind: "timestamptz", index: "CREATE INDEX ON public.app (at)", ok: true},
		"brin":                    {kind: "timestamptz", index: "CREATE INDEX ON public.app USING brin (at)", ok: true},
		"a time without a zone":   {kind: "timestamp", index: "CREATE INDEX ON public.app (at, id)", ok: true},
		"a day":                   {kind: "date", index: "CREATE INDEX ON public.app (at)", ok: true},
		"partitions":              {kind: "timestamptz", index: "CREATE INDEX ON public.app USING brin (at)", parts: "PARTITION BY RANGE (id)", ok: true},
		"one partition without":   {kind: "timestamptz", index: "CREATE INDEX ON public.app_old (at)", parts: "PARTITION BY RANGE (id)"},
		"none":                    {kind: "timestamptz", index: "SELECT"},
		"one of some rows":        {kind: "timestamptz", index: "CREATE INDEX ON public.app (at) WHERE id > 5"},
		"one that begins with id": {kind: "timestamptz", index: "CREATE INDEX ON public.app (id, at)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.exec(t, "CREATE TABLE public.app (id bigint PRIMARY KEY, type text, payload text, at "+test.kind+") "+test.parts)
			if test.parts != "" {
				b.exec(t, "CREATE TABLE public.app_old PARTITION OF public.app FOR VALUES FROM (0) TO (4000); CREATE TABLE public.app_new PARTITION OF public.app DEFAULT")
			}
			b.exec(t, test.index)
			b.exec(t, "INSERT INTO public.app SELECT n, 't', repeat('x', 700), '2020-01-01' FROM generate_series(1, 3999) AS n")
			b.exec(t, "VACUUM (ANALYZE) public.app")
			b.exec(t, "INSERT INTO public.app VALUES (4000, 't', 'x', '2026-03-14'), (4001, 't', 'x', 'infinity')")
			m := outbox.Mapping{Table: "public.app", ID: "id", Type: "type", Payload: "payload", CreatedAt: "at"}
			sweep, err := b.ledger.NewSweep(t.Context(), m, scan.Scope{})
			require.NoError(t, err)
			spans, ok, err := sweep.Recent(t.Context(), noon.Add(-36*time.Hour))
			require.NoError(t, err)
			require.Equal(t, test.ok, ok)
			if !ok {
				return
			}
			var ids []string
			for _, s := range spans {
				rows, err := sweep.Rows(t.Context(), s.From, s.To-s.From)
				require.NoError(t, err)
				for i := range rows {
					ids = append(ids, rows[i].ID)
				}
			}
			require.Subset(t, ids, []string{"4000", "4001"})
			require.Less(t, len(ids), 1000, "the old ones are left alone")
		})
	}
}

// An attempt may be older than its event by the clock of whoever wrote the event.
func TestRows_findAttemptsThatAnotherClockPutsBeforeTheEvent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, "SELECT tailpost.ensure_attempt_partitions('2026-03-13', 1)")
	horizon, err := b.ledger.Horizon(t.Context())
	require.NoError(t, err)
	require.Positive(t, horizon.XID)
	require.WithinDuration(t, time.Now(), horizon.At, time.Hour)
	m := b.outboxOf(t, "text", "e1")
	b.attempted(t, "e1", 1, "stream", outbox.Delivered, -12*3600)
	for _, horizon.At = range []time.Time{noon, noon.Add(time.Hour)} { // the earlier of horizon and event counts
		sweep, err := b.ledger.NewSweep(t.Context(), m, scan.Scope{Horizon: horizon})
		require.NoError(t, err)
		require.Equal(t, map[string][]string{"e1": {"erp"}}, recorded(t, sweep))
	}
}

// The key may be of a type that an extension brought, whose operators are in a schema that our
// search_path leaves out. Compared as anything else its order would not be that of its index, and
// pages of a replay would leave rows out.
// A time without a zone is one of the zone that the outbox has, not of the session's.
func TestRecent_takesTimesForThoseOfTheirZone(t *testing.T) {
	t.Parallel()
	for kind, newest := range map[string]string{"timestamp": "2026-03-14 06:00:00", "date": "2026-03-14"} { // 13:00 in UTC, for the first
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.exec(t, "CREATE TABLE public.app (id bigint PRIMARY KEY, type text, payload text, at "+kind+"); CREATE INDEX ON public.app (at)")
			b.exec(t, "INSERT INTO public.app VALUES (1, 't', 'x', $1)", newest)
			m := outbox.Mapping{Table: "public.app", ID: "id", Type: "type", Payload: "payload", CreatedAt: "at", TimeZone: "America/Los_Angeles"}
			sweep, err := b.ledger.NewSweep(t.Context(), m, scan.Scope{})
			require.NoError(t, err)
			spans, ok, err := sweep.Recent(t.Context(), noon)
			require.NoError(t, err)
			require.True(t, ok)
			require.Len(t, spans, 1)
		})
	}
}

// What a replay would look at is counted as it reads it: from a time on, and before another one.
func TestCount_isOfTheRange(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := b.outboxOf(t, "text", "first", "second", "untimed")
	b.exec(t, "UPDATE public.events SET created_at = CASE id WHEN 'first' THEN $1::timestamptz WHEN 'second' THEN $1 + interval '1 second' END", noon)
	table, err := scan.LookAt(t.Context(), b.conn, m)
	require.NoError(t, err)
	for name, test := range map[string]struct {
		of   scan.Range
		want int64
	}{
		"everything":                 {scan.Range{Until: noon.Add(time.Hour)}, 3},
		"from the first on":          {scan.Range{Since: noon, Until: noon.Add(time.Hour)}, 2},
		"from the first up to it":    {scan.Range{Since: noon, Until: noon}, 0},
		"from the first up to a 2nd": {scan.Range{Since: noon, Until: noon.Add(time.Second)}, 1},
		"behind the first":           {scan.Range{Since: noon.Add(time.Microsecond), Until: noon.Add(time.Hour)}, 1},
		"of a tenant":                {scan.Range{Tenant: "acme", Until: noon.Add(time.Hour)}, 0},
	} {
		test.of.Wants = all
		n, err := table.Count(t.Context(), b.conn, test.of)
		require.NoError(t, err)
		require.Equal(t, test.want, n, name)
		test.of.Wants = func(name string) bool { return name != "a" }
		n, err = table.Count(t.Context(), b.conn, test.of)
		require.NoError(t, err)
		require.Zero(t, n, name)
	}
}

func TestRowsAfter_goInTheOrderOfTheKeysOwnType(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, "CREATE EXTENSION citext SCHEMA public")
	m := b.outboxOf(t, "public.citext", "c", "a", "D", "B") // all of one time
	_, r := b.replay(t)
	sweep, err := b.ledger.NewSweep(t.Context(), m, scan.Scope{})
	require.NoError(t, err)
	for _, r.InOrder = range []bool{false, true} {
		var seen []string
		for r.Cursor = (scan.Cursor{}); ; {
			rows, err := sweep.RowsAfter(t.Context(), &r.Reading, 1)
			require.NoError(t, err)
			if len(rows) == 0 {
				break
			}
			seen = append(seen, rows[0].ID)
			r.Cursor = scan.Cursor{Key: rows[0].ID, At: rows[0].At}
		}
		require.Equal(t, []string{"a", "B", "c", "D"}, seen)
	}
	found, err := sweep.Events(t.Context(), []scan.RowPlace{{ID: "b", TID: "(7,7)"}})
	require.NoError(t, err)
	require.Len(t, found, 1, "it is the same key")
	b.attempted(t, "c", 1, "stream", outbox.Delivered, 0)
	b.attempted(t, "gone", 1, "stream", outbox.Delivered, 1)
	gone := b.search(t, m, scan.Range{EndpointID: "erp", Until: noon.Add(time.Hour), Wants: all})
	require.Equal(t, []string{"gone"}, events(gone))
}

// Rows of a time are those from it on, and those that do not say theirs, or say one that is none:
// whether they are new nobody can tell, so they are looked at.
func TestRows_ofAScope(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := b.outboxOf(t, "text", "before", "at", "after", "none", "never")
	b.exec(t, `UPDATE public.events SET created_at = CASE id
		WHEN 'before' THEN $1::timestamptz - interval '1 second' WHEN 'at' THEN $1 WHEN 'after' THEN $1 + interval '1 second' WHEN 'never' THEN '-infinity'
	END`, noon)
	sweep, err := b.ledger.NewSweep(t.Context(), m, scan.Scope{Since: noon})
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"at", "after", "none", "never"}, slices.Collect(maps.Keys(recorded(t, sweep))))
	all, err := b.ledger.NewSweep(t.Context(), m, scan.Scope{})
	require.NoError(t, err)
	require.Len(t, recorded(t, all), 5)
}

// A row may not say that it was created in the gap. Whether it is the event that had its id before
// shows in what wrote it: nothing is recorded of an event before its row is there. A uuid is never
// used again.
func TestRows_tellWhatWasWrittenSinceItsRecords(t *testing.T) {
	t.Parallel()
	const attempt, parked, discarded = `
INSERT INTO tailpost.attempt (event_id, event_type, endpoint_id, number, trigger, url, outcome, duration_ms, attempted_at, commit_lsn)
SELECT id::text, 'a', 'erp', 1, 'stream', '', 'delivered', 1, $1, '0/10' FROM public.events`, `
INSERT INTO tailpost.delivery (event_id, event_type, endpoint_id, state, reason, attempts, next_attempt_at, payload, event_created_at, commit_lsn, seq, created_at, updated_at)
SELECT id::text, 'a', 'erp', 'pending', 'failed', 1, $1, '{}', $1, '0/10', 1, $1, $1 FROM public.events`, `
INSERT INTO tailpost.discarded (event_id, endpoint_id, at) SELECT id::text, 'erp', $1::timestamptz - interval '1 hour' FROM public.events`
	for name, test := range map[string]struct {
		idType string
		record string
		since  string // what is done once it is recorded
		before bool   // nothing says that transactions can be compared
		place  outbox.LSN
		want   bool
	}{
		"an event":                                 {idType: "bigint", record: attempt},
		"one that waits":                           {idType: "bigint", record: parked},
		"one that was discarded":                   {idType: "bigint", record: discarded},
		"another event of the same time":           {idType: "bigint", record: attempt, since: "DELETE FROM public.events; INSERT INTO public.events VALUES (1, 'a', '{}', '2026-03-14 12:00Z')", want: true},
		"another event of an earlier time":         {idType: "text", record: attempt, since: "DELETE FROM public.events; INSERT INTO public.events VALUES (1, 'a', '{}', '-infinity')", want: true},
		"another event without a time":             {idType: "text", record: parked, since: "DELETE FROM public.events; INSERT INTO public.events VALUES (1, 'a', '{}', NULL)", want: true},
		"another event where one was discarded":    {idType: "text", record: discarded, since: "DELETE FROM public.events; INSERT INTO public.events VALUES (1, 'a', '{}', NULL)", want: true},
		"another event created in the gap":         {idType: "text", record: attempt, since: "DELETE FROM public.events; INSERT INTO public.events VALUES (1, 'a', '{}', '2026-03-14 12:00:01Z')"},
		"an event that was updated":                {idType: "bigint", record: attempt, since: "UPDATE public.events SET payload = '[]'", want: true},
		"one that was frozen":                      {idType: "bigint", record: attempt, since: "VACUUM (FREEZE) public.events"},
		"one recorded in the gap":                  {idType: "bigint", record: attempt, since: "UPDATE public.events SET payload = '[]'", place: 0x10},
		"a uuid":                                   {idType: "uuid", record: attempt, since: "UPDATE public.events SET created_at = NULL"},
		"transactions of another cluster":          {idType: "bigint", record: attempt, since: "UPDATE public.events SET payload = '[]'", before: true},
		"transactions of another cluster, no time": {idType: "bigint", record: attempt, since: "UPDATE public.events SET created_at = NULL", before: true, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.exec(t, "SELECT tailpost.ensure_attempt_partitions('2026-03-14', 1)")
			horizon, err := b.ledger.Horizon(t.Context())
			require.NoError(t, err)
			id := "1"
			if test.idType == "uuid" {
				id = "018f0000-0000-7000-8000-000000000001"
			}
			m := b.outboxOf(t, test.idType, id)
			b.exec(t, test.record, noon)
			if test.since != "" {
				for statement := range strings.SplitSeq(test.since, ";") {
					b.exec(t, statement)
				}
			}
			if test.place == 0 {
				test.place = 0x11
			}
			scope := scan.Scope{Horizon: horizon, Gap: scan.GapStart{At: noon, Place: test.place, Now: noon.Add(time.Hour)}}
			if test.before {
				scope.Horizon = scan.Horizon{}
			}
			sweep, err := b.ledger.NewSweep(t.Context(), m, scope)
			require.NoError(t, err)
			rows, err := sweep.Rows(t.Context(), 0, 100)
			require.NoError(t, err)
			require.Len(t, rows, 1)
			require.Equal(t, test.want, rows[0].Doubtful)
			if name == "another event created in the gap" {
				require.Empty(t, rows[0].Recorded, "what is recorded is of the event before it")
			} else {
				require.Equal(t, []string{"erp"}, rows[0].Recorded)
			}
		})
	}
}

// Whoever searches for it finds what waits for its first attempt, whoever has it wait.
func TestQueue_ofWhatIsFoundByItsTerms(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold, r := b.replay(t)
	b.exec(t, "UPDATE tailpost.replay SET state = 'running', place = '0/40'")
	terms := []string{"order=42", "name=é\x00,{\"}"}
	found := func(event string) []outbox.Delivery {
		d := pending(event, "erp", "", 9, noon)
		d.Search = terms
		return []outbox.Delivery{d}
	}
	_, err := b.ledger.Queue(t.Context(), hold, found("audited"), noon)
	require.NoError(t, err)
	_, err = b.ledger.QueueReplay(t.Context(), hold, r, ledger.Step{Deliveries: found("replayed"), Cursor: scan.Cursor{Key: "replayed"}, Done: 1}, noon)
	require.NoError(t, err)
	rejected := pending("read again", "*", "", 9, noon)
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Park: []outbox.Delivery{rejected}, Now: noon}))
	require.NoError(t, b.ledger.Reroute(t.Context(), hold, "read again", found("read again"), "", noon))
	require.Equal(t, []string{"audited", "read again", "replayed"},
		b.texts(t, `SELECT event_id FROM tailpost.delivery WHERE search = ARRAY['order=42', 'name=é,{"}'] ORDER BY event_id`))
	_, err = b.ledger.Queue(t.Context(), hold, []outbox.Delivery{pending("without", "erp", "", 9, noon)}, noon)
	require.NoError(t, err)
	require.Equal(t, []string{"without"}, b.texts(t, "SELECT event_id FROM tailpost.delivery WHERE search IS NULL"))
}

func TestQueue_leavesAloneWhatWaitsAlready(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	there := pending("e1", "erp", "", 1, noon)
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Park: []outbox.Delivery{there}, Now: noon}))
	found := []outbox.Delivery{pending("e1", "erp", "", 1, noon.Add(time.Hour)), pending("e2", "erp", "k", 9, noon)}
	found[1].Event.Tenant, found[1].Event.Seq, found[1].Attempts = "acme", 4, 0
	found[1].Event.Headers = map[string]string{"traceparent": "00-é"}
	found[1].Event.Extra = []byte(`{"region":"eu","size":1e+20}`)
	queued, err := b.ledger.Queue(t.Context(), hold, found, noon)
	require.NoError(t, err)
	require.EqualValues(t, 1, queued)
	ds, _, err := b.ledger.InOrder(t.Context(), "erp", 10, false)
	require.NoError(t, err)
	require.Equal(t, []outbox.Delivery{there, found[1]}, asWritten(t, ds))

	// What waits for another endpoint, from before the gap, is no other event with the id of this
	// one.
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Park: []outbox.Delivery{pending("e3", "crm", "", 1, noon)}, Now: noon}))
	queued, err = b.ledger.Queue(t.Context(), hold, []outbox.Delivery{pending("e3", "erp", "", 9, noon)}, noon)
	require.NoError(t, err)
	require.EqualValues(t, 1, queued)
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost.delivery WHERE event_id = 'e3' AND endpoint_id = 'erp' AND state = 'pending'"))
}
