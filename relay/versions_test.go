package relay_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/outbox"
)

const paidInEuros = `{"id": 7, "total": {"amount": 9.50, "currency": "EUR"}}`

// dated are versions by their names; each but the oldest has the body of what was before.
func dated(t *testing.T, steps ...[2]string) config.Versions {
	t.Helper()
	var all config.Versions
	for _, s := range steps {
		v := config.Version{Name: s[0]}
		if s[1] != "" {
			body, diags := config.CompileBody(s[1], "test.hcl", 1)
			require.False(t, diags.HasErrors())
			v.Events = []config.VersionEvent{{Events: "order.*", Body: body}}
		}
		all = append(all, v)
	}
	return all
}

func (b *rowsBundle) versioned(versions config.Versions) *config.Config {
	return &config.Config{
		Database: config.Database{URL: config.NewSecret(b.db.URL), Slot: b.db.Slot},
		Outbox:   config.Outbox{Mapping: outbox.DefaultMapping()},
		Secrets:  config.Secrets{Keys: []config.Secret{config.NewSecret(sealKey)}},
		Network:  onLoopback, Versions: versions,
		API: config.API{Listen: "127.0.0.1:0", Network: onLoopback, Keys: []config.APIKey{{Name: "test", Secret: config.NewSecret(apiKey)}}},
	}
}

// data returns the data of the requests to a path, and their versions.
func (b *rowsBundle) data(t *testing.T, path string) (data, versions []string) {
	t.Helper()
	for _, r := range b.receiver.Requests(path) {
		var body struct {
			Data json.RawMessage `json:"data"`
		}
		require.NoError(t, json.Unmarshal(r.Body, &body))
		data, versions = append(data, string(body.Data)), append(versions, r.Header.Get("webhook-version"))
	}
	return data, versions
}

// Every way that an event goes takes the same steps, and the filter sees what they make.
func TestRetriesAndReplaysComeInTheVersionThatTheEndpointPins(t *testing.T) {
	t.Parallel()
	b := setupRows(t)
	cfg := b.versioned(dated(t, [2]string{"2026-09-20", `{ id = event.data.id, total = event.data.total.amount }`}, [2]string{"2025-01-01", ""}))
	where, diags := config.CompileFilter("event.data.total > 9", "test.hcl", 1)
	require.False(t, diags.HasErrors())
	cfg.Endpoints = []config.Endpoint{{
		ID: "erp", URL: b.receiver.On("/erp", kit.Statuses(500, 500, 200)), Secrets: []config.Secret{config.NewSecret(b.secret)}, Version: "2025-01-01",
		Retry: config.Retry{Schedule: []time.Duration{20 * time.Millisecond, 20 * time.Millisecond}}, Subscriptions: []config.Subscription{{Where: where}},
	}, {
		ID: "new", URL: b.receiver.URL("/new"), Secrets: []config.Secret{config.NewSecret(b.secret)},
	}}
	r := delivering(t, cfg, nil)
	b.db.Insert(t, kit.Event("order.paid", paidInEuros), kit.Event("order.paid", `{"id": 8, "total": {"amount": 1}}`))
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.attempt WHERE endpoint_id = 'erp' AND outcome = 'delivered'")
	status, answer := ask(t, http.DefaultClient, http.MethodPost, "http://"+r.APIAddress()+"/v1/replays",
		fmt.Sprintf(`{"endpoint_id": "erp", "since": %q}`, time.Now().Add(-time.Hour).Format(time.RFC3339)))
	require.Equal(t, http.StatusCreated, status, answer)
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.attempt WHERE endpoint_id = 'erp' AND outcome = 'delivered' AND trigger = 'replay'")
	data, versions := b.data(t, "/erp")
	const old = `{"id":7,"total":9.50}`
	require.Equal(t, []string{old, old, old, old}, data)
	require.Equal(t, []string{"2025-01-01", "2025-01-01", "2025-01-01", "2025-01-01"}, versions)
	b.db.AwaitCount(t, 2, "SELECT count(*) FROM tailpost.attempt WHERE endpoint_id = 'new' AND outcome = 'delivered'")
	data, versions = b.data(t, "/new")
	require.Contains(t, data, paidInEuros, "the newest version is the payload as it is")
	require.Equal(t, []string{"2026-09-20", "2026-09-20"}, versions)
}

