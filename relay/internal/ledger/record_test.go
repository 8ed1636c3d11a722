package ledger_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/scan"
)

func TestRecord_writesAttemptsAndPosition(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	a := attempt("e1", "erp", outbox.Delivered, 0x16_B374D848)
	a.Tenant, a.ResponseTruncated, a.Duration = "acme", true, 1500*time.Microsecond
	failed := attempt("e2", "erp", outbox.Retry, 0x16_B374D849)
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{
		Attempts: []outbox.Attempt{a, failed}, Settled: 0x17_00000000, SettledAt: noon, Now: noon,
	}))

	var row struct {
		id, kind, tenant, endpoint, trigger, url, outcome, body, lsn string
		number, status                                               int
		ms                                                           float64
		cut                                                          bool
		at                                                           time.Time
	}
	require.NoError(t, b.conn.QueryRow(t.Context(), `
		SELECT event_id, event_type, tenant, endpoint_id, number, trigger, url, outcome, status_code, duration_ms,
		       response_body, response_truncated, attempted_at, commit_lsn::text
		FROM tailpost.attempt WHERE event_id = 'e1' AND error IS NULL`).Scan(&row.id, &row.kind, &row.tenant, &row.endpoint,
		&row.number, &row.trigger, &row.url, &row.outcome, &row.status, &row.ms, &row.body, &row.cut, &row.at, &row.lsn))
	require.Equal(t, "order.created acme erp stream https://example.com/in delivered ok 16/B374D848", strings.Join(
		[]string{row.kind, row.tenant, row.endpoint, row.trigger, row.url, row.outcome, row.body, row.lsn}, " "))
	require.Equal(t, 1, row.number)
	require.Equal(t, 200, row.status)
	require.InDelta(t, 1.5, row.ms, 1e-9)
	require.True(t, row.cut)
	require.True(t, noon.Equal(row.at))

	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM tailpost.attempt WHERE event_id = 'e2' AND status_code IS NULL
		AND tenant IS NULL AND response_body IS NULL AND error = 'connection refused' AND NOT response_truncated`))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM tailpost.relay WHERE slot = 's' AND epoch = 1 AND batch = 1
		AND settled_lsn = '17/0' AND settled_at = $1 AND updated_at = $1 AND owner = 'host:1'`, noon))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM tailpost.endpoint_stats WHERE endpoint_id = 'erp' AND hour = $1
		AND attempts = 2 AND delivered = 1 AND failed = 1 AND dead = 0 AND duration_ms_sum = 4.5
		AND buckets = '{0,1,1,0,0,0,0,0,0,0,0,0,0,0,0}'`, noon))
}

// What an event is found by is written with the attempt, or with the delivery where there is none.
// Most have nothing: NULL, which the index leaves out.
func TestRecord_writesWhatIsSearchedFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	terms := []string{"order=42", `odd="{a,b}\'`, "name=Zoë"}
	found, plain := attempt("e1", "erp", outbox.Delivered, 1), attempt("e2", "erp", outbox.Delivered, 2)
	waits, other := pending("e3", "erp", "", 3, noon), pending("e4", "erp", "", 4, noon)
	found.Search, waits.Search = terms, terms
	waits.Attempts, other.Attempts = 0, 0
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{
		Attempts: []outbox.Attempt{found, plain}, Park: []outbox.Delivery{waits, other}, Now: noon,
	}))
	for _, table := range []string{"attempt", "delivery"} {
		rows, err := b.conn.Query(t.Context(), "SELECT search FROM tailpost."+table+" ORDER BY event_id")
		require.NoError(t, err)
		got, err := pgx.CollectRows(rows, pgx.RowTo[[]string])
		require.NoError(t, err)
		require.Equal(t, [][]string{terms, nil}, got, table)
	}
}

