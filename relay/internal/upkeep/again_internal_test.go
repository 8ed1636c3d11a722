package upkeep

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/pgtest"
	"github.com/tailpost/tailpost/integration/pgtest/pgschema"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// againBundle is a slot that was taken, over a table of two events, with the endpoint erp. Its
// deliveries stay in the queue unless somebody runs the dispatcher.
type againBundle struct {
	db         *pgtest.DB
	conn       *pgx.Conn
	ledger     *ledger.Ledger
	dispatcher *dispatch.Dispatcher
	hold       ledger.Hold
	mapping    outbox.Mapping
	endpoint   dispatch.Endpoint
	sent       sink
}

// sink takes every event and tells its id.
type sink chan string

func (s sink) Send(_ context.Context, r *webhook.Request) webhook.Result {
	s <- r.Event.ID
	return webhook.Result{
		Attempt: outbox.Attempt{
			EventID: r.Event.ID, EventType: r.Event.Type, CommitLSN: r.Event.CommitLSN, Number: r.Number, Trigger: r.Trigger, AttemptedAt: r.Now, StatusCode: 200,
		},
		Delivered: true, Reached: true,
	}
}

func (s sink) SendBatch(ctx context.Context, b *webhook.Batch) []webhook.Result {
	results := make([]webhook.Result, len(b.Requests))
	for i := range b.Requests {
		results[i] = s.Send(ctx, &b.Requests[i])
	}
	return results
}

func setupAgain(t *testing.T, changes ...func(*dispatch.Endpoint)) *againBundle {
	t.Helper()
	db := pgschema.NewDB(t)
	b := &againBundle{db: db, conn: db.Conn(t), sent: make(sink, 10)}
	_, err := schema.Migrate(t.Context(), b.conn, schema.MigrateOptions{})
	require.NoError(t, err)
	b.exec(t, `
		CREATE TABLE public.events (id text PRIMARY KEY, type text, payload json, created_at timestamptz);
		INSERT INTO public.events VALUES ('e1', 'order.created', '{"n": 1}', '2026-03-01'), ('e2', 'order.created', '{"n": 2}', NULL);`)
	b.ledger, err = ledger.Open(t.Context(), ledger.Options{URL: config.NewSecret(db.URL)})
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.ledger.Close(context.WithoutCancel(t.Context())) })
	b.hold, err = b.ledger.Take(t.Context(), ledger.TakeOptions{Slot: "s", SystemID: "7", Now: time.Now()})
	require.NoError(t, err)
	b.endpoint = dispatch.Endpoint{Sender: b.sent, Config: config.Endpoint{
		ID: "erp", Concurrency: 1, Ordering: config.OrderingNone, ParkAfter: time.Minute, Timeout: time.Second, Subscriptions: []config.Subscription{{}},
	}}
	for _, change := range changes {
		change(&b.endpoint)
	}
	b.dispatcher = b.dispatching(t)
	b.mapping = outbox.Mapping{Table: "public.events", ID: "id", Type: "type", Payload: "payload", CreatedAt: "created_at"}
	return b
}

// idOf has an event found by its id.
func idOf(ev *outbox.Event) []string { return []string{"id=" + ev.ID} }

// dispatching returns another dispatcher of the endpoint, as another relay has it.
func (b *againBundle) dispatching(t *testing.T) *dispatch.Dispatcher {
	t.Helper()
	return dispatch.New(context.WithoutCancel(t.Context()), dispatch.Options{
		Ledger: b.ledger, Hold: b.hold, Frontier: source.NewFrontier(0), Ack: func(source.Position) {}, Endpoints: []dispatch.Endpoint{b.endpoint},
	})
}

func (b *againBundle) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := b.conn.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

func (b *againBundle) text(t *testing.T, sql string) (s string) {
	t.Helper()
	require.NoError(t, b.conn.QueryRow(t.Context(), sql).Scan(&s))
	return s
}

// replay asks for a replay to an endpoint, and returns it.
func (b *againBundle) replay(t *testing.T, endpoint, types string, since *time.Time) *ledger.Replay {
	t.Helper()
	b.exec(t, `
		INSERT INTO tailpost.replay (id, endpoint_id, types, since, until, state, in_order, created_at, updated_at)
		VALUES ('r1', $1, $2::text::text[], $3, now() + interval '1h', 'pending', false, now(), now())`, endpoint, types, since)
	open, err := b.ledger.Replays(t.Context())
	require.NoError(t, err)
	require.Len(t, open, 1)
	return &open[0]
}

func (b *againBundle) replayer() *replayer {
	return &replayer{ledger: b.ledger, dispatcher: b.dispatcher, hold: b.hold, mapping: b.mapping, terms: idOf, slow: make(map[string]int), log: zerolog.Nop()}
}

