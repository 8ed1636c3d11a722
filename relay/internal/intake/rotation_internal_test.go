package intake

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/webhook"
	"github.com/tailpost/tailpost/relay/signature"
)

// TestRotationEndsEachSecretAtItsTime: of several that still sign, none signs for longer because
// another one does.
func TestRotationEndsEachSecretAtItsTime(t *testing.T) {
	t.Parallel()
	now := time.Now()
	secret := func() config.Secret { return config.NewSecret(signature.GenerateSecret()) }
	old := []ledger.EndpointSecret{
		{Secret: secret(), ExpiresAt: now.Add(2 * time.Hour)},
		{Secret: secret(), ExpiresAt: now.Add(time.Hour)},
		{Secret: secret(), ExpiresAt: now.Add(-time.Hour)},
		{Secret: secret()}, // signs for good
	}
	for range 2 {
		s := &rotation{config: config.Endpoint{Signature: config.SignatureStandard}, secrets: append([]ledger.EndpointSecret{{Secret: secret()}}, old...)}
		for after, want := range map[time.Duration]struct {
			secrets int
			until   time.Duration // 0: for good
		}{0: {4, time.Hour}, time.Hour: {3, 2 * time.Hour}, 2 * time.Hour: {2, 0}} {
			secrets, until := s.live(now.Add(after))
			require.Len(t, secrets, want.secrets, "after %s", after)
			require.Equal(t, want.until == 0, until.IsZero(), "after %s", after)
			require.True(t, want.until == 0 || until.Equal(now.Add(want.until)), "after %s: until %s", after, until)
		}
		slices.Reverse(old) // in whatever order they end
	}
}

// TestRotationSignsWithTheNewestInAnyCase: nothing goes out unsigned because its only secret has a
// time to end.
func TestRotationSignsWithTheNewestInAnyCase(t *testing.T) {
	t.Parallel()
	now := time.Now()
	newest := config.NewSecret(signature.GenerateSecret())
	for _, ends := range []time.Duration{-time.Hour, time.Hour} {
		s := &rotation{config: config.Endpoint{Signature: config.SignatureStandard}, secrets: []ledger.EndpointSecret{{Secret: newest, ExpiresAt: now.Add(ends)}}}
		secrets, until := s.live(now)
		require.Equal(t, []config.Secret{newest}, secrets)
		require.Zero(t, until)
	}
}

// localClient sends to this machine.
func localClient(t *testing.T) *webhook.Client {
	t.Helper()
	client, err := webhook.NewClient(webhook.Options{Network: config.Network{
		Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, AllowHTTP: true,
	}})
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

// TestRotationSendsNothingThatItCannotSign: neither unsigned, nor signed with a secret that has
// expired. What was not sent is on record like any other attempt.
func TestRotationSendsNothingThatItCannotSign(t *testing.T) {
	t.Parallel()
	ended := time.Now().Add(-time.Minute)
	s, err := newRotation(localClient(t), config.Endpoint{ID: "erp", URL: "http://127.0.0.1:1/", Signature: config.SignatureGitHub}, []ledger.EndpointSecret{
		{Secret: config.NewSecret("")}, {Secret: config.NewSecret(signature.GenerateSecret()), ExpiresAt: ended},
	}, ended.Add(-time.Hour))
	require.NoError(t, err)
	request := webhook.Request{
		Event: &outbox.Event{ID: "evt_1", Type: "x", Tenant: "acme", CommitLSN: 7}, Number: 3, Trigger: outbox.TriggerRetry, Now: ended,
	}
	want := outbox.Attempt{
		EventID: "evt_1", EventType: "x", Tenant: "acme", CommitLSN: 7, EndpointID: "erp", Number: 3, Trigger: outbox.TriggerRetry, AttemptedAt: ended,
	}
	verified := s.Verify(t.Context(), func() bool { return true })
	want.Error = verified.Attempt.Error
	require.NotEmpty(t, want.Error)
	require.Equal(t, webhook.Result{Attempt: outbox.Attempt{EndpointID: "erp", Error: want.Error}, Local: true}, verified, "it says nothing of the receiver")
	require.Equal(t, webhook.Result{Attempt: want}, s.Send(t.Context(), &request))
	want.RequestID = "batch_1"
	results := s.SendBatch(t.Context(), &webhook.Batch{ID: "batch_1", Requests: []webhook.Request{request, request}})
	require.Equal(t, []webhook.Result{{Attempt: want}, {Attempt: want}}, results)
}

// TestRotationKeepsConnections: while the grace lasts, receivers that know the old secret can
// verify; after it, only those that know the new one; and the change costs no connection.
func TestRotationKeepsConnections(t *testing.T) {
	t.Parallel()
	now := time.Now()
	before, after := signature.GenerateSecret(), signature.GenerateSecret()
	for scheme, both := range map[config.Signature]bool{
		config.SignatureStandard: true, config.SignatureStripe: true,
		config.SignatureGitHub: false, // one signature: the old secret's, until the grace ends
	} {
		t.Run(string(scheme), func(t *testing.T) {
			t.Parallel()
			var conns atomic.Int64
			var verified [2]bool // with the old secret, with the new one
			receiver := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				for i, secret := range []string{before, after} {
					v, err := signature.NewVerifierFor(signature.Scheme(scheme), secret)
					if err != nil {
						t.Error(err)
						return
					}
					verified[i] = v.WithTolerance(-1).Verify(r.Header, body) == nil
				}
			}))
			receiver.Config.ConnState = func(_ net.Conn, s http.ConnState) {
				if s == http.StateNew {
					conns.Add(1)
				}
			}
			receiver.Start()
			t.Cleanup(receiver.Close)
			s, err := newRotation(localClient(t), config.Endpoint{ID: "erp", URL: receiver.URL, Signature: scheme}, []ledger.EndpointSecret{
				{Secret: config.NewSecret(after)},
				{Secret: config.NewSecret(before), ExpiresAt: now.Add(time.Hour)},
			}, now)
			require.NoError(t, err)
			send := func(at time.Time) [2]bool {
				t.Helper()
				res := s.Send(t.Context(), &webhook.Request{Event: &outbox.Event{ID: "evt_1", Type: "x"}, Number: 1, Now: at})
				require.True(t, res.Delivered, res.Attempt.Error)
				return verified
			}
			require.Equal(t, [2]bool{true, both}, send(now), "within the grace")
			require.Equal(t, [2]bool{true, both}, send(now.Add(time.Hour-time.Second)))
			require.Equal(t, [2]bool{false, true}, send(now.Add(time.Hour)), "after it")
			require.Equal(t, [2]bool{false, true}, send(now.Add(2*time.Hour)))
			require.EqualValues(t, 1, conns.Load())
		})
	}
}
