package query_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/pgtest/pgschema"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// noon is the time of the neighbours' database.
var noon = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

// neighboursSQL fills a database with rows of two tenants and of none that differ in few things.
// Rows are created in their order, one a minute.
const neighboursSQL = `
INSERT INTO tailpost.endpoint (id, tenant, name, url, subscriptions, policy, status, disabled_reason, source, secrets, secret_prefix, created_at, updated_at)
SELECT id, tenant, name, 'https://example.com/', '[]', '{}', status, reason, source, secrets::bytea, prefix, @noon::timestamptz + n * interval '1 minute', @noon
FROM (VALUES
    (1, 'ep-1', 'alpha', 'ERP', 'active',   NULL,      'api',    'sealed', 'whsk_1'),
    (2, 'ep-2', 'bravo', 'ERP', 'active',   NULL,      'api',    'sealed', 'whsec_'),
    (3, 'ep-3', NULL,    'ERP', 'active',   NULL,      'api',    NULL,     'whsk_3'),
    (4, 'ep-4', 'alpha', 'ERP', 'active',   NULL,      'config', NULL,     NULL),
    (5, 'ep-5', 'alpha', 'CRM', 'paused',   NULL,      'api',    'sealed', 'whskey'),
    (6, 'ep-6', 'alpha', 'erp', 'disabled', 'removed', 'api',    NULL,     NULL)
) AS v (n, id, tenant, name, status, reason, source, secrets, prefix);
INSERT INTO tailpost.endpoint_stats (endpoint_id, hour, attempts, delivered, failed, dead, duration_ms_sum, buckets)
SELECT 'ep-' || n, @noon::timestamptz - h * interval '1 hour', n * 10 + h, n, n, 0, 1, array_fill(1, ARRAY[15])
FROM generate_series(1, 2) AS n, generate_series(0, 2) AS h;
INSERT INTO tailpost.delivery (event_id, endpoint_id, state, reason, attempts, event_type, tenant, commit_lsn, seq, event_created_at, created_at, updated_at)
SELECT 'event-' || e, 'ep-' || n, CASE e WHEN 1 THEN 'pending' ELSE 'dead' END, 'retry', e - 1, 'order.created', 'alpha', '0/10', e, @noon, @noon, @noon
FROM generate_series(1, 2) AS e, generate_series(1, 3) AS n;
INSERT INTO tailpost.portal_link (id, tenant, capabilities, created_by, fingerprint, created_at, expires_at)
SELECT id, tenant, '{view}', 'key-1', '\x01', @noon::timestamptz + n * interval '1 minute', @noon::timestamptz + ends::interval
FROM (VALUES (1, 'link-1', 'alpha', '1 hour'), (2, 'link-2', 'bravo', '1 hour'), (3, 'link-3', 'alpha', '-1 hour'), (4, 'link-4', 'bravo', '-8 days'), (5, 'link-5', 'alpha', '2 hours'))
    AS v (n, id, tenant, ends);
INSERT INTO tailpost.session (hash, key_id, fingerprint, created_at, seen_at)
SELECT hash::bytea, 'key-1', '\x01', @noon::timestamptz - created::interval, @noon::timestamptz - seen::interval
FROM (VALUES ('session-1', '1 hour', '1 hour'), ('session-2', '1 hour', '1 hour'), ('session-old', '20 hours', '1 hour'), ('session-idle', '5 hours', '5 hours')) AS v (hash, created, seen);
INSERT INTO tailpost.idempotency (key, request, answer, created_at)
SELECT key::bytea, 'request'::bytea, ('answer to ' || key)::bytea, @noon::timestamptz - age::interval
FROM (VALUES ('again-1', '1 hour'), ('again-2', '23 hours'), ('again-old', '25 hours')) AS v (key, age);
INSERT INTO tailpost.event_type (name, created_at, updated_at)
SELECT name, @noon, @noon FROM unnest('{order.created,order.paid,user.gone}'::text[]) AS name;
INSERT INTO tailpost.replay (id, endpoint_id, types, until, state, created_at, updated_at)
SELECT id, endpoint, '{}', @noon, state, @noon::timestamptz + n * interval '1 minute', @noon
FROM (VALUES (1, 'replay-1', 'ep-1', 'pending'), (2, 'replay-2', 'ep-2', 'pending'), (3, 'replay-3', 'ep-1', 'done'), (4, 'replay-4', 'ep-3', 'running'), (5, 'replay-5', 'ep-5', 'pending'))
    AS v (n, id, endpoint, state);
INSERT INTO tailpost.replay_missing (replay_id, event_id, event_type, attempted_at, outcome)
SELECT 'replay-' || r, 'gone-' || r || e, 'order.created', @noon, 'dead'
FROM generate_series(1, 2) AS r, generate_series(1, 3) AS e;
INSERT INTO tailpost.resend (id, tenant, selection, state, created_at, updated_at)
SELECT id, tenant, jsonb_build_object('endpoint_id', endpoint), state, @noon::timestamptz + n * interval '1 minute', @noon
FROM (VALUES (1, 'resend-1', 'alpha', 'ep-1', 'pending'), (2, 'resend-2', 'bravo', 'ep-2', 'pending'), (3, 'resend-3', 'alpha', 'ep-1', 'done'), (4, 'resend-4', NULL, 'ep-1', 'running'))
    AS v (n, id, tenant, endpoint, state);
INSERT INTO tailpost.api_key (id, name, source, hash, scopes, tenant, created_by, created_at)
SELECT 'key-' || n, 'k', 'api', n::text::bytea, '{}', CASE n WHEN 1 THEN 'alpha' ELSE 'bravo' END, 'config', @noon
FROM generate_series(1, 2) AS n;
INSERT INTO tailpost.audit (at, actor, address, tenant, action, object)
SELECT @noon, actor, '', tenant, action, object
FROM (VALUES
    (1, 'key-1', 'alpha', 'endpoint.update', 'ep-1'),
    (2, 'key-1', 'bravo', 'endpoint.update', 'ep-1'),
    (3, 'key-1', 'alpha', 'endpoint.update', 'ep-2'),
    (4, 'key-1', 'alpha', 'endpoint.delete', 'ep-1'),
    (5, 'key-2', 'alpha', 'endpoint.update', 'ep-1'),
    (6, 'key-1', NULL,    'endpoint.update', 'ep-1')
) AS v (n, actor, tenant, action, object)
ORDER BY n`

