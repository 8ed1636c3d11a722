package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	validation "github.com/pb33f/libopenapi-validator/errors"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/integration/pgtest"
	"github.com/tailpost/tailpost/integration/pgtest/pgschema"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
	"github.com/tailpost/tailpost/relay/internal/api"
	"github.com/tailpost/tailpost/relay/internal/query"
	"github.com/tailpost/tailpost/relay/internal/seal"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

const (
	adminKey = "an-administrator-key-of-the-configuration"
	sealKey  = "5f1d1b1f0f4d4e2b9a6c7d8e9f00112233445566778899aabbccddeeff001122"
	// metricsText stands for the metrics of a relay.
	metricsText = "# TYPE tailpost_epoch gauge\ntailpost_epoch 1\n"
)

// streamPath is where attempts are followed.
const streamPath = "/v1/attempts/stream"

// bundle is an API over a migrated database, with a client that holds every request and answer
// against the OpenAPI document.
type bundle struct {
	db     *pgtest.DB
	conn   *pgx.Conn
	http   *httptest.Server
	server *api.Server
	log    *kit.Log

	mu      sync.Mutex
	cfg     *config.Config
	now     time.Time // zero: the clock
	answers bytes.Buffer
	called  map[string]bool // operations
	doc     *validatorOnce
	paths   map[string]map[string]struct {
		OperationID string `json:"operationId"`
	}
}

func baseConfig(tb testing.TB, url string) config.Config {
	tb.Helper()
	local := config.Network{AllowHTTP: true, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	return config.Config{
		Database: config.Database{URL: config.NewSecret(url)},
		Network:  local,
		API:      config.API{Listen: "127.0.0.1:0", Keys: []config.APIKey{{Name: "admin", Secret: config.NewSecret(adminKey)}}, Network: local},
		Secrets:  config.Secrets{Keys: []config.Secret{config.NewSecret(sealKey)}},
	}
}

// setup makes a bundle; change, if not nil, changes its configuration, and options change what the
// server gets.
func setup(tb testing.TB, change func(*config.Config), options ...func(*api.Options)) *bundle {
	tb.Helper()
	b := &bundle{db: pgschema.NewDB(tb), log: new(kit.Log), called: make(map[string]bool)}
	b.conn = b.db.Conn(tb)
	_, err := schema.Migrate(tb.Context(), b.conn, schema.MigrateOptions{Mapping: outbox.DefaultMapping()})
	require.NoError(tb, err)
	cfg := baseConfig(tb, b.db.URL)
	if change != nil {
		change(&cfg)
	}
	b.cfg, err = cfg.Complete()
	require.NoError(tb, err)

	st, err := query.Open(tb.Context(), query.Options{URL: b.cfg.Database.URL, Owner: "test/1", Mapping: b.cfg.Outbox.Mapping})
	require.NoError(tb, err)
	tb.Cleanup(st.Close)
	own, err := webhook.NewClient(webhook.Options{Network: b.cfg.Network, UserAgent: "Tailpost/test"})
	require.NoError(tb, err)
	tb.Cleanup(own.Close)
	tenants, err := webhook.NewClient(webhook.Options{Network: b.cfg.TenantNetwork(), UserAgent: "Tailpost/test"})
	require.NoError(tb, err)
	tb.Cleanup(tenants.Close)
	keyring, err := seal.New(b.cfg.Secrets)
	require.NoError(tb, err)
	o := api.Options{
		Store: st, Config: b.config, Keyring: func() *seal.Keyring { return keyring },
		Client: func(configured bool) *webhook.Client {
			if configured {
				return own
			}
			return tenants
		},
		Status: func() api.Status {
			return api.Status{State: "delivering", Slot: b.cfg.Database.Slot, Owner: "test/1", Epoch: 1}
		},
		Metrics: func(context.Context) []byte { return []byte(metricsText) },
		Logger:  zerolog.New(b.log), Now: b.clock,
	}
	for _, option := range options {
		option(&o)
	}
	b.server = api.New(o)
	b.http = httptest.NewServer(b.server)
	tb.Cleanup(b.http.Close)
	b.readDocument(tb)
	return b
}

func (b *bundle) config() *config.Config {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cfg
}

// change sets another configuration, as a reload would.
func (b *bundle) change(with func(*config.Config)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := *b.cfg
	next.API.Keys = slices.Clone(next.API.Keys)
	with(&next)
	b.cfg = &next
}

func (b *bundle) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.now.IsZero() {
		return time.Now()
	}
	return b.now
}

