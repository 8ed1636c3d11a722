package ledger_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

func endpoints(ids ...string) []config.Endpoint {
	var out []config.Endpoint
	for _, id := range ids {
		out = append(out, config.Endpoint{
			ID: id, Name: id, URL: "https://user:hunter2@" + id + ".example.com/in?x=1", Timeout: 15 * time.Second,
			Secrets: []config.Secret{config.NewSecret("whsec_c2VjcmV0")}, Headers: map[string]string{"X-Token": "t0ken"},
			Subscriptions: []config.Subscription{{}}, Format: config.FormatStandard, Signature: config.SignatureStandard,
			Retry: config.Retry{Schedule: []time.Duration{5 * time.Second, time.Hour}}, Concurrency: 4,
		})
	}
	return out
}

// contextOf is for cleanups, where t.Context is over.
func contextOf(tb testing.TB) context.Context {
	tb.Helper()
	return context.WithoutCancel(tb.Context())
}

func connectTo(tb testing.TB, url string) *pgx.Conn {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), url)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = conn.Close(contextOf(tb)) })
	return conn
}

func TestMirror_writesWhatChangedAndNoSecret(t *testing.T) {
	t.Parallel()
	b := setup(t)
	active := ledger.EndpointState{Status: ledger.StatusActive}
	states, err := b.ledger.Mirror(t.Context(), endpoints("crm", "erp"), noon)
	require.NoError(t, err)
	require.Equal(t, map[string]ledger.EndpointState{"crm": active, "erp": active}, states)

	var url, subs, policy, whole string
	require.NoError(t, b.conn.QueryRow(t.Context(), `
		SELECT url, subscriptions::text, policy::text, e::text FROM tailpost.endpoint AS e
		WHERE id = 'erp' AND source = 'config' AND tenant IS NULL AND secrets IS NULL`).Scan(&url, &subs, &policy, &whole))
	require.Equal(t, "https://erp.example.com/in?[redacted]", url)
	require.JSONEq(t, `[{"events":[]}]`, subs)
	require.NotContains(t, whole, "hunter2")
	require.NotContains(t, whole, "t0ken")
	require.NotContains(t, whole, "whsec_")
	var p map[string]any
	require.NoError(t, json.Unmarshal([]byte(policy), &p))
	require.Equal(t, []any{"X-Token"}, p["headers"])
	require.Equal(t, []any{"5s", "1h0m0s"}, p["retry"])
	require.Equal(t, "15s", p["timeout"])

	versions := `SELECT sum(xmin::text::bigint) FROM tailpost.endpoint`
	before := b.count(t, versions)
	_, err = b.ledger.Mirror(t.Context(), endpoints("crm", "erp"), noon.Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, before, b.count(t, versions), "nothing changed, nothing written")

	changed := endpoints("crm", "erp")
	e := &changed[1]
	e.Tenant, e.Concurrency, e.Name, e.Description, e.URL = "acme", 5, "ERP", "theirs", "https://erp.example/elsewhere"
	e.Origin, e.Subscriptions = config.Origin{File: "tailpost.hcl", Line: 7}, []config.Subscription{{Events: []string{"order.*"}}}
	_, err = b.ledger.Mirror(t.Context(), changed, noon.Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM tailpost.endpoint WHERE id = 'erp' AND tenant = 'acme'
		AND policy->>'concurrency' = '5' AND created_at = $1 AND updated_at > $1`, noon))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM tailpost.endpoint WHERE id = 'crm' AND updated_at = $1`, noon))
	const erp = `SELECT (to_jsonb(e) - '{version,created_at}'::text[])::text FROM tailpost.endpoint AS e WHERE id = 'erp'`
	after := b.texts(t, erp)
	require.Equal(t, 2, b.count(t, "SELECT version FROM tailpost.endpoint WHERE id = 'erp'"))
	b.exec(t, "DELETE FROM tailpost.endpoint")
	_, err = b.ledger.Mirror(t.Context(), changed, noon.Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, b.texts(t, erp), after, "its row is that of one which was never another")
}

