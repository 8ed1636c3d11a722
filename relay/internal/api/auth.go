package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"golang.org/x/time/rate"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/config/receiver"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// keyPrefix begins the secret of every key that the API makes.
const keyPrefix = "tp_"

// keySecretSize is how many random bytes a secret has.
const keySecretSize = 32

// shownPrefix is how much of a key's secret is shown later.
const shownPrefix = 8

// localActor is who calls where no key is needed.
const localActor = "local"

// principal is who calls, and what they may do.
type principal struct {
	key     query.Key
	address string
	secret  string // what they showed; it encrypts the answers kept for them
	session bool   // they showed it when the session began
	// fingerprint is that of the secret by which they were identified.
	fingerprint []byte
	// operator has the database itself, and needs no key.
	operator bool
}

func (p *principal) actor() query.Actor {
	return query.Actor{ID: p.key.ID, Address: p.address, Tenant: p.key.Tenant}
}

// tenant returns the tenant that the caller is bound to; empty: none.
func (p *principal) tenant() string { return p.key.Tenant }

// readable returns what the caller may read of an attempt's error: the network that the relay
// stands in is the operator's to know.
func (p *principal) readable(text string) string {
	if p.tenant() == "" {
		return text
	}
	return receiver.PublicError(text)
}

// may says whether the caller has a scope. To write includes to read.
func (p *principal) may(scope string) bool {
	if slices.Contains(p.key.Scopes, scope) {
		return true
	}
	if scope == config.ScopeSecretsWrite { // each capability of a portal link stands for itself
		return p.key.Source != query.SourcePortal && slices.Contains(p.key.Scopes, config.ScopeEndpointsWrite)
	}
	read, ok := strings.CutSuffix(scope, ":read")
	return ok && slices.Contains(p.key.Scopes, read+":write")
}

// newKeySecret makes the secret of a key.
func newKeySecret() string {
	b := make([]byte, keySecretSize)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the program instead
	return keyPrefix + base64.RawURLEncoding.EncodeToString(b)
}