// validators are those of the documents that tests have read. To read one takes a second and 100 MB
// with the race detector, and nearly all tests have the same.
var validators sync.Map // *validatorOnce by the text of its document

// validatorOnce makes a validator once, and has it judge one thing at a time: it notes the sums of
// schemas in them as it goes.
type validatorOnce struct {
	once sync.Once
	v    validator.Validator
	errs []error
	mu   sync.Mutex
}

// request judges a request.
func (v *validatorOnce) request(r *http.Request) (bool, []*validation.ValidationError) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.v.ValidateHttpRequestSync(r)
}

// answer judges the answer to a request.
func (v *validatorOnce) answer(r *http.Request, res *http.Response) (bool, []*validation.ValidationError) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.v.ValidateHttpResponse(r, res)
}

func validatorOf(tb testing.TB, text []byte) *validatorOnce {
	tb.Helper()
	loaded, _ := validators.LoadOrStore(string(text), new(validatorOnce))
	one, _ := loaded.(*validatorOnce)
	one.once.Do(func() {
		doc, err := libopenapi.NewDocument(text)
		if err != nil {
			one.errs = []error{err}
			return
		}
		one.v, one.errs = validator.NewValidator(doc)
	})
	require.Empty(tb, one.errs)
	return one
}

// readDocument gets the OpenAPI document as a client would.
func (b *bundle) readDocument(tb testing.TB) {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, b.http.URL+"/openapi.json", nil)
	require.NoError(tb, err)
	res, err := b.http.Client().Do(req)
	require.NoError(tb, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(tb, err)
	b.doc = validatorOf(tb, text)
	var parsed struct {
		Paths json.RawMessage `json:"paths"`
	}
	require.NoError(tb, json.Unmarshal(text, &parsed))
	require.NoError(tb, json.Unmarshal(parsed.Paths, &b.paths))
}

// answer is what a call got.
type answer struct {
	t      testing.TB
	Status int
	Header http.Header
	Body   []byte
}

// call is one request.
type call struct {
	key     string // empty: none
	method  string
	path    string
	body    any // nil: none; a string is sent as it is
	headers http.Header
	// odd says that the library which checks requests takes it for wrong: in a list it takes no
	// reserved character, however it is encoded.
	odd bool
}

// do sends a request and checks the answer against the document; the request too, where it was a
// success.
func (b *bundle) do(tb testing.TB, c call) *answer {
	tb.Helper()
	var body []byte
	switch v := c.body.(type) {
	case nil:
	case string:
		body = []byte(v)
	default:
		var err error
		body, err = json.Marshal(v)
		require.NoError(tb, err)
	}
	request := func() *http.Request {
		req, err := http.NewRequestWithContext(tb.Context(), c.method, b.http.URL+c.path, bytes.NewReader(body))
		require.NoError(tb, err)
		maps.Copy(req.Header, c.headers)
		if body != nil && req.Header.Get("Content-Type") == "" {
			req.Header.Set("Content-Type", "application/json")
		}
		if c.key != "" {
			req.Header.Set("Authorization", "Bearer "+c.key)
		}
		return req
	}
	res, err := b.http.Client().Do(request())
	require.NoError(tb, err)
	defer res.Body.Close()
	var from io.Reader = res.Body
	if strings.HasPrefix(c.path, streamPath) && res.StatusCode == http.StatusOK {
		from = io.LimitReader(res.Body, int64(len("retry: 2000\n\n"))) // it has no end
	}
	text, err := io.ReadAll(from)
	require.NoError(tb, err)
	a := &answer{t: tb, Status: res.StatusCode, Header: res.Header, Body: text}

	b.mu.Lock()
	defer b.mu.Unlock()
	b.answers.Write(text)
	id := b.operation(c.method, strings.SplitN(c.path, "?", 2)[0])
	if id == "" {
		return a
	}
	b.called[id] = true
	if !c.odd && a.Status < 300 && (c.key != "" || len(b.cfg.API.Keys) > 0) {
		ok, problems := b.doc.request(request())
		require.True(tb, ok, "%s: the request is not what the document says: %v", id, problems)
	}
	copied := *res
	copied.Body = io.NopCloser(bytes.NewReader(text))
	ok, problems := b.doc.answer(request(), &copied)
	require.True(tb, ok, "%s: the answer is not what the document says: %v\n%s", id, problems, text)
	if a.Status >= 400 {
		require.Equal(tb, "application/problem+json", res.Header.Get("Content-Type"))
	}
	return a
}

