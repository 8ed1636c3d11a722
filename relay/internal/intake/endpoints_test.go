package intake_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/intake"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/seal"
	"github.com/tailpost/tailpost/relay/internal/source/postgres"
	"github.com/tailpost/tailpost/relay/internal/webhook"
	"github.com/tailpost/tailpost/relay/signature"
)

// receiver is an HTTP server that notes what it gets, and which connections are open.
type receiver struct {
	*httptest.Server

	mu    sync.Mutex
	last  *http.Request
	body  []byte
	conns map[net.Conn]http.ConnState
}

func startReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{conns: make(map[net.Conn]http.ConnState)}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.last, r.body = req, body; err != nil {
			t.Error(err)
		}
	}))
	r.Config.ConnState = func(c net.Conn, s http.ConnState) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.conns[c] = s
	}
	r.Start()
	t.Cleanup(r.Close)
	return r
}

// request returns the last request and its body.
func (r *receiver) request() (*http.Request, []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last, r.body
}

// open is how many connections are.
func (r *receiver) open() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.conns {
		if s != http.StateClosed {
			n++
		}
	}
	return n
}

// sealing is what seals and sends for endpoints made through the API.
type sealing struct {
	keys    *seal.Keyring
	options intake.FeedOptions
	log     bytes.Buffer
}

func setupSealing(t *testing.T) *sealing {
	t.Helper()
	keys, err := seal.New(config.Secrets{Keys: []config.Secret{config.NewSecret(strings.Repeat("ab", 32))}})
	require.NoError(t, err)
	network := config.Network{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, AllowHTTP: true}
	client, err := webhook.NewClient(webhook.Options{Network: network})
	require.NoError(t, err)
	t.Cleanup(client.Close)
	s := &sealing{keys: keys}
	s.options = intake.FeedOptions{Client: client, Network: network, Keys: keys, Logger: zerolog.New(&s.log)}
	return s
}

// row is that of ep_1, whose secrets are sealed.
func (s *sealing) row(t *testing.T, url string, what ledger.Sealed) ledger.EndpointRow {
	t.Helper()
	const id = "ep_1"
	text, err := ledger.EncodeSealed(what)
	require.NoError(t, err)
	sealed, err := s.keys.Seal(text, []byte(id))
	require.NoError(t, err)
	return ledger.EndpointRow{
		ID: id, Name: id, URL: url, Description: "for people", Status: ledger.StatusActive, Source: ledger.SourceAPI, Secrets: sealed,
		Subscriptions: []byte(`[{"events": ["order.*"]}]`), Policy: []byte(`{"concurrency": 7}`),
	}
}

// values are a row as the stream has it.
func values(row *ledger.EndpointRow) []outbox.Value {
	all := apiRow(row.ID, row.Name, row.Status)
	for column, text := range map[string]string{
		"url": row.URL, "description": row.Description, "subscriptions": string(row.Subscriptions), "policy": string(row.Policy), "source": row.Source,
		"secrets": `\x` + hex.EncodeToString(row.Secrets), "verified": row.Verified,
	} {
		all[slices.Index(endpointColumns, column)] = textValue(text)
	}
	return all
}

// versions are endpoints as they were at a place in the stream.
type versions []ledger.EndpointRow

func (v versions) Versions(context.Context, outbox.LSN) ([]ledger.EndpointRow, error) { return v, nil }

func (s *sealing) load(t *testing.T, rows ...ledger.EndpointRow) (*intake.Feed, []dispatch.Endpoint) {
	t.Helper()
	feed, endpoints, err := intake.Load(t.Context(), versions(rows), 0, s.options)
	require.NoError(t, err)
	require.Len(t, endpoints, len(rows))
	return feed, endpoints
}

func deliver(t *testing.T, e *dispatch.Endpoint, now time.Time) {
	t.Helper()
	require.False(t, e.Blocked)
	res := e.Sender.Send(t.Context(), &webhook.Request{Event: &outbox.Event{ID: "e1", Type: "order.paid", Payload: []byte(`{}`)}, Number: 1, Now: now})
	require.True(t, res.Delivered, res.Attempt.Error)
}

