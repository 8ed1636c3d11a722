package relay_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/seal"
	"github.com/tailpost/tailpost/relay/signature"
)

const (
	sealKey  = "c2VhbGVkIHdpdGggdGhpcnR5LXR3byBieXRlcyEhISE="
	otherKey = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
)

// rowsBundle is a database whose endpoints are rows, and a receiver of theirs.
type rowsBundle struct {
	db       *kit.Database
	receiver *kit.Receiver
	keys     *seal.Keyring
	options  kit.Options
	secret   string // of every endpoint
}

func setupRows(t *testing.T) *rowsBundle {
	t.Helper()
	b := &rowsBundle{db: kit.NewDatabase(t), receiver: kit.NewReceiver(t), secret: signature.GenerateSecret()}
	var err error
	b.keys, err = seal.New(config.Secrets{Keys: []config.Secret{config.NewSecret(sealKey)}})
	require.NoError(t, err)
	c := b.db.Config(kit.Endpoint{
		ID: "erp", URL: b.receiver.URL("/erp"), Secret: []string{signature.GenerateSecret()}, HCL: "subscription {\n events = [\"erp\"]\n}\n",
	})
	c.More = "secrets {\n keys = [env(\"SEAL_KEY\")]\n}\n" + kit.TenantsReachReceivers
	b.options = kit.Options{Config: c, Env: map[string]string{"SEAL_KEY": sealKey}, Secrets: []string{b.secret, sealKey}}
	return b
}