// neighbours opens a database that neighboursSQL filled.
func neighbours(t *testing.T) (*query.Store, *pgx.Conn) {
	t.Helper()
	db := pgschema.NewDB(t)
	conn := db.Conn(t)
	_, err := schema.Migrate(t.Context(), conn, schema.MigrateOptions{Mapping: outbox.DefaultMapping()})
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), neighboursSQL, pgx.QueryExecModeSimpleProtocol, pgx.NamedArgs{"noon": noon})
	require.NoError(t, err)
	store, err := query.Open(t.Context(), query.Options{URL: config.NewSecret(db.URL), Mapping: outbox.DefaultMapping()})
	require.NoError(t, err)
	t.Cleanup(store.Close)
	return store, conn
}

// rowsOf returns every row of the tables that the API changes, by its table and key.
func rowsOf(t *testing.T, conn *pgx.Conn) map[string]string {
	t.Helper()
	rows, err := conn.Query(t.Context(), `
		SELECT id, r::text FROM tailpost.endpoint AS r
		UNION ALL SELECT event_id || ' to ' || endpoint_id, r::text FROM tailpost.delivery AS r
		UNION ALL SELECT 'discarded ' || event_id || ' to ' || endpoint_id, r::text FROM tailpost.discarded AS r
		UNION ALL SELECT id, r::text FROM tailpost.portal_link AS r
		UNION ALL SELECT encode(hash, 'escape'), r::text FROM tailpost.session AS r
		UNION ALL SELECT encode(key, 'escape'), r::text FROM tailpost.idempotency AS r
		UNION ALL SELECT name, r::text FROM tailpost.event_type AS r
		UNION ALL SELECT id, r::text FROM tailpost.replay AS r
		UNION ALL SELECT id, r::text FROM tailpost.resend AS r
		UNION ALL SELECT id, r::text FROM tailpost.api_key AS r`)
	require.NoError(t, err)
	all := map[string]string{}
	var key, row string
	_, err = pgx.ForEachRow(rows, []any{&key, &row}, func() error { all[key] = row; return nil })
	require.NoError(t, err)
	return all
}