func TestRecord_parksThenUpdatesThenRemoves(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	first, later := pending("e1", "erp", "k", 1, noon), pending("e1", "erp", "k", 1, noon.Add(time.Hour))
	later.Attempts, later.LastStatus, later.LastError = 3, 503, ""
	between := later
	between.Attempts = 2
	again := first
	again.Event.Payload = []byte(`{"another":true}`)
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{
		Park:   []outbox.Delivery{first, again, pending("e2", "erp", "k", 2, noon), pending("e1", "crm", "k", 1, noon)},
		Update: []outbox.Delivery{between, later, pending("e9", "erp", "k", 1, noon)},
		Remove: []ledger.QueueRow{rowOf(pending("e2", "erp", "k", 2, noon)), rowOf(pending("e8", "erp", "k", 2, noon))},
		Now:    noon,
	}))
	due := b.due(t, "erp", noon.Add(time.Hour))
	require.Equal(t, []outbox.Delivery{{
		Event: first.Event, EndpointID: "erp", State: outbox.Pending, Reason: outbox.ReasonFailed, Attempts: 3,
		NextAttemptAt: noon.Add(time.Hour), LastStatus: 503,
	}}, due)
	require.Equal(t, 2, b.count(t, `SELECT count(*) FROM tailpost.delivery WHERE created_at = $1 AND updated_at = $1`, noon))

	dead := first
	dead.State, dead.Reason, dead.NextAttemptAt = outbox.StateDead, outbox.ReasonExhausted, time.Time{}
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{
		Park: []outbox.Delivery{again}, Update: []outbox.Delivery{dead}, Now: noon.Add(time.Second),
	}))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM tailpost.delivery WHERE state = 'dead' AND reason = 'exhausted'
		AND next_attempt_at IS NULL AND payload = '{"id":"e1"}' AND created_at = $1 AND updated_at = $1::timestamptz + interval '1s'`, noon))
}

func TestRecord_keepsEveryFieldOfAParkedEvent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	d := pending("e1", "erp", "k\"1", 0xFFFFFFFF_FFFFFFFF, noon)
	d.Event.Tenant, d.Event.Seq = "acme", 1<<40
	d.Event.Headers = map[string]string{"traceparent": "00-<&>-é", "x": ""}
	d.Event.Payload = []byte("{\"odd\":\"\x00\xff\"}")
	d.Event.Extra = []byte(`{"region":"eu","size":1e+20}`)
	none := pending("e2", "erp", "", 2, noon)
	none.Event.Payload, none.Event.Headers, none.LastError = nil, nil, ""
	empty := pending("e3", "erp", "", 3, noon)
	empty.Event.Payload, empty.Event.Headers = []byte{}, map[string]string{}
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Park: []outbox.Delivery{d, none, empty}}))
	due := b.due(t, "erp", noon)
	require.Equal(t, []outbox.Delivery{none, empty, d}, due)
	require.Nil(t, due[0].Event.Payload)
	require.NotNil(t, due[1].Event.Payload)
}

func TestRecord_changesEndpoints(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	_, err := b.ledger.Mirror(t.Context(), endpoints("erp", "crm", "old", "shown", "mute"), noon)
	require.NoError(t, err)
	b.exec(t, "UPDATE tailpost.endpoint SET verified = 'before', verified_at = $1, verify_error = 'long ago' WHERE id <> 'old'", noon)
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{
		Endpoints: []ledger.EndpointChange{
			{EndpointID: "shown", VerifyError: "the answer was status 500"},
			{EndpointID: "shown", Verified: "https://shown.example"},
			{EndpointID: "shown", FailingSince: noon},
			{EndpointID: "mute", VerifyError: "no answer"},
			{EndpointID: "erp", FailingSince: noon},
			{EndpointID: "crm", Status: ledger.StatusDisabled, DisabledReason: "gone", FailingSince: noon},
			{EndpointID: "crm", FailingSince: noon.Add(-time.Hour)},
		},
		Now: noon.Add(time.Minute),
	}))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM tailpost.endpoint WHERE id = 'erp' AND status = 'active'
		AND disabled_reason IS NULL AND failing_since = $1 AND updated_at = $1::timestamptz + interval '1 min'
		AND verified = 'before' AND verified_at = $1 AND verify_error = 'long ago'`, noon), "what it has shown stays")
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM tailpost.endpoint WHERE id = 'mute' AND verified = 'before' AND verify_error = 'no answer'`))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM tailpost.endpoint WHERE id = 'crm' AND status = 'disabled'
		AND disabled_reason = 'gone' AND failing_since = $1::timestamptz - interval '1 hour'`, noon))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM tailpost.endpoint WHERE id = 'old' AND updated_at = $1`, noon))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM tailpost.endpoint WHERE id = 'shown' AND verified = 'https://shown.example'
		AND verify_error IS NULL AND failing_since = $1 AND verified_at > $1`, noon), "what it showed after all counts")
}

func TestRecord_keepsTheReasonOfADisabledEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	_, err := b.ledger.Mirror(t.Context(), endpoints("erp"), noon)
	require.NoError(t, err)
	change := func(c ledger.EndpointChange) {
		c.EndpointID = "erp"
		require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Endpoints: []ledger.EndpointChange{c}, Now: noon}))
	}
	change(ledger.EndpointChange{Status: ledger.StatusDisabled, DisabledReason: "answered 410", FailingSince: noon})
	change(ledger.EndpointChange{})
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM tailpost.endpoint WHERE status = 'disabled' AND disabled_reason = 'answered 410'
		AND failing_since IS NULL`), "a request that was under way may still succeed")
}

func TestRecord_isFencedByTheEpoch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := b.open(t, b.db.URL)
	old := take(t, b.ledger)
	batch := func(id string) *ledger.Batch {
		return &ledger.Batch{
			Attempts: []outbox.Attempt{attempt(id, "erp", outbox.Delivered, 1)},
			Park:     []outbox.Delivery{pending(id, "crm", "", 1, noon)}, Settled: 5,
		}
	}
	require.NoError(t, b.ledger.Record(t.Context(), old, batch("e1")))
	hold := take(t, other)
	require.Equal(t, int64(2), hold.Epoch)
	require.Equal(t, outbox.LSN(5), hold.Settled)
	require.Equal(t, ledger.Place{SystemID: "7", Timeline: 1}, hold.Before)

	require.ErrorIs(t, b.ledger.Record(t.Context(), old, batch("e2")), ledger.ErrDeposed)
	require.ErrorIs(t, b.ledger.Record(t.Context(), old, &ledger.Batch{Settled: 9}), ledger.ErrDeposed)
	require.NoError(t, other.Record(t.Context(), hold, batch("e3")))
	require.Equal(t, 2, b.count(t, `SELECT count(*) FROM tailpost.attempt WHERE event_id IN ('e1', 'e3')`))
	require.Equal(t, 2, b.count(t, `SELECT count(*) FROM tailpost.attempt`))
	require.Equal(t, 2, b.count(t, `SELECT count(*) FROM tailpost.delivery`))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM tailpost.relay WHERE epoch = 2 AND batch = 1 AND settled_lsn = '0/5'`))
	require.Zero(t, b.losses())

	require.ErrorIs(t, other.Record(t.Context(), old, batch("e4")), ledger.ErrDeposed, "an earlier hold of another ledger")
	back := take(t, b.ledger)
	require.NoError(t, b.ledger.Record(t.Context(), back, batch("e5")), "the deposed relay may take the slot again")
}

func TestRecord_neverMovesTheFrontierBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Settled: 9, SettledAt: noon}))
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{
		Settled: 3, Attempts: []outbox.Attempt{attempt("e1", "erp", outbox.Delivered, 1)},
	}))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM tailpost.relay WHERE batch = 2 AND settled_lsn = '0/9' AND settled_at = $1`, noon))

	for range 2 {
		require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Settled: 9}))
		require.Equal(t, 3, b.count(t, `SELECT batch FROM tailpost.relay`), "how far it came; after that nothing to say, nothing written")
	}
}

func TestTake_startsOverOnAnotherCluster(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	require.Equal(t, ledger.Hold{Slot: "s", Owner: "host:1", Epoch: 1, Origin: hold.Origin}, hold)
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Settled: 9, SettledAt: noon}))
	later := noon.Add(time.Minute)
	moved, err := b.ledger.Take(t.Context(), ledger.TakeOptions{Slot: "s", Owner: "host:2", SystemID: "8", Timeline: 3, Start: 4, Publication: "5.6.7", Now: later})
	require.NoError(t, err)
	require.Equal(t, ledger.Hold{
		Slot: "s", Owner: "host:2", Epoch: 2, Settled: 4, Origin: moved.Origin, Before: ledger.Place{SystemID: "7", Timeline: 1},
	}, moved)
	require.NotEqual(t, hold.Origin, moved.Origin)
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM tailpost.relay WHERE system_id = '8' AND timeline = 3 AND settled_at IS NULL
		AND owner = 'host:2' AND publication = '5.6.7' AND updated_at = $1 AND moved_at = $1 AND started_at = $2`, later, noon))
}