// operation finds the operation of a path in the document; empty: there is none.
func (b *bundle) operation(method, path string) string {
	steps := strings.Split(path, "/")
	for template, methods := range b.paths {
		parts := strings.Split(template, "/")
		if len(parts) != len(steps) {
			continue
		}
		matches := true
		for i := range parts {
			matches = matches && (parts[i] == steps[i] || strings.HasPrefix(parts[i], "{") && parts[i] != "")
		}
		if op, ok := methods[strings.ToLower(method)]; matches && ok {
			return op.OperationID
		}
	}
	return ""
}

func (b *bundle) get(tb testing.TB, path string) *answer {
	tb.Helper()
	return b.do(tb, call{key: adminKey, method: http.MethodGet, path: path})
}

func (b *bundle) post(tb testing.TB, path string, body any) *answer {
	tb.Helper()
	return b.do(tb, call{key: adminKey, method: http.MethodPost, path: path, body: body})
}

// patch changes an endpoint.
func (b *bundle) patch(tb testing.TB, path string, body map[string]any) *answer {
	tb.Helper()
	return b.do(tb, call{key: adminKey, method: http.MethodPatch, path: path, body: body})
}

// is checks the status.
func (a *answer) is(status int) *answer {
	a.t.Helper()
	require.Equal(a.t, status, a.Status, "%s", a.Body)
	return a
}

// at returns the value at a path such as "data.0.id".
func (a *answer) at(path string) any {
	a.t.Helper()
	var v any
	dec := json.NewDecoder(bytes.NewReader(a.Body))
	dec.UseNumber()
	require.NoError(a.t, dec.Decode(&v))
	for step := range strings.SplitSeq(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[step]
		case []any:
			var n int
			require.NoError(a.t, json.Unmarshal([]byte(step), &n))
			if n >= len(at) {
				return nil
			}
			v = at[n]
		default:
			return nil
		}
	}
	if n, ok := v.(json.Number); ok {
		if i, err := n.Int64(); err == nil {
			return int(i)
		}
		f, err := n.Float64()
		require.NoError(a.t, err)
		return f
	}
	return v
}

func (a *answer) text(path string) string {
	a.t.Helper()
	s, _ := a.at(path).(string)
	return s
}

// list returns the length of the list at a path.
func (a *answer) list(path string) []any {
	a.t.Helper()
	l, _ := a.at(path).([]any)
	return l
}

func (b *bundle) exec(tb testing.TB, sql string, args ...any) {
	tb.Helper()
	_, err := b.conn.Exec(tb.Context(), sql, args...)
	require.NoError(tb, err)
}

// hides checks that no answer, and no row of an endpoint or of the audit, has a secret as it was
// written.
func (b *bundle) hides(tb testing.TB, secrets ...string) {
	tb.Helper()
	for _, secret := range secrets {
		require.NotContains(tb, b.answers.String(), secret)
		for _, table := range []string{"endpoint", "audit"} {
			require.Zero(tb, b.count(tb, "SELECT count(*) FROM tailpost."+table+" AS r WHERE r::text LIKE '%"+secret+"%'"), table)
		}
	}
}

func (b *bundle) count(tb testing.TB, sql string) (n int) {
	tb.Helper()
	require.NoError(tb, b.conn.QueryRow(tb.Context(), sql).Scan(&n))
	return n
}

// receiver is an HTTP server that keeps what it got.
type receiver struct {
	*httptest.Server

	mu     sync.Mutex
	code   int
	answer string
	got    []received
}

type received struct {
	uri    string
	header http.Header
	body   []byte
}

func newReceiver(tb testing.TB) *receiver {
	tb.Helper()
	r := &receiver{code: http.StatusOK, answer: "thanks"}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, received{req.RequestURI, req.Header, body})
		w.WriteHeader(r.code)
		_, _ = io.WriteString(w, r.answer)
	}))
	tb.Cleanup(r.Close)
	return r
}

func (r *receiver) last() received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got[len(r.got)-1]
}
