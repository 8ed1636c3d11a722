package integration_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/protocol/http"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/signature"
)

// idsOf returns the ids of the events of a request, in their order.
func idsOf(t kit.TB, r kit.Request) []string {
	t.Helper()
	var events []struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(r.Body, &events); err != nil {
		t.Fatalf("a body that is no array: %.100s", r.Body)
	}
	ids := make([]string, len(events))
	for i := range events {
		ids[i] = events[i].ID
	}
	return ids
}

// TestPublicLibrariesVerifyBatches: a request with several events is signed as any other, its id is
// in the attempts of all of them, and the public libraries read what is in it.
func TestPublicLibrariesVerifyBatches(t *testing.T) {
	t.Parallel()
	b, libraries := setup(t), kit.StartLibraries(t)
	private, public := signature.GenerateKeyPair()
	_, strangerPublic := signature.GenerateKeyPair()
	const five = "batch {\n events = 5\n wait = \"900ms\"\n}\n"
	standard, structured, asymmetric := b.endpoint("standard", five), b.endpoint("structured", `format = "cloudevents"`+"\ngzip = false\n"+five), b.endpoint("asymmetric", five)
	stripe := b.endpoint("stripe", `signature = "stripe"`+"\n"+five)
	asymmetric.Secret = []string{private}
	kit.StartDelivering(t, kit.Options{Config: b.db.Config(standard, structured, asymmetric, stripe)})
	events := make([]outbox.Event, 5)
	for i := range events {
		events[i] = kit.Event("order.created", fmt.Sprintf(`{"n": %d, "text": "é 漢 😀 <&> \" \\"}`, i))
	}
	ids := b.db.Insert(t, events...)

	r := b.receiver.Await(t, "/standard", 1)[0]
	require.Equal(t, ids, idsOf(t, r))
	for _, library := range []string{kit.StandardWebhooksJS, kit.SvixJS} {
		verdict := requireVerified(t, libraries, library, standard.Secret[0], signature.GenerateSecret(), r)
		require.JSONEq(t, string(r.Body), string(verdict.Parsed))
	}
	webhook, err := standardwebhooks.NewWebhook(standard.Secret[0])
	require.NoError(t, err)
	require.NoError(t, webhook.Verify(r.Body, r.Header))
	requireVerified(t, libraries, kit.Ed25519JS, public, strangerPublic, b.receiver.Await(t, "/asymmetric", 1)[0])
	requireVerified(t, libraries, kit.StripeJS, stripe.Secret[0], signature.GenerateSecret(), b.receiver.Await(t, "/stripe", 1)[0])
	b.db.AwaitCount(t, 5, "SELECT count(*) FROM tailpost.attempt WHERE endpoint_id = 'standard' AND outcome = 'delivered'")
	require.Equal(t, r.Header.Get("Webhook-Id"), b.db.Text(t, "SELECT string_agg(DISTINCT request_id, ' ') FROM tailpost.attempt WHERE endpoint_id = 'standard'"))

	r = b.receiver.Await(t, "/structured", 1)[0]
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(string(r.Body)))
	require.NoError(t, err)
	request.Header = r.Header
	read, err := cloudevents.NewEventsFromHTTPRequest(request)
	require.NoError(t, err)
	require.Len(t, read, 5)
	for i := range read {
		require.NoError(t, read[i].Validate())
		require.Equal(t, ids[i], read[i].ID())
		require.JSONEq(t, string(events[i].Payload), string(read[i].Data()))
	}
}

// partly is a receiver of batches that takes all of one, a part, or nothing, and keeps what it has
// taken in its order.
type partly struct {
	t    kit.TB
	mu   sync.Mutex
	rnd  *rand.Rand
	key  func(id string) string
	took []string
	had  map[string]bool
	most int
	torn int // requests of which a part was taken
}

func (p *partly) serve(_ context.Context, w http.ResponseWriter, r kit.Request) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	ids := idsOf(p.t, r)
	p.most = max(p.most, len(ids))
	var failed []string
	switch p.rnd.IntN(8) {
	case 0:
		return http.StatusInternalServerError
	case 1, 2:
		for _, id := range ids {
			if p.rnd.IntN(4) == 0 {
				failed = append(failed, id)
			}
		}
	}
	blocked := map[string]bool{}
	for _, id := range ids {
		if slices.Contains(failed, id) {
			blocked[p.key(id)] = true
		}
		if !blocked[p.key(id)] && !p.had[id] {
			p.had[id] = true
			p.took = append(p.took, id)
		}
	}
	if len(failed) > 0 && len(failed) < len(ids) {
		p.torn++
	}
	text, _ := json.Marshal(map[string]any{"failed": append([]string{}, failed...)}) // strings can be
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(text) // the relay may be gone
	return http.StatusOK
}