func TestRecord_makesMissingPartitions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	far, farther := attempt("e1", "erp", outbox.Delivered, 1), attempt("e2", "erp", outbox.Delivered, 2)
	far.AttemptedAt, farther.AttemptedAt = noon.AddDate(0, 2, 0), noon.AddDate(0, -2, 0)
	patient, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	require.NoError(t, b.ledger.Record(patient, hold, &ledger.Batch{
		Attempts: []outbox.Attempt{attempt("e0", "erp", outbox.Delivered, 1), far, farther}, Settled: 7,
	}))
	require.Equal(t, 3, b.count(t, `SELECT count(*) FROM tailpost.attempt`))
	require.Equal(t, 1, b.count(t, `SELECT batch FROM tailpost.relay WHERE settled_lsn = '0/7'`))
}

func TestRecord_storesTextThatPostgresCannot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	a := attempt("e\x001", "erp", outbox.Retry, 1)
	a.EventType, a.Tenant, a.Error = "a\xffb", "\x00", "read\x00 \xc3("
	a.URL, a.ResponseBody = "https://example.com/\xff", []byte("\x00caf\xc3\xa9\xff")
	d := pending("e\x001", "erp", "k\x00\xff", 1, noon)
	d.LastError, d.Event.Headers = "\xff\x00", map[string]string{"a\x00": "\xff"}
	update := d
	update.LastError = "again\x00"
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{
		Attempts: []outbox.Attempt{a}, Park: []outbox.Delivery{d}, Update: []outbox.Delivery{update},
		Endpoints: []ledger.EndpointChange{{EndpointID: "x\x00", Status: "disabled", DisabledReason: "\xff"}},
	}))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM tailpost.attempt WHERE event_id = 'e1' AND event_type = 'a�b' AND tenant = ''
		AND error = 'read �(' AND url = 'https://example.com/�' AND response_body = 'café�'`))
	due, _, err := b.ledger.InOrder(t.Context(), "erp", 1, false)
	require.NoError(t, err)
	require.Len(t, due, 1)
	require.Equal(t, "again", due[0].LastError)
	require.Equal(t, map[string]string{"a\x00": "�"}, due[0].Event.Headers)
}

// openEncoded is a migrated database of another encoding, with a ledger.
func openEncoded(t *testing.T, b *bundle, encoding string) (*pgx.Conn, *ledger.Ledger) {
	t.Helper()
	name := b.db.Name + "_" + strings.ToLower(encoding)
	b.exec(t, `CREATE DATABASE `+name+` ENCODING '`+encoding+`' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0`)
	t.Cleanup(func() {
		_, err := b.conn.Exec(contextOf(t), `DROP DATABASE `+name+` WITH (FORCE)`)
		require.NoError(t, err)
	})
	url := strings.Replace(b.db.URL, b.db.Name, name, 1)
	conn := connectTo(t, url)
	migrate(t, conn)
	l := b.open(t, url)
	require.NoError(t, l.EnsurePartitions(t.Context(), noon))
	return conn, l
}

func TestRecord_writesASCIIWhereTheDatabaseIsNotUTF8(t *testing.T) {
	t.Parallel()
	conn, l := openEncoded(t, migrated(t), "LATIN1")
	a := attempt("é", "erp", outbox.Delivered, 1)
	a.ResponseBody = []byte("café €")
	// What stands in JSON can be escaped, so that nothing of it is lost: a value that was cut ends
	// with a character that few encodings have.
	headers := map[string]string{"x-policy": "default-src…", "x-name": "é€😀"}
	a.RequestHeaders, a.ResponseHeaders = headers, headers
	parked, found := pending("e1", "erp", "", 2, noon), pending("e2", "erp", "", 3, noon)
	parked.Event.Headers, found.Event.Headers = headers, headers
	hold := take(t, l)
	within, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	require.NoError(t, l.Record(within, hold, &ledger.Batch{Attempts: []outbox.Attempt{a}, Park: []outbox.Delivery{parked}, Endpoints: []ledger.EndpointChange{
		{EndpointID: "erp", VerifyError: `answer with {"challenge": "…"}`}, {EndpointID: "erp", Status: ledger.StatusDisabled, DisabledReason: "“gone”"},
	}}))
	found.Search = []string{"name=€"}
	_, err := l.Queue(within, hold, []outbox.Delivery{found}, noon)
	require.NoError(t, err)
	ds, _, err := l.InOrder(t.Context(), "erp", 10, false)
	require.NoError(t, err)
	require.Equal(t, []string{"e1", "e2"}, ids(ds))
	for i := range ds {
		require.Equal(t, headers, ds[i].Event.Headers)
	}
	var request, response string
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT request_headers::text, response_headers::text FROM tailpost.attempt").Scan(&request, &response))
	for _, text := range []string{request, response} {
		var got map[string]string
		require.NoError(t, json.Unmarshal([]byte(text), &got))
		require.Equal(t, headers, got)
	}
	var body string
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT response_body FROM tailpost.attempt WHERE event_id = chr(233)`).Scan(&body))
	require.Equal(t, "caf? ?", body)
}