// A replay that cannot be carried out ends with the reason, instead of being tried for ever: what
// was accepted may have become impossible since.
func TestAReplayThatCannotBeCarriedOutSaysWhy(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		endpoint, types string
		since           *time.Time
		change          func(m *outbox.Mapping)
		want            string // empty: it goes on
	}{
		"as it should be":                 {endpoint: "erp", types: "{order.*}", since: &since},
		"an endpoint that is gone":        {endpoint: "crm", types: "{}", want: "the endpoint is gone"},
		"a table that is gone":            {endpoint: "erp", types: "{}", change: func(m *outbox.Mapping) { m.Table = "" }, want: "there is no outbox table to replay from"},
		"a pattern that is none":          {endpoint: "erp", types: "{order..paid}", want: `event type "order..paid"`},
		"a time, and no column that says": {endpoint: "erp", types: "{}", since: &since, change: func(m *outbox.Mapping) { m.CreatedAt = "" }, want: "no column for the time of events"},
		"no time, and no column for it":   {endpoint: "erp", types: "{}", change: func(m *outbox.Mapping) { m.CreatedAt = "" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupAgain(t)
			if test.change != nil {
				test.change(&b.mapping)
			}
			went, err := b.replayer().step(t.Context(), b.replay(t, test.endpoint, test.types, test.since))
			require.NoError(t, err)
			require.True(t, went)
			problem := b.text(t, "SELECT COALESCE(error, '') FROM tailpost.replay")
			if test.want == "" {
				require.Empty(t, problem)
				require.Equal(t, "running", b.text(t, "SELECT state FROM tailpost.replay"))
				return
			}
			require.Contains(t, problem, test.want)
			require.Equal(t, "failed", b.text(t, "SELECT state FROM tailpost.replay"))
		})
	}
}

// A replay adds no more to an endpoint that has enough to do: the queue stays small however much is
// replayed.
func TestAReplayWaitsForItsEndpoint(t *testing.T) {
	t.Parallel()
	for pending, want := range map[int]bool{replayPending - 1: true, replayPending: false} {
		t.Run(fmt.Sprint(pending), func(t *testing.T) {
			t.Parallel()
			b := setupAgain(t)
			b.exec(t, `
				INSERT INTO tailpost.delivery (event_id, endpoint_id, event_type, payload, state, reason, attempts, next_attempt_at, commit_lsn, seq, event_created_at, created_at, updated_at)
				SELECT 'p' || n, 'erp', 'order.created', '{}', 'pending', 'slow', 0, now(), '0/1', n, now(), now(), now()
				FROM generate_series(1, $1::int) AS n`, pending)
			went, err := b.replayer().step(t.Context(), b.replay(t, "erp", "{}", nil))
			require.NoError(t, err)
			require.Equal(t, want, went)
			require.Equal(t, map[bool]string{true: "running", false: "pending"}[want], b.text(t, "SELECT state FROM tailpost.replay"))
		})
	}
}

// An event that is read again has the place of its row in the stream, so that an order keeps it
// there, and the time that its row says.
func TestAnEventThatIsReadAgainKeepsItsPlaceAndTime(t *testing.T) {
	t.Parallel()
	b := setupAgain(t)
	later := time.Date(2026, 12, 24, 0, 0, 0, 0, time.UTC)
	b.exec(t, "ALTER TABLE public.events ADD deliver_at timestamptz")
	b.exec(t, "UPDATE public.events SET deliver_at = $1 WHERE id = 'e2'", later)
	b.mapping.DeliverAt = "deliver_at"
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	p := &rereader{ledger: b.ledger, dispatcher: b.dispatcher, hold: b.hold, mapping: b.mapping, terms: idOf, log: zerolog.Nop()}
	for id, created := range map[string]time.Time{"e1": time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), "e2": now} {
		ds, problem, err := p.read(t.Context(), &ledger.Rejected{EventID: id, CommitLSN: 77, Seq: 5}, now)
		require.NoError(t, err)
		require.Empty(t, problem)
		require.Len(t, ds, 1)
		require.Equal(t, "erp", ds[0].EndpointID)
		require.EqualValues(t, 77, ds[0].Event.CommitLSN)
		require.EqualValues(t, 5, ds[0].Event.Seq)
		require.True(t, created.Equal(ds[0].Event.CreatedAt), "%s: %s", id, ds[0].Event.CreatedAt)
		require.Equal(t, outbox.Pending, ds[0].State)
		require.Equal(t, []string{"id=" + id}, ds[0].Search, "whoever searches for it finds what waits")
		if id == "e1" {
			require.Equal(t, outbox.ReasonReplay, ds[0].Reason)
			require.Equal(t, now, ds[0].NextAttemptAt)
			continue
		}
		require.Equal(t, outbox.ReasonScheduled, ds[0].Reason, "its time has not come")
		require.True(t, later.Equal(ds[0].NextAttemptAt))
	}
	b.dead(t, "erp", 1)
	b.exec(t, "UPDATE tailpost.delivery SET event_id = 'e1'")
	ds, problem, err := p.read(t.Context(), &ledger.Rejected{EventID: "e1"}, now)
	require.NoError(t, err)
	require.Empty(t, problem)
	require.Empty(t, ds, "its endpoint has it")
}

// What cannot be read again says so, with the first reason once: it may be resent many times.
func TestAnEventThatCannotBeReadAgainKeepsItsFirstReason(t *testing.T) {
	t.Parallel()
	b := setupAgain(t)
	p := &rereader{ledger: b.ledger, dispatcher: b.dispatcher, hold: b.hold, mapping: b.mapping, terms: idOf, log: zerolog.Nop()}
	const gone = "its row is gone, or has no id that can be on record, or it was a logical message, so it cannot be read again"
	for reason, want := range map[string]string{"type is NULL": gone + "; the first time: type is NULL", "": gone} {
		for range 3 {
			ds, problem, err := p.read(t.Context(), &ledger.Rejected{EventID: "gone", LastError: reason}, time.Now())
			require.NoError(t, err)
			require.Empty(t, ds)
			require.Equal(t, want, problem)
			reason = problem
		}
	}
	p.mapping.Table = ""
	ds, problem, err := p.read(t.Context(), &ledger.Rejected{EventID: "e1"}, time.Now())
	require.NoError(t, err)
	require.Empty(t, ds)
	require.Equal(t, "it was a logical message, which cannot be read again", problem)
}