// A change is written whatever it is of, also where nothing else changes with it.
func TestMirror_writesWhatChangesAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, change := range map[string]func(*config.Endpoint){
		"tenant":        func(e *config.Endpoint) { e.Tenant = "acme" },
		"name":          func(e *config.Endpoint) { e.Name = "ERP" },
		"URL":           func(e *config.Endpoint) { e.URL = "https://erp.example/elsewhere" },
		"description":   func(e *config.Endpoint) { e.Description = "theirs" },
		"file":          func(e *config.Endpoint) { e.Origin = config.Origin{File: "tailpost.hcl"} },
		"subscriptions": func(e *config.Endpoint) { e.Subscriptions = []config.Subscription{{Events: []string{"order.*"}}} },
		"a header":      func(e *config.Endpoint) { e.Headers = map[string]string{"X-Other": "t0ken"} },
	} {
		b.exec(t, "DELETE FROM tailpost.endpoint")
		es := endpoints("erp")
		for _, want := range []int{1, 2} {
			_, err := b.ledger.Mirror(t.Context(), es, noon)
			require.NoError(t, err)
			require.Equal(t, want, b.count(t, "SELECT version FROM tailpost.endpoint"), name)
			change(&es[0])
		}
	}
}

// Of endpoints that are like each other, those are written that changed: in the configuration or in
// the table.
func TestMirror_writesEachThatChanges(t *testing.T) {
	t.Parallel()
	b := setup(t)
	es := endpoints("a", "b", "c", "d")
	versions := func(why string, want ...string) {
		t.Helper()
		_, err := b.ledger.Mirror(t.Context(), es, noon)
		require.NoError(t, err)
		require.Equal(t, want, b.texts(t, "SELECT id || version FROM tailpost.endpoint ORDER BY id"), why)
	}
	versions("all are new", "a1", "b1", "c1", "d1")
	es[1].Concurrency, es[2].Concurrency = 5, 5
	versions("two have another policy", "a1", "b2", "c2", "d1")
	es[3].Subscriptions = []config.Subscription{{Events: []string{"order.*"}}}
	versions("one has other subscriptions", "a1", "b2", "c2", "d2")
	b.exec(t, `UPDATE tailpost.endpoint SET policy = policy - 'retry' WHERE id = 'c'`)
	versions("one was changed in the table", "a1", "b2", "c3", "d2")
	versions("nothing changed", "a1", "b2", "c3", "d2")
}

func TestMirror_keepsStatesAndFollowsRemovals(t *testing.T) {
	t.Parallel()
	b := setup(t)
	mirror := func(es []config.Endpoint) map[string]ledger.EndpointState {
		states, err := b.ledger.Mirror(t.Context(), es, noon)
		require.NoError(t, err)
		return states
	}
	mirror(endpoints("failing", "paused", "disabled", "moved", "removed"))
	_, err := b.conn.Exec(t.Context(), `
		UPDATE tailpost.endpoint SET failing_since = $1 WHERE id IN ('failing', 'moved');
	`, noon)
	require.NoError(t, err)
	_, err = b.conn.Exec(t.Context(), `
		UPDATE tailpost.endpoint SET status = 'paused' WHERE id = 'paused';
		UPDATE tailpost.endpoint SET status = 'disabled', disabled_reason = 'answered 410' WHERE id IN ('disabled', 'moved');
		UPDATE tailpost.endpoint SET verified = 'what it has shown' WHERE id = 'removed';
		INSERT INTO tailpost.endpoint (id, name, url, subscriptions, policy, status, source, created_at, updated_at)
		VALUES ('made', 'made', 'https://example.com', '[]', '{}', 'active', 'api', now(), now());
	`)
	require.NoError(t, err)

	kept := endpoints("failing", "paused", "disabled", "moved")
	kept[3].URL = "https://elsewhere.example.com/"
	active := ledger.EndpointState{Status: ledger.StatusActive}
	require.Equal(t, map[string]ledger.EndpointState{
		"failing":  {Status: ledger.StatusActive, FailingSince: noon},
		"paused":   {Status: ledger.StatusPaused},
		"disabled": {Status: ledger.StatusDisabled, DisabledReason: "answered 410"},
		"moved":    active,
	}, mirror(kept))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM tailpost.endpoint WHERE id = 'removed' AND status = 'disabled'
		AND disabled_reason = 'removed from the configuration'`))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM tailpost.endpoint WHERE id = 'made' AND status = 'active'`))

	require.Equal(t, map[string]ledger.EndpointState{"removed": {Status: ledger.StatusActive, Verified: "what it has shown"}}, mirror(endpoints("removed")))
	require.Equal(t, 4, b.count(t, `SELECT count(*) FROM tailpost.endpoint WHERE disabled_reason = 'removed from the configuration'`))
	require.Equal(t, []string{"failing 2 disabled", "made 1 active", "moved 3 disabled", "paused 2 disabled", "removed 3 active"},
		b.texts(t, `SELECT concat_ws(' ', id, version, status) FROM tailpost.endpoint
			WHERE (disabled_reason IS NULL) = (status = 'active') AND (id <> 'moved' OR failing_since IS NULL) AND id <> 'disabled' ORDER BY id`))

	_, err = b.ledger.Mirror(t.Context(), endpoints("made"), noon)
	require.ErrorContains(t, err, `endpoint "made" exists already, made through the API`)
	require.Equal(t, map[string]ledger.EndpointState{}, mirror(nil))
	const versions = "SELECT id || ' ' || version FROM tailpost.endpoint ORDER BY id"
	before := b.texts(t, versions)
	require.Empty(t, mirror(nil))
	require.Equal(t, before, b.texts(t, versions), "what is removed already is left alone")

	paused := map[string]ledger.EndpointState{"paused": {Status: ledger.StatusPaused}}
	require.Equal(t, paused, mirror(endpoints("paused")), "a person paused it before it was removed")
	_, err = b.conn.Exec(t.Context(), "UPDATE tailpost.endpoint SET status = 'active' WHERE id = 'paused'")
	require.NoError(t, err)
	mirror(nil)
	require.Equal(t, map[string]ledger.EndpointState{"paused": active}, mirror(endpoints("paused")), "a person resumed it since")
	_, err = b.conn.Exec(t.Context(), "UPDATE tailpost.endpoint SET status = 'disabled', disabled_reason = 'answered 410', removed_paused = true WHERE id = 'paused'")
	require.NoError(t, err)
	moved := endpoints("paused")
	moved[0].URL = "https://elsewhere.example.com/"
	require.Equal(t, map[string]ledger.EndpointState{"paused": active}, mirror(moved), "that it returned paused is long ago")
}