// TestBatchesKeepTheirOrderThroughFailuresAndKills: whatever a receiver takes of a batch, and
// although the relay is killed on the way, it takes the events of a key in the order of their
// commits; each is recorded as delivered once.
func TestBatchesKeepTheirOrderThroughFailuresAndKills(t *testing.T) {
	t.Parallel()
	const n, keys = 300, 6
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for _, ordering := range []string{"key", "strict"} {
		t.Run(ordering, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			random := rand.New(rand.NewPCG(seed, seed))
			keyByID := make(map[string]string)
			var mu sync.Mutex
			p := &partly{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), had: map[string]bool{}, key: func(id string) string {
				mu.Lock()
				defer mu.Unlock()
				if ordering == "strict" {
					return "the endpoint"
				}
				return keyByID[id]
			}}
			b.receiver.On("/erp", p.serve)
			options := kit.Options{Config: b.db.Config(b.endpoint("erp", fmt.Sprintf(`
  ordering   = %q
  park_after = "50ms"
  batch {
    events  = 9
    wait    = "5ms"
    partial = true
  }
  retry { schedule = [%s] }`, ordering, strings.Repeat(`"10ms", `, 60))))}
			relay := kit.StartDelivering(t, options)
			var ids []string
			for i := range n {
				key := fmt.Sprintf("key-%d", random.IntN(keys))
				mu.Lock()
				id := b.db.Insert(t, outbox.Event{Type: "order.changed", Key: key, Payload: fmt.Appendf(nil, `{"n": %d}`, i)})[0]
				ids, keyByID[id] = append(ids, id), key
				mu.Unlock()
				if i == n/2 {
					b.receiver.Await(t, "/erp", n/20)
					relay.Kill()
					relay = kit.StartRelay(t, options)
				}
			}
			b.db.AwaitCount(t, n, "SELECT count(DISTINCT event_id) FROM tailpost.attempt WHERE outcome = 'delivered'")
			b.db.AwaitEmptyQueue(t)
			require.Zero(t, relay.Stop(t))
			require.Equal(t, n, b.db.Count(t, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'"), "each is delivered once")
			require.Zero(t, b.db.Count(t, "SELECT count(*) FROM tailpost.attempt WHERE request_id IS NULL"))

			p.mu.Lock()
			defer p.mu.Unlock()
			require.Greater(t, p.most, 1)
			require.LessOrEqual(t, p.most, 9)
			require.Positive(t, p.torn)
			place := map[string]int{}
			for i, id := range ids {
				place[id] = i
			}
			last := map[string]int{}
			for _, id := range p.took {
				key := p.key(id)
				require.GreaterOrEqual(t, place[id], last[key], "%s before an earlier event of %s", id, key)
				last[key] = place[id]
			}
			require.Len(t, p.took, n)
			b.db.CheckStats(t, "erp")
		})
	}
}

// TestAPoisonedEventOfABatchHarmsNoOther: an event that a receiver never takes, and that it refuses
// whole batches for, is given up; the others are delivered.
func TestAPoisonedEventOfABatchHarmsNoOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var poisoned string
	var mu sync.Mutex
	b.receiver.On("/erp", func(_ context.Context, _ http.ResponseWriter, r kit.Request) int {
		mu.Lock()
		defer mu.Unlock()
		if strings.Contains(string(r.Body), `"poison"`) {
			return http.StatusUnprocessableEntity
		}
		return http.StatusOK
	})
	kit.StartDelivering(t, kit.Options{Config: b.db.Config(b.endpoint("erp", `
  permanent = [422]
  batch { events = 64 }
  retry { schedule = ["20ms", "20ms", "20ms", "20ms"] }`))})
	events := make([]outbox.Event, 60)
	for i := range events {
		events[i] = kit.Event("order.created", fmt.Sprintf(`{"n": %d}`, i))
	}
	events[33].Payload = []byte(`{"n": "poison"}`)
	poisoned = b.db.Insert(t, events...)[33]
	b.db.AwaitCount(t, 59, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.delivery WHERE state = 'dead' AND reason = 'rejected' AND event_id = $1", poisoned)
	require.Equal(t, 1, b.db.Count(t, "SELECT count(*) FROM tailpost.delivery"))
	b.db.CheckStats(t, "erp")
}