// differences returns the keys of what is not the same before and after.
func differences(before, after map[string]string) []string {
	changed := map[string]bool{}
	for key := range before {
		changed[key] = before[key] != after[key]
	}
	for key := range after {
		changed[key] = before[key] != after[key]
	}
	maps.DeleteFunc(changed, func(_ string, is bool) bool { return !is })
	return slices.Sorted(maps.Keys(changed))
}

// neighbourly is a change, and the rows that it is to change.
type neighbourly struct {
	name    string
	do      func(context.Context, *query.Store) error
	changed []string
}

// change makes a change of what f does.
func change(f func(context.Context, *query.Change) error) func(context.Context, *query.Store) error {
	return remembered("", func(ctx context.Context, c *query.Change) ([]byte, error) { return nil, f(ctx, c) })
}

// remembered makes a change under an Idempotency-Key; empty: under none.
func remembered(key string, f func(context.Context, *query.Change) ([]byte, error)) func(context.Context, *query.Store) error {
	var r query.Remembered
	if key != "" {
		r = query.Remembered{Key: []byte(key), Request: []byte("request")}
	}
	return func(ctx context.Context, s *query.Store) error {
		_, err := s.Change(ctx, query.Actor{ID: "key-1"}, r, noon, f)
		return err
	}
}

var neighbourlyRequests = []neighbourly{
	{"a repeatable request", remembered("again-new", func(context.Context, *query.Change) ([]byte, error) {
		return []byte("answer"), nil
	}), []string{"again-new", "again-old"}},
	{"a request that is repeated", remembered("again-1", func(context.Context, *query.Change) ([]byte, error) {
		return nil, errors.New("it was answered")
	}), nil},
}

var neighbourlyOperations = []neighbourly{
	{"cancelling a replay", change(func(ctx context.Context, c *query.Change) error {
		r, err := c.LockReplay(ctx, "alpha", "replay-1")
		if err != nil {
			return err
		}
		return c.CancelReplay(ctx, &r)
	}), []string{"replay-1"}},
	{"cancelling a replay that is over", change(func(ctx context.Context, c *query.Change) error {
		return c.CancelReplay(ctx, &query.Replay{Operation: query.Operation{ID: "replay-3"}})
	}), nil},
	{"cancelling a resend", change(func(ctx context.Context, c *query.Change) error {
		r, err := c.LockResend(ctx, "alpha", "resend-1")
		if err != nil {
			return err
		}
		return c.CancelResend(ctx, &r)
	}), []string{"resend-1"}},
	{"cancelling a resend that is over", change(func(ctx context.Context, c *query.Change) error {
		return c.CancelResend(ctx, &query.Resend{Operation: query.Operation{ID: "resend-3"}})
	}), nil},
}

var neighbourlyDeliveries = []neighbourly{
	{"resending a delivery", change(func(ctx context.Context, c *query.Change) error {
		n, err := c.Resend(ctx, ledger.DeliveryFilter{EndpointID: "ep-3", EventID: "event-2"})
		if n != 1 {
			return fmt.Errorf("resent %d deliveries", n)
		}
		return err
	}), []string{"event-2 to ep-3"}},
	{"resending what is not there", change(func(ctx context.Context, c *query.Change) error {
		n, err := c.Resend(ctx, ledger.DeliveryFilter{EndpointID: "ep-3", EventID: "none"})
		if n != 0 {
			return fmt.Errorf("resent %d deliveries", n)
		}
		return err
	}), nil},
	{"discarding a delivery without an attempt", change(func(ctx context.Context, c *query.Change) error {
		n, err := c.Discard(ctx, ledger.DeliveryFilter{EventID: "event-1", Tenant: "bravo"})
		if n != 1 {
			return fmt.Errorf("discarded %d deliveries", n)
		}
		return err
	}), []string{"discarded event-1 to ep-2", "event-1 to ep-2"}},
	{"discarding deliveries of several endpoints", change(func(ctx context.Context, c *query.Change) error {
		n, err := c.Discard(ctx, ledger.DeliveryFilter{EventID: "event-2", State: "dead"})
		if n != 2 {
			return fmt.Errorf("discarded %d deliveries", n)
		}
		return err
	}), []string{"event-2 to ep-1", "event-2 to ep-2"}},
}