// An endpoint that is made through the API while the configuration's are written keeps what it is,
// and its name.
func TestMirror_leavesWhatIsMadeMeanwhile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx, err := b.db.Conn(t).Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `INSERT INTO tailpost.endpoint (id, name, url, subscriptions, policy, status, source, created_at, updated_at)
		VALUES ('erp', 'made', 'https://made.example', '[]', '{}', 'active', 'api', now(), now())`)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		_, err := b.ledger.Mirror(t.Context(), endpoints("erp"), noon)
		done <- err
	}()
	b.awaitBlocked(t)
	require.NoError(t, tx.Commit(t.Context()))
	require.True(t, ledger.NameTaken(<-done))
	require.Equal(t, []string{"erp api made https://made.example"}, b.texts(t, "SELECT concat_ws(' ', id, source, name, url) FROM tailpost.endpoint"))
}

// What somebody does to an endpoint while the configuration's are written stays: one that is paused
// just then must not get anything.
func TestMirror_keepsWhatIsPausedMeanwhile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.ledger.Mirror(t.Context(), endpoints("erp"), noon)
	require.NoError(t, err)
	tx, err := b.db.Conn(t).Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "UPDATE tailpost.endpoint SET status = 'paused'")
	require.NoError(t, err)
	changed := endpoints("erp")
	changed[0].Description = "theirs"
	states := make(chan map[string]ledger.EndpointState, 1)
	go func() {
		mirrored, err := b.ledger.Mirror(t.Context(), changed, noon)
		assert.NoError(t, err)
		states <- mirrored
	}()
	b.awaitBlocked(t)
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, map[string]ledger.EndpointState{"erp": {Status: ledger.StatusPaused}}, <-states)
	require.Equal(t, []string{"paused theirs"}, b.texts(t, "SELECT status || ' ' || description FROM tailpost.endpoint"))
}

// However many endpoints a configuration has, each is written once.
func TestMirror_writesEndpointsOfAnyNumber(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ids := make([]string, 1100) // more than are written in one go, twice
	for i := range ids {
		ids[i] = fmt.Sprintf("e%04d", i)
	}
	states, err := b.ledger.Mirror(t.Context(), endpoints(ids...), noon)
	require.NoError(t, err)
	require.Len(t, states, len(ids))
	require.Equal(t, ids, b.texts(t, "SELECT id FROM tailpost.endpoint WHERE version = 1 AND url LIKE 'https://' || id || '.%' ORDER BY id"))
}