// What is sealed of an endpoint made through the API goes out with its requests, and stays nowhere
// else: there may be a hundred thousand endpoints, and what is secret is best kept in one place.
func TestAnEndpointSendsWithWhatIsSealedOfIt(t *testing.T) {
	t.Parallel()
	s, r := setupSealing(t), startReceiver(t)
	secret := signature.GenerateSecret()
	_, endpoints := s.load(t, s.row(t, r.URL+"/hook", ledger.Sealed{
		Secrets: []ledger.EndpointSecret{{Secret: config.NewSecret(secret)}},
		Headers: map[string]string{"X-Region": "eu"},
		Auth:    config.Auth{Kind: config.AuthBearer, Secret: config.NewSecret("token-of-the-receiver")},
	}))
	e := endpoints[0]
	deliver(t, &e, time.Now())
	req, body := r.request()
	v, err := signature.NewVerifierFor(signature.Standard, secret)
	require.NoError(t, err)
	require.NoError(t, v.Verify(req.Header, body))
	require.Equal(t, "/hook", req.URL.Path)
	require.Equal(t, "eu", req.Header.Get("X-Region"))
	require.Equal(t, "Bearer token-of-the-receiver", req.Header.Get("Authorization"))
	require.Equal(t, "ep_1", e.Config.ID)
	require.Equal(t, 7, e.Config.Concurrency)
	require.Equal(t, []string{"order.*"}, e.Config.Subscriptions[0].Events)
	require.Equal(t, ledger.StatusActive, e.State.Status)
	require.Equal(t,
		[]any{[]config.Secret(nil), map[string]string(nil), config.Auth{}, config.ClientTLS{}, "", "", ""},
		[]any{e.Config.Secrets, e.Config.Headers, e.Config.Auth, e.Config.TLS, e.Config.Name, e.Config.Description, e.Config.URL})
}

// An endpoint made through the API gets events of the version that its row names, or of the oldest:
// that was all there was when it was made. It has to show what its row asks for.
func TestAnEndpointIsMadeOfWhatItsRowSays(t *testing.T) {
	t.Parallel()
	s := setupSealing(t)
	s.options.Versions = config.Versions{{Name: "2026-09-20"}, {Name: "2026-01-01"}}
	for named, want := range map[string]string{"": "2026-01-01", "2026-01-01": "2026-01-01", "2026-09-20": "2026-09-20"} {
		row := s.row(t, "http://127.0.0.1:1/", ledger.Sealed{Secrets: []ledger.EndpointSecret{{Secret: config.NewSecret(signature.GenerateSecret())}}})
		row.Policy = fmt.Appendf(nil, `{"version": %q, "verify": "echo"}`, named)
		_, endpoints := s.load(t, row)
		require.False(t, endpoints[0].Blocked, s.log.String())
		require.Equal(t, want, endpoints[0].Config.Version)
		require.Equal(t, (&config.Endpoint{Verify: config.VerifyEcho, URL: row.URL}).Proof(), endpoints[0].Proof)
		require.True(t, endpoints[0].Streamed, "it does not go with a configuration that has it not")
	}
}

// What is of another dispatcher of the same slot would be sent twice.
func TestADispatcherHasItsEndpointsOnly(t *testing.T) {
	t.Parallel()
	s := setupSealing(t)
	s.options.Mine = func(id string) bool { return id == "ep_2" }
	_, endpoints, err := intake.Load(t.Context(), versions{{ID: "ep_1"}, {ID: "ep_2"}, {ID: "ep_3"}}, 0, s.options)
	require.NoError(t, err)
	require.Len(t, endpoints, 1)
	require.Equal(t, "ep_2", endpoints[0].Config.ID)
}