// Where the database has no encoding an id may be any bytes. It is recorded as it is, or an audit
// would find it missing for ever.
func TestRecord_keepsTheBytesOfADatabaseWithoutEncoding(t *testing.T) {
	t.Parallel()
	conn, l := openEncoded(t, migrated(t), "SQL_ASCII")
	_, err := conn.Exec(t.Context(), "SET client_encoding = SQL_ASCII; CREATE TABLE public.events (id text PRIMARY KEY, type text, payload text, created_at timestamptz)")
	require.NoError(t, err)
	for _, id := range []string{"a\xff", "a\xfe"} {
		_, err = conn.Exec(t.Context(), "INSERT INTO public.events VALUES ($1, $1, $1, $2)", id, noon)
		require.NoError(t, err)
	}
	hold := take(t, l)
	parked := pending("a\xff", "erp", "k\xff", 1, noon)
	require.NoError(t, l.Record(t.Context(), hold, &ledger.Batch{
		Attempts: []outbox.Attempt{attempt("a\xff", "crm", outbox.Delivered, 1)}, Park: []outbox.Delivery{parked}, Now: noon,
	}))
	ds, _, err := l.InOrder(t.Context(), "erp", 10, false)
	require.NoError(t, err)
	require.Equal(t, noon, ds[0].QueuedAt)
	require.Equal(t, []outbox.Delivery{parked}, asWritten(t, ds))
	sweep, err := l.NewSweep(t.Context(), outbox.Mapping{Table: "public.events", ID: "id", Type: "type", Payload: "payload", CreatedAt: "created_at"}, scan.Scope{})
	require.NoError(t, err)
	has := recorded(t, sweep)
	require.ElementsMatch(t, []string{"crm", "erp"}, has["a\xff"])
	require.Empty(t, has["a\xfe"])
}

// WAL without events is let go of ahead of a record, which is made once for a good stretch of it;
// the last record of a hold says exactly how far it came.
func TestRecord_ofAFrontierThatPassesWALIsMadeAheadOfIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	record := func(b *bundle, batch ledger.Batch) (batches int, released string) {
		require.NoError(t, b.ledger.Record(t.Context(), hold, &batch))
		require.NoError(t, b.conn.QueryRow(t.Context(), "SELECT batch, released_lsn::text FROM tailpost.relay").Scan(&batches, &released))
		return batches, released
	}
	const mega = 1 << 20
	batches, released := record(b, ledger.Batch{Settled: mega, Passing: true})
	require.Equal(t, []any{1, "0/4100000"}, []any{batches, released}, "64 MiB ahead")
	batches, released = record(b, ledger.Batch{Settled: 60 * mega, Passing: true})
	require.Equal(t, []any{1, "0/4100000"}, []any{batches, released}, "within that nothing is written")
	batches, released = record(b, ledger.Batch{Settled: 66 * mega, Passing: true})
	require.Equal(t, []any{2, "0/8200000"}, []any{batches, released})
	batches, released = record(b, ledger.Batch{Settled: 67 * mega, Attempts: oneOf("e1", 1).Attempts})
	require.Equal(t, []any{3, "0/8200000"}, []any{batches, released}, "a record that is made anyway keeps half of it ahead")
	batches, released = record(b, ledger.Batch{Settled: 120 * mega, Attempts: oneOf("e2", 1).Attempts})
	require.Equal(t, []any{4, "0/B800000"}, []any{batches, released})
	batches, released = record(b, ledger.Batch{Settled: 121 * mega})
	require.Equal(t, []any{5, "0/7900000"}, []any{batches, released}, "the last one of a hold")
	_, _ = record(b, ledger.Batch{Settled: 121 * mega, Attempts: oneOf("e3", 1).Attempts})
	batches, released = record(b, ledger.Batch{Settled: 121 * mega})
	require.Equal(t, []any{7, "0/7900000"}, []any{batches, released}, "also where it came no further than the record before")
}