// row is an endpoint of the receiver's path of its name.
func (b *rowsBundle) row(t *testing.T, id string, change func(e *config.Endpoint), secrets ...ledger.EndpointSecret) ledger.EndpointRow {
	t.Helper()
	e := config.Endpoint{
		ID: id, Name: id, URL: b.receiver.URL("/" + id), Secrets: []config.Secret{config.NewSecret(b.secret)},
		Retry: config.Retry{Schedule: slices.Repeat([]time.Duration{50 * time.Millisecond}, 20)},
	}
	if change != nil {
		change(&e)
	}
	require.Empty(t, config.ValidateEndpoint(&e, config.Network{AllowHTTP: true, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, nil))
	subs, policy, err := ledger.EncodeEndpoint(e)
	require.NoError(t, err)
	if len(secrets) == 0 {
		secrets = []ledger.EndpointSecret{{Secret: e.Secrets[0]}}
	}
	text, err := ledger.EncodeSealed(ledger.Sealed{Secrets: secrets, Headers: e.Headers})
	require.NoError(t, err)
	sealed, err := b.keys.Seal(text, []byte(id))
	require.NoError(t, err)
	return ledger.EndpointRow{
		ID: id, Tenant: e.Tenant, Name: e.Name, URL: e.URL, Subscriptions: subs, Policy: policy, Secrets: sealed,
		SecretPrefix: ledger.SecretPrefix(secrets[0].Secret),
	}
}

// put writes a row as the API does: a new one, or a change.
func put(ctx context.Context, tx pgx.Tx, row ledger.EndpointRow) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO tailpost.endpoint AS e (id, tenant, name, url, description, subscriptions, policy, status, source, secrets, secret_prefix, created_at, updated_at)
		VALUES (@id, NULLIF(@tenant, ''), @name, @url, '', @subscriptions::text::jsonb, @policy::text::jsonb, 'active', 'api', @secrets, @prefix, now(), now())
		ON CONFLICT (id) DO UPDATE
		SET url = EXCLUDED.url, tenant = EXCLUDED.tenant, subscriptions = EXCLUDED.subscriptions, policy = EXCLUDED.policy,
		    secrets = EXCLUDED.secrets, secret_prefix = EXCLUDED.secret_prefix, version = e.version + 1, updated_at = now()`,
		pgx.NamedArgs{
			"id": row.ID, "tenant": row.Tenant, "name": row.Name, "url": row.URL, "subscriptions": string(row.Subscriptions),
			"policy": string(row.Policy), "secrets": row.Secrets, "prefix": row.SecretPrefix,
		})
	return err
}

func remove(ctx context.Context, tx pgx.Tx, id string) error {
	_, err := tx.Exec(ctx, "DELETE FROM tailpost.endpoint WHERE id = $1", id)
	_, err2 := tx.Exec(ctx, "DELETE FROM tailpost.delivery WHERE endpoint_id = $1", id)
	return errors.Join(err, err2)
}

// before is a row as it was before the values of headers were sealed.
func (b *rowsBundle) before(t *testing.T, row ledger.EndpointRow, headers string) ledger.EndpointRow {
	t.Helper()
	var policy map[string]any
	require.NoError(t, json.Unmarshal(row.Policy, &policy))
	policy["headers"] = json.RawMessage(headers)
	var err error
	row.Policy, err = json.Marshal(policy)
	require.NoError(t, err)
	row.Secrets, err = b.keys.Seal([]byte(`[{"secret":"`+b.secret+`","expires_at":null}]`), []byte(row.ID))
	require.NoError(t, err)
	return row
}

func (b *rowsBundle) put(t *testing.T, row ledger.EndpointRow) {
	t.Helper()
	b.db.Tx(t, func(tx pgx.Tx) error { return put(t.Context(), tx, row) })
}

func events(types ...string) func(*config.Endpoint) {
	return func(e *config.Endpoint) { e.Subscriptions = []config.Subscription{{Events: types}} }
}

// orderModel is what must come of a history of commits.
type orderModel struct {
	want    map[string][]string // by endpoint: events that it must get, in order
	now     map[string][]string // by endpoint that exists: the types it wants
	deleted map[string]bool
	created int
}

// operation is a step of a transaction: it runs it, and says what it does once it is committed.
type operation struct {
	run    func(tx pgx.Tx) error
	commit func(m *orderModel)
}

// history makes random transactions over endpoints e0 to e5 of one session.
func (b *rowsBundle) operation(t *testing.T, rnd *rand.Rand, m *orderModel, session int) operation {
	t.Helper()
	types := []string{"a", "b"}
	ids := []string{fmt.Sprintf("ep_%d_0", session), fmt.Sprintf("ep_%d_1", session), fmt.Sprintf("ep_%d_2", session)}
	id := ids[rnd.IntN(len(ids))]
	switch rnd.IntN(10) {
	case 0, 1:
		want := types[rnd.IntN(2):][:1]
		row := b.row(t, id, events(want...))
		return operation{
			func(tx pgx.Tx) error { return put(t.Context(), tx, row) },
			func(m *orderModel) { m.now[id] = want },
		}
	case 2:
		return operation{
			func(tx pgx.Tx) error { return remove(t.Context(), tx, id) },
			func(m *orderModel) {
				if _, ok := m.now[id]; ok {
					m.deleted[id] = true
				}
				delete(m.now, id)
			},
		}
	default:
		m.created++
		ev := outbox.Event{ID: fmt.Sprintf("00000000-0000-7000-8000-%012d", m.created), Type: types[rnd.IntN(2)], Payload: []byte("{}")}
		return operation{
			func(tx pgx.Tx) error {
				_, err := outbox.Insert(t.Context(), tx, ev)
				return err
			},
			func(m *orderModel) {
				for id, types := range m.now {
					if slices.Contains(types, ev.Type) {
						m.want[id] = append(m.want[id], ev.ID)
					}
				}
			},
		}
	}
}

// TestEndpointsChangeInTheOrderOfCommits interleaves creations, changes and deletions of endpoints
// with events, in transactions of several sessions that overlap, and kills the relay now and then:
// every event goes to exactly the endpoints that were there at its place.
func TestEndpointsChangeInTheOrderOfCommits(t *testing.T) {
	t.Parallel()
	b := setupRows(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	m := &orderModel{want: map[string][]string{}, now: map[string][]string{}, deleted: map[string]bool{}}

	const sessions, transactions = 3, 240
	type session struct {
		tx  pgx.Tx
		ops []operation
	}
	open := make([]session, sessions)
	conns := make([]*pgx.Conn, sessions)
	for i := range conns {
		var err error
		conns[i], err = pgx.Connect(t.Context(), b.db.URL)
		require.NoError(t, err)
		defer conns[i].Close(context.WithoutCancel(t.Context()))
	}
	relay := kit.StartDelivering(t, b.options)
	for range transactions {
		i := rnd.IntN(sessions)
		s := &open[i]
		if s.tx == nil {
			var err error
			s.tx, err = conns[i].Begin(t.Context())
			require.NoError(t, err)
		}
		for range rnd.IntN(4) {
			op := b.operation(t, rnd, m, i)
			require.NoError(t, op.run(s.tx))
			s.ops = append(s.ops, op)
		}
		if rnd.IntN(2) == 0 {
			continue
		}
		if rnd.IntN(8) == 0 {
			require.NoError(t, s.tx.Rollback(t.Context()))
		} else {
			require.NoError(t, s.tx.Commit(t.Context()))
			for _, op := range s.ops {
				op.commit(m)
			}
		}
		*s = session{}
		if rnd.IntN(40) == 0 {
			relay.Kill()
			relay = kit.StartRelay(t, b.options)
		}
	}
	for _, s := range open {
		if s.tx != nil {
			require.NoError(t, s.tx.Rollback(t.Context()))
		}
	}
	b.check(t, m)
	require.Zero(t, relay.Stop(t))
}

// check waits until everything is settled and compares what arrived with what must have.
func (b *rowsBundle) check(t *testing.T, m *orderModel) {
	t.Helper()
	for id := range m.now {
		if !m.deleted[id] {
			b.receiver.AwaitIDs(t, "/"+id, m.want[id]...)
		}
	}
	b.db.AwaitConfirmed(t, b.db.LSN(t))
	b.db.AwaitEmptyQueue(t)
	foreign := 0
	for session := range 3 {
		for n := range 3 {
			id := fmt.Sprintf("ep_%d_%d", session, n)
			got := b.receiver.IDs("/" + id)
			if !m.deleted[id] {
				// What waited when an endpoint was deleted may not have been sent.
				for _, ev := range m.want[id] {
					require.Contains(t, got, ev, "an event that %s must have", id)
				}
			}
			slices.Sort(got)
			for _, ev := range slices.Compact(got) {
				if !slices.Contains(m.want[id], ev) {
					t.Logf("%s had %s", id, ev)
					foreign++
				}
			}
		}
	}
	// Of a kill after which the slot is ahead of what is recorded, an audit makes sure. It compares
	// times, and transactions that overlap have the same. The row of a gap is written once all of
	// it is queued.
	b.db.AwaitCount(t, foreign, "SELECT COALESCE(sum(deliveries), 0) FROM tailpost.gap")
}

func TestRowsTakeEffectWhileTheRelayRuns(t *testing.T) {
	t.Parallel()
	b := setupRows(t)
	relay := kit.StartDelivering(t, b.options)
	before := b.db.Insert(t, kit.Event("a", `{}`))
	b.put(t, b.row(t, "ep_1", events("a")))
	one := b.db.Insert(t, kit.Event("a", `{}`), kit.Event("b", `{}`))
	b.receiver.AwaitIDs(t, "/ep_1", one[0])

	got := b.receiver.Requests("/ep_1")[0]
	verifier, err := signature.NewVerifier(b.secret)
	require.NoError(t, err)
	require.NoError(t, verifier.Verify(got.Header, got.Body))

	// A pause queues, a resume drains, from any SQL session.
	b.db.Run(t, "UPDATE tailpost.endpoint SET status = 'paused' WHERE id IN ('ep_1', 'erp')")
	relay.Await(t, "endpoint changed its status", kit.Record{"endpoint": "erp", "status": "paused"})
	two := b.db.Insert(t, kit.Event("a", `{}`), kit.Event("erp", `{}`))
	b.db.AwaitCount(t, 2, "SELECT count(*) FROM tailpost.delivery WHERE reason = 'paused'")
	require.Len(t, b.receiver.Requests(""), 1)
	b.db.Run(t, "UPDATE tailpost.endpoint SET status = 'active'")
	b.receiver.AwaitIDs(t, "/ep_1", two[0])
	b.receiver.AwaitIDs(t, "/erp", two[1])
	b.db.AwaitEmptyQueue(t)

	// A reload of the configuration leaves rows alone.
	relay.Reload(t, strings.ReplaceAll(b.options.Config.HCL(), `events = ["erp"]`, `events = ["erp", "c"]`))
	relay.Await(t, kit.LogReloaded, nil)
	three := b.db.Insert(t, kit.Event("a", `{}`), kit.Event("c", `{}`))
	b.receiver.AwaitIDs(t, "/ep_1", three[0])
	b.receiver.AwaitIDs(t, "/erp", three[1])

	// A long filter is stored out of line; a change of something else must not lose it.
	var long strings.Builder
	for long.Len() < 12_000 { // what does not compress
		long.WriteString(signature.GenerateSecret())
	}
	filter := `event.data.n == 1 && event.type != "` + long.String() + `"`
	compiled, diags := config.CompileFilter(filter, "test", 1)
	require.Empty(t, diags)
	b.put(t, b.row(t, "ep_long", func(e *config.Endpoint) { e.Subscriptions = []config.Subscription{{Where: compiled}} }))
	b.db.Run(t, "UPDATE tailpost.endpoint SET name = 'renamed' WHERE id = 'ep_long'")
	four := b.db.Insert(t, kit.Event("x", `{"n": 2}`), kit.Event("x", `{"n": 1}`))
	b.receiver.AwaitIDs(t, "/ep_long", four[1])
	require.Len(t, b.receiver.Requests("/ep_long"), 1)

	// Gone, with all that waits for it.
	b.db.Run(t, "UPDATE tailpost.endpoint SET status = 'paused' WHERE id = 'ep_1'")
	b.db.Insert(t, kit.Event("a", `{}`))
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.delivery WHERE reason = 'paused'")
	b.db.Tx(t, func(tx pgx.Tx) error { return remove(t.Context(), tx, "ep_1") })
	b.db.Insert(t, kit.Event("a", `{}`))
	b.db.AwaitConfirmed(t, b.db.LSN(t))
	b.db.AwaitEmptyQueue(t)
	require.NotContains(t, b.receiver.IDs("/ep_1"), before[0])
	require.Len(t, b.receiver.Requests("/ep_1"), 3)
	require.Zero(t, relay.Stop(t))
	require.Zero(t, b.db.Count(t, "SELECT count(*) FROM tailpost.endpoint AS e WHERE e::text LIKE '%' || $1 || '%'", b.secret))
	require.Zero(t, b.db.Count(t, "SELECT count(*) FROM tailpost.endpoint_version AS e WHERE e::text LIKE '%' || $1 || '%'", b.secret))
}

func TestRotatedSecretsSignUntilTheyExpire(t *testing.T) {
	t.Parallel()
	b := setupRows(t)
	older := signature.GenerateSecret()
	expires := time.Now().Add(2 * time.Second)
	b.put(t, b.row(t, "ep_1", events("a"),
		ledger.EndpointSecret{Secret: config.NewSecret(b.secret)}, ledger.EndpointSecret{Secret: config.NewSecret(older), ExpiresAt: expires}))
	b.options.Secrets = append(b.options.Secrets, older)
	relay := kit.StartDelivering(t, b.options)
	was, err := signature.NewVerifier(older)
	require.NoError(t, err)
	is, err := signature.NewVerifier(b.secret)
	require.NoError(t, err)
	n := 0
	signedBy := func() (byNew, byOld bool) {
		n++
		b.db.Insert(t, kit.Event("a", `{}`))
		got := b.receiver.Await(t, "/ep_1", n)[n-1]
		return is.Verify(got.Header, got.Body) == nil, was.Verify(got.Header, got.Body) == nil
	}
	byNew, byOld := signedBy()
	require.True(t, byNew)
	require.True(t, byOld || !time.Now().Before(expires), "it has not expired yet")
	kit.Eventually(t, kit.Patience, func() error {
		byNew, byOld := signedBy()
		if !byNew || byOld {
			return fmt.Errorf("signed by the new secret: %v, by the old one: %v", byNew, byOld)
		}
		return nil
	})
	require.False(t, time.Now().Before(expires))
	require.Zero(t, relay.Stop(t))
}

func TestEndpointsThatCannotBeOpenedPark(t *testing.T) {
	t.Parallel()
	b := setupRows(t)
	b.put(t, b.row(t, "ep_1", events("a")))
	right := b.options.Env
	b.options.Env = map[string]string{"SEAL_KEY": otherKey}
	relay := kit.StartDelivering(t, b.options)
	relay.Await(t, "endpoint cannot be used: what it should get is parked until its row or the configuration is corrected", kit.Record{"endpoint": "ep_1"})
	ids := b.db.Insert(t, kit.Event("a", `{}`), kit.Event("b", `{}`), kit.Event("erp", `{}`))
	b.receiver.AwaitIDs(t, "/erp", ids[2])
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = 'ep_1' AND reason = 'unusable'")
	b.db.AwaitConfirmed(t, b.db.LSN(t))
	require.Zero(t, relay.Stop(t))

	b.options.Env = right
	relay = kit.StartDelivering(t, b.options)
	b.receiver.AwaitIDs(t, "/ep_1", ids[0])
	b.db.AwaitEmptyQueue(t)
	require.Len(t, b.receiver.Requests("/ep_1"), 1)
	require.Zero(t, relay.Stop(t))
}

func TestResealMovesSecretsToTheFirstKey(t *testing.T) {
	t.Parallel()
	b := setupRows(t)
	const token, older = "Bearer the-token-of-a-row", "Bearer the-token-of-an-older-row"
	b.options.Secrets = append(b.options.Secrets, token, older)
	b.put(t, b.row(t, "ep_1", func(e *config.Endpoint) { e.Headers = map[string]string{"Authorization": token} }))
	b.put(t, b.before(t, b.row(t, "ep_2", nil), `{"Authorization": "`+older+`", "X-Source": "shop"}`))
	relay := kit.StartDelivering(t, b.options)
	b.awaitHeaders(t, token, older)
	require.Zero(t, relay.Stop(t))
	inClear := func() int {
		return b.db.Count(t, `SELECT (SELECT count(*) FROM tailpost.endpoint AS r WHERE r::text LIKE '%the-token%')
			+ (SELECT count(*) FROM tailpost.endpoint_version AS r WHERE r::text LIKE '%the-token%')`)
	}
	require.Equal(t, 2, inClear(), "that of the older row, and its version")

	reseal := func(env map[string]string, keys string) *kit.Process {
		c := b.options.Config
		c.More = "secrets {\n keys = " + keys + "\n}\n" + kit.TenantsReachReceivers
		path := t.TempDir() + "/tailpost.hcl"
		kit.WriteFile(t, path, c.HCL())
		all := c.Env()
		maps.Copy(all, env)
		return kit.Run(t, kit.Command{Args: []string{"secret", "reseal", "-c", path}, Env: all, Secrets: append(b.options.Secrets, otherKey)})
	}
	wrong := reseal(map[string]string{"NEW": otherKey}, `[env("NEW")]`)
	require.Equal(t, 1, wrong.ExitCode())
	require.Contains(t, wrong.Stderr(), "not configured")
	// Under the same key only what was not sealed changes.
	for _, c := range []struct{ keys, want string }{
		{`[env("OLD")]`, "1 endpoint"},
		{`[env("NEW"), env("OLD")]`, "2 endpoints"},
		{`[env("NEW"), env("OLD")]`, "0 endpoints"},
	} {
		done := reseal(map[string]string{"NEW": otherKey, "OLD": sealKey}, c.keys)
		require.Zero(t, done.ExitCode(), done.Stderr())
		require.Contains(t, done.Stdout(), "sealed the secrets of "+c.want)
		require.Zero(t, inClear())
	}
	require.Equal(t, `["Authorization", "X-Source"]`, b.db.Text(t, "SELECT (policy -> 'headers')::text FROM tailpost.endpoint WHERE id = 'ep_2'"))

	b.options.Env = map[string]string{"SEAL_KEY": otherKey}
	relay = kit.StartDelivering(t, b.options)
	b.awaitHeaders(t, token, older)
	require.Zero(t, relay.Stop(t))
}

// awaitHeaders inserts an event and waits until ep_1 and ep_2 have it, with these values of
// Authorization.
func (b *rowsBundle) awaitHeaders(t *testing.T, one, two string) {
	t.Helper()
	ids := b.db.Insert(t, kit.Event("a", `{}`))
	for path, want := range map[string]string{"/ep_1": one, "/ep_2": two} {
		b.receiver.AwaitIDs(t, path, ids...)
		requests := b.receiver.Requests(path)
		require.Equal(t, want, requests[len(requests)-1].Header.Get("Authorization"))
	}
}