// Of an endpoint that cannot be used the log says all that is wrong with it, and nothing else.
func TestTheLogSaysWhyAnEndpointCannotBeUsed(t *testing.T) {
	t.Parallel()
	secret := ledger.Sealed{Secrets: []ledger.EndpointSecret{{Secret: config.NewSecret(signature.GenerateSecret())}}}
	for name, test := range map[string]struct {
		change   func(row *ledger.EndpointRow)
		want     []string
		wantless []string
	}{
		"no secrets": {
			func(row *ledger.EndpointRow) { row.Secrets = nil },
			[]string{"it has no secrets: rotate them through the API"},
			[]string{"ecret is missing", "whsec"},
		},
		"secrets of another endpoint": {
			func(row *ledger.EndpointRow) { row.ID = "ep_2" },
			[]string{"open its secrets"},
			[]string{"ecret is missing", "no secrets"},
		},
		"a URL that is none": {
			func(row *ledger.EndpointRow) { row.URL = "erp" },
			[]string{"URL"},
			[]string{"secret"},
		},
		"a policy that breaks a rule": {
			func(row *ledger.EndpointRow) { row.Policy = []byte(`{"concurrency": 100000}`) },
			[]string{"oncurrency"},
			[]string{"secret"},
		},
		"a policy that is none": {
			func(row *ledger.EndpointRow) { row.Policy = []byte(`[]`) },
			[]string{"policy"},
			[]string{"secret"},
		},
		"a policy that is none, and no secrets": {
			func(row *ledger.EndpointRow) { row.Policy, row.Secrets = []byte(`[]`), nil },
			[]string{"policy", "it has no secrets"},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setupSealing(t)
			row := s.row(t, "http://127.0.0.1:1/", secret)
			test.change(&row)
			_, endpoints := s.load(t, row)
			require.True(t, endpoints[0].Blocked)
			require.Nil(t, endpoints[0].Sender)
			require.NotZero(t, endpoints[0].Config.Concurrency, "it has its defaults all the same")
			require.Equal(t, 1, strings.Count(s.log.String(), "endpoint cannot be used"))
			for _, want := range test.want {
				require.Contains(t, s.log.String(), want)
			}
			for _, not := range test.wantless {
				require.NotContains(t, s.log.String(), not)
			}
		})
	}
}

// A sealing key that was lost makes every endpoint unusable: the log is to be readable even so.
func TestTheLogNamesTenOfTheEndpointsThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for blocked, want := range map[int]struct {
		named int
		count string
	}{1: {1, ""}, 10: {10, ""}, 11: {10, `"endpoints":11`}, 30: {10, `"endpoints":30`}} {
		s := setupSealing(t)
		var rows versions
		for n := range blocked {
			rows = append(rows, ledger.EndpointRow{ID: fmt.Sprint("ep_", n), Source: ledger.SourceAPI, Policy: []byte(`{}`), Subscriptions: []byte(`[]`)})
		}
		s.load(t, rows...)
		require.Equal(t, want.named, strings.Count(s.log.String(), "endpoint cannot be used"), "of %d", blocked)
		require.Equal(t, want.count != "", strings.Contains(s.log.String(), "only the first ones are named above"), "of %d", blocked)
		require.Contains(t, s.log.String(), want.count)
	}
}

// An endpoint that is changed or deleted leaves no connection behind that nobody will use again.
func TestConnectionsGoWithTheEndpointThatHadThem(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(t *testing.T, b *intakeBundle, row []outbox.Value){
		"changed": func(t *testing.T, b *intakeBundle, row []outbox.Value) {
			t.Helper()
			row[2] = textValue("renamed")
			require.NoError(t, b.events.Change(postgres.Update, endpointTable, row))
		},
		"deleted": func(t *testing.T, b *intakeBundle, row []outbox.Value) {
			t.Helper()
			require.NoError(t, b.events.Change(postgres.Delete, endpointTable, row))
		},
	} {
		for secrets, ends := range map[string]time.Time{"": {}, " while its secret rotates": time.Now().Add(time.Hour)} {
			t.Run(name+secrets, func(t *testing.T) {
				t.Parallel()
				s, r := setupSealing(t), startReceiver(t)
				sealed := ledger.Sealed{Secrets: []ledger.EndpointSecret{
					{Secret: config.NewSecret(signature.GenerateSecret())}, {Secret: config.NewSecret(signature.GenerateSecret()), ExpiresAt: ends},
				}}
				row := s.row(t, r.URL, sealed)
				feed, endpoints := s.load(t, row)
				b := setupIntake(t, postgres.EventsOptions{})
				b.useFeed(feed)
				gone := func() bool { return r.open() == 0 }
				deliver(t, &endpoints[0], time.Now())
				require.Equal(t, 1, r.open())
				row.Description = "as the stream has it"
				b.transaction(t, 100, func() { require.NoError(t, b.events.Change(postgres.Update, endpointTable, values(&row))) })
				require.Eventually(t, gone, 30*time.Second, time.Millisecond)
				deliver(t, b.changes[0][0].Endpoint, time.Now())
				require.Equal(t, 1, r.open())
				b.transaction(t, 200, func() { end(t, b, values(&row)) })
				require.Eventually(t, gone, 30*time.Second, time.Millisecond)
			})
		}
	}
}