// What becomes of an event whose id an earlier one has is nothing to the row of that. Delivered
// after all, it leaves no row; failed, it stays dead as it is.
func TestRecord_leavesTheRowOfAnEarlierEventWithTheSameIDAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	first, second, third := pending("e1", "erp", "", 1, noon), pending("e1", "erp", "", 2, noon), pending("e1", "erp", "", 3, noon)
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Park: []outbox.Delivery{first, second, third}}))
	failed := third
	failed.Attempts, failed.NextAttemptAt, failed.LastStatus = 7, noon.Add(time.Hour), 503
	changed := first
	changed.Attempts, changed.Reason, changed.LastStatus = 2, outbox.ReasonFailed, 500
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Update: []outbox.Delivery{changed, failed}, Remove: []ledger.QueueRow{rowOf(second)}}))
	require.Equal(t, []outbox.Delivery{changed}, b.due(t, "erp", noon))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM tailpost.delivery WHERE event_id = 'e1~0/3.0' AND state = 'dead' AND reason = 'id_reused'`))
	require.Equal(t, 2, b.count(t, `SELECT count(*) FROM tailpost.delivery`))
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Remove: []ledger.QueueRow{rowOf(first)}}))
	require.Empty(t, b.due(t, "erp", noon))
}

// An id that is used again hides behind no delivery of the event that had it before, also in the
// batch of that; the same event leaves its row alone.
func TestRecord_parksAnEventWhoseIDAnEarlierOneHas(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	first, second, third := pending("e1", "erp", "", 1, noon), pending("e1", "erp", "", 2, noon), pending("e1", "erp", "", 3, noon)
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Park: []outbox.Delivery{first, second, pending("e1", "crm", "", 2, noon)}}))
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Park: []outbox.Delivery{third, first}}))
	require.Equal(t, []outbox.Delivery{first}, b.due(t, "erp", noon))
	require.Equal(t, 2, b.count(t, `
		SELECT count(*) FROM tailpost.delivery
		WHERE event_id IN ('e1~0/2.0', 'e1~0/3.0') AND endpoint_id = 'erp' AND state = 'dead' AND reason = 'id_reused'
		  AND last_error LIKE '%id e1 %' AND next_attempt_at IS NULL AND payload IS NOT NULL`))
	require.Equal(t, 4, b.count(t, `SELECT count(*) FROM tailpost.delivery`))
}

func TestRecord_takesPayloadsLargerThanItsBuffers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	var park []outbox.Delivery
	for i, size := range []int{9 << 20, 1, 3 << 20, 3 << 20, 0} {
		d := pending(string(rune('a'+i)), "erp", "", outbox.LSN(i+1), noon)
		d.Event.Payload = []byte(strings.Repeat("x", size))
		park = append(park, d)
	}
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Park: park}))
	require.Equal(t, 15<<20+1, b.count(t, `SELECT sum(octet_length(payload)) FROM tailpost.delivery`))
	require.Equal(t, 1, b.count(t, `SELECT batch FROM tailpost.relay`))
}

// A relay that stood by finds out that its connections are lost, to a crash of Postgres for
// example, before it delivers: the first record would find out, and then the hold would be over
// again.
func TestTake_makesTheRecordingConnectionAgain(t *testing.T) {
	t.Parallel()
	b := migrated(t)
	b.ledger = b.open(t, b.db.URL)
	require.NoError(t, b.ledger.EnsurePartitions(t.Context(), noon))
	require.True(t, b.ledger.Connected())
	_, err := b.conn.Exec(t.Context(), `
		SELECT pg_terminate_backend(pid, 10000)
		FROM pg_stat_activity
		WHERE application_name = 'tailpost test' AND datname = current_database()`)
	require.NoError(t, err)
	eventually(t, func() bool { return !b.ledger.Connected() })

	hold := take(t, b.ledger)
	require.True(t, b.ledger.Connected())
	before := b.losses()
	require.NoError(t, b.ledger.Record(t.Context(), hold, oneOf("e1", 1)))
	require.Equal(t, before, b.losses(), "connections found lost after Take")
	requireRecorded(t, b, 1)
}