var neighbourlyEndpoints = []neighbourly{
	{"saving an endpoint", change(func(ctx context.Context, c *query.Change) error {
		e, err := c.Endpoint(ctx, "alpha", "ep-1")
		if err != nil {
			return err
		}
		return c.SaveEndpoint(ctx, &e)
	}), []string{"ep-1"}},
	{"deleting an endpoint", change(func(ctx context.Context, c *query.Change) error {
		n, err := c.DeleteEndpoint(ctx, "ep-1")
		if n != 1 {
			return fmt.Errorf("discarded %d deliveries", n)
		}
		return err
	}), []string{"ep-1", "event-1 to ep-1"}},
	{"changing an event type", change(func(ctx context.Context, c *query.Change) error {
		return c.PutEventType(ctx, &query.EventType{Name: "order.paid", Description: "paid"})
	}), []string{"order.paid"}},
	{"deleting an event type", change(func(ctx context.Context, c *query.Change) error {
		return c.DeleteEventType(ctx, "order.paid")
	}), []string{"order.paid"}},
}

var neighbourlyAccess = []neighbourly{
	{"using a link", func(ctx context.Context, s *query.Store) error {
		return s.UseKey(ctx, query.Key{Source: query.SourcePortal, Prefix: "link-1"}, noon)
	}, []string{"link-1"}},
	{"making a link", change(func(ctx context.Context, c *query.Change) error {
		return c.CreatePortalLink(ctx, &query.PortalLink{ID: "link-new", Tenant: "alpha", Capabilities: []string{"view"}, Fingerprint: []byte{1}, ExpiresAt: noon.Add(time.Hour)})
	}), []string{"link-4", "link-new"}},
	{"deleting a link", change(func(ctx context.Context, c *query.Change) error {
		return c.DeletePortalLink(ctx, "link-1")
	}), []string{"link-1"}},
	{"using a key", func(ctx context.Context, s *query.Store) error {
		return s.UseKey(ctx, query.Key{ID: "key-1", Source: query.SourceAPI}, noon)
	}, []string{"key-1"}},
	{"deleting a key", change(func(ctx context.Context, c *query.Change) error {
		return c.DeleteKey(ctx, "key-1")
	}), []string{"key-1"}},
	{"seeing a session", func(ctx context.Context, s *query.Store) error {
		return s.SeeSession(ctx, []byte("session-1"), noon)
	}, []string{"session-1"}},
	{"seeing a session late", func(ctx context.Context, s *query.Store) error {
		return s.SeeSession(ctx, []byte("session-1"), noon.Add(-time.Minute))
	}, nil},
	{"sweeping sessions", func(ctx context.Context, s *query.Store) error {
		return s.SweepSessions(ctx, noon.Add(-12*time.Hour), noon.Add(-2*time.Hour))
	}, []string{"session-idle", "session-old"}},
	{"closing a session", func(ctx context.Context, s *query.Store) error {
		return s.CloseSession(ctx, []byte("session-1"))
	}, []string{"session-1"}},
}

// TestAChangeLeavesItsNeighboursAlone: what is changed is what was named, whatever else there is of
// other tenants, or of the same one. The changes are made one after the other.
func TestAChangeLeavesItsNeighboursAlone(t *testing.T) {
	t.Parallel()
	store, conn := neighbours(t)
	for _, c := range slices.Concat(neighbourlyRequests, neighbourlyOperations, neighbourlyAccess, neighbourlyDeliveries, neighbourlyEndpoints) {
		before := rowsOf(t, conn)
		require.NoError(t, c.do(t.Context(), store), c.name)
		require.Equal(t, c.changed, differences(before, rowsOf(t, conn)), c.name)
	}
}