// A secret of old signs until its time, and one without a time for as long as it is there.
func TestAnEndpointSignsWithEachOfItsSecretsUntilItsTime(t *testing.T) {
	t.Parallel()
	s, r := setupSealing(t), startReceiver(t)
	now := time.Now()
	newest, old := signature.GenerateSecret(), signature.GenerateSecret()
	for name, test := range map[string]struct {
		ends time.Time
		want map[time.Duration]bool // whether the old one signs
	}{
		"ends in an hour": {now.Add(time.Hour), map[time.Duration]bool{0: true, 2 * time.Hour: false}},
		"has ended":       {now.Add(-time.Hour), map[time.Duration]bool{0: false}},
		"never ends":      {time.Time{}, map[time.Duration]bool{0: true, 2 * time.Hour: true}},
	} {
		_, endpoints := s.load(t, s.row(t, r.URL, ledger.Sealed{Secrets: []ledger.EndpointSecret{
			{Secret: config.NewSecret(newest)}, {Secret: config.NewSecret(old), ExpiresAt: test.ends},
		}}))
		for _, after := range []time.Duration{0, 2 * time.Hour} {
			want, ok := test.want[after]
			if !ok {
				continue
			}
			deliver(t, &endpoints[0], now.Add(after))
			req, body := r.request()
			for secret, signs := range map[string]bool{newest: true, old: want} {
				v, err := signature.NewVerifierFor(signature.Standard, secret)
				require.NoError(t, err)
				require.Equal(t, signs, v.WithTolerance(-1).Verify(req.Header, body) == nil, "%s, after %s", name, after)
			}
		}
	}
}

// An endpoint that a change makes unusable is said to be so where it happens.
func TestTheLogSaysThatAChangeMadeAnEndpointUnusable(t *testing.T) {
	t.Parallel()
	s := setupSealing(t)
	feed, _ := s.load(t)
	b := setupIntake(t, postgres.EventsOptions{})
	b.useFeed(feed)
	b.transaction(t, 100, func() {
		require.NoError(t, b.events.Change(postgres.Insert, endpointTable, apiRow("ep_1", "crm", "active")))
	})
	require.Equal(t, 1, strings.Count(s.log.String(), "endpoint cannot be used"))
	require.Contains(t, s.log.String(), `"endpoint":"ep_1"`)
}

// What an endpoint was at each place of the stream is kept as its row said it: after a crash the
// events behind that place go by it again.
func TestAChangeHoldsTheRowAsItWas(t *testing.T) {
	t.Parallel()
	b := setupIntake(t, postgres.EventsOptions{})
	b.transaction(t, 100, func() {
		b.insert(t, idOne)
		require.NoError(t, b.events.Change(postgres.Insert, endpointTable, apiRow("ep_1", "crm", "active")))
		require.NoError(t, b.events.Change(postgres.Delete, endpointTable, apiRow("ep_1", "crm", "active")))
	})
	made, gone := b.changes[0][0].Version, b.changes[0][1].Version
	require.Contains(t, string(made.Row), `"name":"crm"`)
	require.Empty(t, gone.Row)
	require.Equal(t, "ep_1", gone.EndpointID)
	require.EqualValues(t, 100, gone.CommitLSN)
	require.Less(t, made.Seq, gone.Seq)
}

