package api

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// sessionFresh is how long a session is used without looking at its key again.
const sessionFresh = 2 * time.Second

// Session is a caller who was identified once, such as a person who logged in to the panel. It can
// do what its key can and nothing else, and ends with its key. It holds no secret. It is safe for
// concurrent use.
type Session struct {
	principal principal
	renewed   time.Time
}

// KeyID returns the id of the key that the session stands for.
func (s *Session) KeyID() string { return s.principal.key.ID }

// Name returns the name of the key, for people.
func (s *Session) Name() string { return s.principal.key.Name }

// Tenant returns the tenant that the session is bound to; empty: none.
func (s *Session) Tenant() string { return s.principal.key.Tenant }

// Scopes returns what the session may do.
func (s *Session) Scopes() []string { return slices.Clone(s.principal.key.Scopes) }

// May reports whether the session has a scope. To write includes to read.
func (s *Session) May(scope string) bool { return s.principal.may(scope) }

// Fingerprint returns what Renew needs to know the secret again by which the session began. It is
// no secret: nobody can log in with it.
func (s *Session) Fingerprint() []byte { return slices.Clone(s.principal.fingerprint) }

func fingerprintOf(hash []byte) []byte {
	sum := sha256.Sum256(append([]byte("tailpost session\x00"), hash...))
	return sum[:]
}

func (s *Server) newSession(p *principal) *Session {
	began := *p
	began.session, began.secret = true, ""
	return &Session{principal: began, renewed: s.now()}
}

// Login begins a session with the secret of a key. Guesses are limited by address, together with
// those of API calls. The error is a *Problem.
func (s *Server) Login(ctx context.Context, address, secret string) (*Session, error) {
	p, refusal := s.login(ctx, address, secret)
	if refusal != nil {
		return nil, refusal
	}
	return s.newSession(p), nil
}

// LoginLocal begins a session without a key, where the configuration has none and the request comes
// from a program of this machine. The error is a *Problem.
func (s *Server) LoginLocal(r *http.Request) (*Session, error) {
	if !s.keyless() {
		return nil, noKey()
	}
	p, refusal := s.local(r)
	if refusal != nil {
		return nil, refusal
	}
	return s.newSession(p), nil
}

// Renew returns the session of a key as it is now, with the scopes and the tenant that the key has
// by now. The error is a *Problem, with status 401 where the session is over: its key was deleted
// or has another secret.
func (s *Server) Renew(ctx context.Context, keyID string, fingerprint []byte, address string) (*Session, error) {
	key, now, err := s.keyByID(ctx, keyID)
	switch {
	case errors.Is(err, query.ErrNotFound):
		return nil, sessionOver()
	case err != nil:
		return nil, problemOf(ctx, s, err)
	case subtle.ConstantTimeCompare(fingerprint, now) != 1:
		return nil, sessionOver()
	}
	s.noteUse(ctx, key)
	return s.newSession(&principal{key: key, address: address, fingerprint: now}), nil
}

func sessionOver() *Problem {
	return problem(http.StatusUnauthorized, "The session is over: its key was deleted or replaced. Log in again.")
}

// keyByID returns a key and the fingerprint of its secret.
func (s *Server) keyByID(ctx context.Context, id string) (query.Key, []byte, error) {
	if link, ok := strings.CutPrefix(id, portalPrefix); ok {
		return s.linkKey(ctx, link)
	}
	cfg := s.config()
	if id == localActor {
		if !s.keyless() {
			return query.Key{}, nil, query.ErrNotFound
		}
		return localKey(), fingerprintOf(nil), nil
	}
	for i := range cfg.API.Keys {
		if k := &cfg.API.Keys[i]; ConfigKeyID(k) == id {
			return configKey(k), fingerprintOf(hashOf(k.Secret.Reveal())), nil
		}
	}
	key, hash, err := s.store.KeyByID(ctx, id)
	return key, fingerprintOf(hash), err
}

// sessionKey is the context's key of a session's principal. Nothing outside of this package sets
// it, so that no request from the network has it.
type sessionKey struct{}

// ServeSession answers a request to a path of the API as the session, whatever its headers say of
// who calls.
func (s *Server) ServeSession(w http.ResponseWriter, r *http.Request, session *Session) {
	if s.now().Sub(session.renewed) > sessionFresh {
		renewed, err := s.Renew(r.Context(), session.KeyID(), session.principal.fingerprint, session.principal.address)
		if err != nil {
			writeProblem(w, problemOf(r.Context(), s, err))
			return
		}
		session = renewed
	}
	p := session.principal
	s.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), sessionKey{}, &p)))
}

// ServeOperator answers a request of somebody who has the database anyway: it may all that a key
// without a tenant may. The audit names them as actor.
func (s *Server) ServeOperator(w http.ResponseWriter, r *http.Request, actor string) {
	p := &principal{key: query.Key{ID: actor, Name: actor, Scopes: config.Scopes()}, operator: true}
	s.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), sessionKey{}, p)))
}

// Request is a call of the API from within this process.
type Request struct {
	Method string
	Path   string // such as /v1/endpoints; its parts are escaped (url.PathEscape)
	Query  url.Values
	Header http.Header
	Host   string // by which the API is called; empty: localhost
	Body   any    // encoded as JSON; []byte and json.RawMessage are sent as they are; nil: none
}

// Response is the answer to a Request.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Err returns the *Problem of an answer that is no success, or nil.
func (r *Response) Err() error {
	if r.Status < http.StatusBadRequest {
		return nil
	}
	p := problem(r.Status, "")
	if json.Unmarshal(r.Body, p) != nil || p.Detail == "" {
		p = problem(r.Status, http.StatusText(r.Status)+".")
	}
	p.headers = r.Header
	return p
}

// Decode puts the body of a success into v, numbers in an any as json.Number; otherwise it returns
// the *Problem.
func (r *Response) Decode(v any) error {
	if err := r.Err(); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(r.Body))
	dec.UseNumber()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("decode the answer: %w", err)
	}
	return nil
}

// Do makes a call as the session: the same operation, the same scopes and the same tenant as over
// HTTP.
func (s *Server) Do(ctx context.Context, session *Session, in Request) (*Response, error) {
	var body io.Reader = http.NoBody
	switch v := in.Body.(type) {
	case nil:
	case []byte:
		body = bytes.NewReader(v)
	default:
		text, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("encode the request: %w", err)
		}
		body = bytes.NewReader(text)
	}
	at, err := url.ParseRequestURI(in.Path)
	if err != nil {
		return nil, errors.New("read the path of the request: want one such as /v1/endpoints, with its parts escaped")
	}
	at.RawQuery = in.Query.Encode()
	r := (&http.Request{
		Method: in.Method, URL: at, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: make(http.Header),
		Body: io.NopCloser(body), ContentLength: -1, Host: cmp.Or(in.Host, "localhost"), RemoteAddr: session.principal.address, RequestURI: at.RequestURI(),
	}).WithContext(ctx)
	for name, values := range in.Header {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	if in.Body != nil && r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	s.ServeSession(w, r, session)
	return &Response{Status: w.Code, Header: w.Header(), Body: w.Body.Bytes()}, nil
}

// Mount serves what lies under a pattern of http.ServeMux, such as "/panel/", beside the API. It is
// for before Serve.
func (s *Server) Mount(pattern string, h http.Handler) { s.mux.Handle(pattern, h) }