func hashOf(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// callerKey is the context's key of the principal, the one thing that travels there: huma gives
// handlers nothing else.
type callerKey struct{}

func caller(ctx context.Context) *principal {
	p, _ := ctx.Value(callerKey{}).(*principal)
	return p
}

// authenticate lets a request pass whose key is known and has the operation's scope.
func (s *Server) authenticate(ctx huma.Context, next func(huma.Context)) {
	scope, _ := ctx.Operation().Metadata[scopeOf].(string)
	if scope == "" {
		next(ctx)
		return
	}
	p, refusal := s.identify(ctx)
	if refusal == nil && !p.may(scope) {
		refusal = problem(http.StatusForbidden, "This key lacks the scope "+scope+".")
	}
	if refusal != nil {
		for name, values := range refusal.headers {
			ctx.SetHeader(name, values[0])
		}
		s.write(ctx, refusal)
		return
	}
	next(huma.WithValue(ctx, callerKey{}, p))
}

// identify says who calls.
func (s *Server) identify(ctx huma.Context) (*principal, *Problem) {
	if p, ok := ctx.Context().Value(sessionKey{}).(*principal); ok {
		return p, nil
	}
	scheme, presented, ok := strings.Cut(ctx.Header("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") { // the name of a scheme has no case
		if s.keyless() {
			r, _ := humago.Unwrap(ctx)
			return s.local(r)
		}
		return nil, noKey()
	}
	return s.login(ctx.Context(), addressOf(ctx.RemoteAddr()), strings.TrimLeft(presented, " "))
}

func noKey() *Problem {
	return problem(http.StatusUnauthorized, "Send a key: Authorization: Bearer tp_….").with("WWW-Authenticate", "Bearer")
}

// login returns who has the key that was presented.
func (s *Server) login(ctx context.Context, address, presented string) (*principal, *Problem) {
	hash := hashOf(presented)
	if !s.logins.allow(address, hash, s.now()) {
		return nil, problem(http.StatusTooManyRequests, "Too many unknown keys came from this address.").with("Retry-After", "10")
	}
	key, err := s.keyOf(ctx, s.config(), hash)
	switch {
	case errors.Is(err, query.ErrNotFound):
		s.logins.failed(address, s.now())
		s.log.Warn().Str("address", address).Msg("unknown API key")
		return nil, problem(http.StatusUnauthorized, "This key is not known.").with("WWW-Authenticate", "Bearer")
	case err != nil:
		return nil, problemOf(ctx, s, err)
	}
	s.logins.succeeded(address, hash, s.now())
	s.noteUse(ctx, key)
	return &principal{key: key, address: address, secret: presented, fingerprint: fingerprintOf(hash)}, nil
}

// keyless reports whether programs of this machine need no key.
func (s *Server) keyless() bool {
	cfg := s.config()
	return len(cfg.API.Keys) == 0 && cfg.API.Loopback()
}

func localKey() query.Key {
	return query.Key{ID: localActor, Name: localActor, Scopes: config.Scopes()}
}

// local lets programs of this machine in where no key is configured, but no web page that a browser
// of this machine shows.
func (s *Server) local(r *http.Request) (*principal, *Problem) {
	for _, name := range forwarding() {
		if _, there := r.Header[http.CanonicalHeaderKey(name)]; there {
			return nil, problem(http.StatusForbidden, "Without a key the API answers programs of this machine only, and this request came through a proxy ("+name+"): add a key block to api.")
		}
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	if host != "localhost" && (err != nil || !addr.IsLoopback()) || s.origins.Check(r) != nil {
		return nil, problem(http.StatusForbidden, "Without a key the API answers programs of this machine only, under the name localhost.")
	}
	return &principal{key: localKey(), address: addressOf(r.RemoteAddr), fingerprint: fingerprintOf(nil)}, nil
}

// forwarding are the headers by which a proxy tells for whom it asks.
func forwarding() []string {
	return []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via", "CF-Connecting-IP", "True-Client-IP"}
}

// ConfigKeyID returns the id of a key of the configuration, by which its use and its deeds are on
// record.
func ConfigKeyID(k *config.APIKey) string { return "config:" + k.Name }

func configKey(k *config.APIKey) query.Key {
	return query.Key{ID: ConfigKeyID(k), Name: k.Name, Source: query.SourceConfig, Scopes: k.Scopes, Tenant: k.Tenant}
}

// keyOf finds the key with this hash. All keys of the configuration are compared, each in constant
// time; those of the database are found by the hash, which tells nobody anything of the secret.
func (s *Server) keyOf(ctx context.Context, cfg *config.Config, hash []byte) (query.Key, error) {
	found := -1
	for i := range cfg.API.Keys {
		if subtle.ConstantTimeCompare(hashOf(cfg.API.Keys[i].Secret.Reveal()), hash) == 1 {
			found = i
		}
	}
	if found >= 0 {
		return configKey(&cfg.API.Keys[found]), nil
	}
	return s.store.KeyByHash(ctx, hash)
}

// useNoted is how often the use of a key is written down.
const useNoted = time.Minute

// noteUse writes down that a key was used, at most once a minute.
func (s *Server) noteUse(ctx context.Context, key query.Key) {
	if key.ID == localActor {
		return // nobody's
	}
	now := s.now()
	s.mu.Lock()
	last, known := s.used[key.ID]
	due := !known || now.Sub(last) >= useNoted
	if due {
		if len(s.used) >= maxUsed {
			clear(s.used)
		}
		s.used[key.ID] = now
	}
	s.mu.Unlock()
	if !due {
		return
	}
	if err := s.store.UseKey(ctx, key, now); err != nil {
		// The request does not depend on it.
		s.log.Warn().Err(err).Msg("the use of an API key was not noted")
	}
}

// maxUsed bounds the keys whose use is remembered.
const maxUsed = 10_000

func addressOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	return host
}

// The limits of failed logins from one address: a burst, then one in six seconds.
const (
	loginBurst     = 10
	loginEvery     = 6 * time.Second
	maxAddresses   = 10_000
	maxKnownHashes = 64
)

// logins limits how many unknown keys an address may try. Keys that it has used before pass all the
// same, so that one program that tries wrong keys does not lock out its neighbors.
type logins struct {
	mu        sync.Mutex
	addresses map[string]*visitor
}

type visitor struct {
	limit *rate.Limiter
	known map[string]struct{} // hashes of keys that were right
}

func (l *logins) visitor(address string) *visitor {
	v := l.addresses[address]
	if v == nil {
		if len(l.addresses) >= maxAddresses {
			clear(l.addresses)
		}
		v = &visitor{limit: rate.NewLimiter(rate.Every(loginEvery), loginBurst), known: make(map[string]struct{})}
		l.addresses[address] = v
	}
	return v
}

// allow says whether a key may be tried.
func (l *logins) allow(address string, hash []byte, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.addresses[address]
	if v == nil {
		return true
	}
	_, known := v.known[string(hash)]
	return known || v.limit.TokensAt(now) >= 1
}

func (l *logins) failed(address string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.visitor(address).limit.AllowN(now, 1)
}

func (l *logins) succeeded(address string, hash []byte, _ time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.visitor(address)
	if len(v.known) >= maxKnownHashes {
		clear(v.known)
	}
	v.known[string(hash)] = struct{}{}
}