// A newer Tailpost may have taken away a column of the table that this one needs.
func TestATableOfEndpointsThatCannotBeReadChangesNothing(t *testing.T) {
	t.Parallel()
	s := setupSealing(t)
	feed, _ := s.load(t)
	b := setupIntake(t, postgres.EventsOptions{})
	b.useFeed(feed)
	cut := *endpointTable
	cut.Columns = cut.Columns[:len(cut.Columns)-1]
	row := apiRow("ep_1", "crm", "active")
	for range 2 {
		require.Equal(t, []string{"moved 110"}, b.transaction(t, 100, func() {
			require.NoError(t, b.events.Change(postgres.Insert, &cut, row[:len(row)-1]))
		}))
	}
	require.Equal(t, 1, strings.Count(s.log.String(), "changes of endpoints are not applied"), "said once for each table")
	require.NotEmpty(t, b.transaction(t, 200, func() { require.NoError(t, b.events.Change(postgres.Insert, endpointTable, row)) }))
}

// A row says what changed only beside what it said before: of one that is not known nothing is, and
// deleting it is noted all the same.
func TestRowsOfEndpointsThatAreNotKnown(t *testing.T) {
	t.Parallel()
	b := setupIntake(t, postgres.EventsOptions{})
	require.Equal(t, []string{"moved 110", "change ep_9 before 0, gone true"}, b.transaction(t, 100, func() {
		require.NoError(t, b.events.Change(postgres.Delete, endpointTable, apiRow("ep_9", "crm", "active")))
	}))
	require.Equal(t, []string{"moved 210"}, b.transaction(t, 200, func() {
		require.NoError(t, b.events.Change(postgres.Insert, endpointTable, endpointRow("crm", "active")))
	}), "one that comes with the configuration has its status from there")
	require.Equal(t, []string{"crm is paused", "moved 310"}, b.transaction(t, 300, func() {
		require.NoError(t, b.events.Change(postgres.Update, endpointTable, endpointRow("crm", "paused")))
	}))
	require.Equal(t, []string{"moved 410"}, b.transaction(t, 400, func() {
		require.NoError(t, b.events.Change(postgres.Update, endpointTable, endpointRow("crm", "paused")))
	}), "a row that says nothing new changes nothing")
}

// What is looked up together is bounded in bytes as it is in events.
func TestWhatIsLookedUpTogetherIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	b := setupIntake(t, postgres.EventsOptions{})
	var asked []int
	b.again(&intake.Again{
		Until: 110, Fail: func(error) {},
		Of: func(ids []string) (map[outbox.Pair]struct{}, error) {
			asked = append(asked, len(ids))
			return nil, nil
		},
	})
	large := `{"type": "order.paid", "payload": "` + strings.Repeat("x", 1<<20) + `"}`
	b.transaction(t, 100, func() {
		for range 10 {
			require.NoError(t, b.events.Message("app", []byte(large)))
		}
	})
	require.Equal(t, []int{4, 4, 2}, asked)
	require.NotContains(t, b.transaction(t, 111, func() { b.insert(t, idOne) }), "known 0", "nothing is recorded of what commits behind Until")
	require.Contains(t, b.transaction(t, 110, func() { b.insert(t, idOne) }), "known 0", "of what commits there, something may be")
}

// Once a look-up has failed nothing is handed over, however much comes.
func TestNothingIsTakenAfterALookUpThatFailed(t *testing.T) {
	t.Parallel()
	b := setupIntake(t, postgres.EventsOptions{})
	calls := 0
	b.again(&intake.Again{Until: 1000, Fail: func(error) {}, Of: func([]string) (map[outbox.Pair]struct{}, error) {
		calls++
		return nil, errors.New("no database")
	}})
	notes := b.transaction(t, 100, func() {
		for n := range 1200 {
			b.insert(t, fmt.Sprintf("0198a000-0000-7000-8000-%012d", n))
		}
	})
	require.Empty(t, notes)
	require.Equal(t, 1, calls, "the relay goes down with the first error")
	require.NoError(t, b.events.Keepalive(900))
	require.Empty(t, b.taken(), "nor does it say how far it has come")
}