// An endpoint of before there were versions stays with what it got. When its version goes, nothing
// is sent in another one, and nothing is lost.
func TestAnEndpointOfTheAPINeverGetsAnotherVersionWithoutAWord(t *testing.T) {
	t.Parallel()
	b := setupRows(t)
	b.put(t, b.row(t, "ep_1", nil))
	const version = "SELECT policy ->> 'version' FROM tailpost.endpoint WHERE id = 'ep_1'"
	money := [2]string{"2026-09-20", `{ id = event.data.id, total = event.data.total.amount }`}
	later := [2]string{"2026-11-01", `{ id = event.data.id, total = event.data.total, tax = null }`}
	withdrawn := b.versioned(dated(t, later, [2]string{money[0], ""}))
	whole := b.versioned(dated(t, later, money, [2]string{"2025-01-01", ""}))

	r := delivering(t, b.versioned(dated(t, money, [2]string{"2025-01-01", ""})), nil)
	require.Equal(t, "2025-01-01", b.db.Text(t, version), "it is pinned to what it got")
	first := b.db.Insert(t, kit.Event("order.paid", paidInEuros))
	b.receiver.AwaitIDs(t, "/ep_1", first...)

	reloadAnew(t, r, complete(t, withdrawn))
	second := b.db.Insert(t, kit.Event("order.paid", paidInEuros))
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = 'ep_1' AND reason = 'unusable'")
	require.Equal(t, "2025-01-01", b.db.Text(t, version))

	require.NoError(t, r.Reload(t.Context(), complete(t, whole)))
	b.receiver.AwaitIDs(t, "/ep_1", append(first, second...)...)
	b.db.AwaitEmptyQueue(t)
	data, versions := b.data(t, "/ep_1")
	require.Equal(t, []string{`{"id":7,"total":9.50}`, `{"id":7,"total":9.50}`}, data)
	require.Equal(t, []string{"2025-01-01", "2025-01-01"}, versions)
}

// A plan compares with what the relay wrote down: at the start of each hold, and at a reload.
func TestTheRelayWritesDownWhatItsConfigurationSays(t *testing.T) {
	t.Parallel()
	b := setupRows(t)
	noted := func(cfg *config.Config) {
		t.Helper()
		text, err := json.Marshal(complete(t, cfg).Fingerprints())
		require.NoError(t, err)
		b.db.AwaitCount(t, 1, fmt.Sprintf("SELECT count(*) FROM tailpost.configuration JOIN tailpost.relay USING (slot, epoch) WHERE slot = '%s' AND fingerprints = '%s'", b.db.Slot, text))
	}
	cfg := b.versioned(dated(t, [2]string{"2026-09-20", `{ id = event.data.id }`}, [2]string{"2025-01-01", ""}))
	r := delivering(t, cfg, nil)
	noted(cfg)

	later := *cfg
	later.Retention.Dead = 240 * time.Hour
	before := r.Status().Epoch
	require.NoError(t, r.Reload(t.Context(), complete(t, &later)))
	require.Equal(t, before, r.Status().Epoch, "the hold goes on")
	noted(&later)

	later.Versions = dated(t, [2]string{"2026-09-20", `{ id = event.data.number }`}, [2]string{"2025-01-01", ""})
	reloadAnew(t, r, complete(t, &later))
	noted(&later)

	elsewhere := later
	elsewhere.Outbox.Messages = "shop"
	require.Error(t, r.Reload(t.Context(), complete(t, &elsewhere)))
	noted(&later) // it still reads what it did: only a restart changes that
}
