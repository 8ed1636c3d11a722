package token

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/config/receiver"
	"github.com/tailpost/tailpost/relay/internal/egress"
	"github.com/tailpost/tailpost/relay/internal/pace"
)

const (
	// early is how long before its end a token is replaced: no request is to arrive with one that
	// has just ended.
	early = 30 * time.Second
	// fetchTimeout bounds one fetch, whoever waits for it.
	fetchTimeout = 15 * time.Second
	idleTimeout  = 30 * time.Second
	// most is the longest token that is kept, in bytes. Few servers take a header as long, and each
	// endpoint of a tenant may have a token endpoint of the tenant's own.
	most = 16 << 10
	// mostHeader bounds the head of a token endpoint's answer.
	mostHeader = 64 << 10
	// doubtEvery is how often a token may be replaced because of a 403, which most receivers answer
	// for good.
	doubtEvery = time.Minute
)

// Error is why there is no token. Its text is fit for people and holds no secret.
type Error struct {
	text string
	err  error
}

func (e *Error) Error() string { return "OAuth 2: " + e.text }
func (e *Error) Unwrap() error { return e.err }

// Source holds the token of one endpoint. It is safe for concurrent use.
type Source struct {
	config clientcredentials.Config // without the assertion, which each fetch signs anew
	signer *signer                  // nil: there is no assertion
	client *http.Client             //nolint:forbidigo // it dials through the guard, see New
	whole  bool                     // requests are plain http to the egress proxy, with their whole URL
	turn   chan struct{}            // holds one value while somebody fetches

	mu      sync.Mutex
	kept    kept
	before  kept      // the one before, with which requests may be on their way
	doubted time.Time // when a token was last replaced because of a 403
	failed  error     // of the last fetch; nil: it succeeded
	retryAt time.Time // until then nobody tries again
	pause   pace.Backoff
}

// kept is what is kept of an answer: a token of the library has all of it.
type kept struct {
	value string    // empty: there is none
	until time.Time // zero: for good
	taken bool      // the receiver has taken a request with it
}

// New makes a Source. It fetches nothing yet. Roots are the authorities that sign the token
// endpoint's certificate; nil: the system's.
func New(auth config.Auth, dialer *egress.Dialer, roots *x509.CertPool) (*Source, error) {
	_, place, err := receiver.Parse(auth.TokenURL)
	if err != nil {
		return nil, fmt.Errorf("token URL: %w", err)
	}
	s := &Source{
		turn: make(chan struct{}, 1), pause: pace.Backoff{Least: time.Second, Most: time.Minute},
		config: clientcredentials.Config{
			ClientID: auth.ClientID, ClientSecret: auth.Secret.Reveal(), TokenURL: auth.TokenURL, Scopes: auth.Scopes,
			AuthStyle: oauth2.AuthStyleInHeader,
		},
	}
	if auth.Style == config.OAuth2Body {
		s.config.AuthStyle = oauth2.AuthStyleInParams
	}
	if auth.Audience != "" {
		s.config.EndpointParams = url.Values{"audience": {auth.Audience}}
	}
	if !auth.Assertion.IsZero() {
		if s.signer, err = newSigner(&auth); err != nil {
			return nil, fmt.Errorf("assertion: %w", err)
		}
		if auth.Secret.IsZero() {
			s.config.AuthStyle = oauth2.AuthStyleInParams // a header would say that the password is empty
		}
	}
	proxy := &url.URL{Scheme: "http", Host: "egress-proxy.invalid"} // the dialer knows where it is
	proxy.User, s.whole = dialer.Proxied(place)
	s.client = &http.Client{ //nolint:forbidigo // it dials through the guard
		Timeout: fetchTimeout,
		Transport: answers{&http.Transport{ //nolint:forbidigo // it dials through the guard
			// Every connection of this transport goes to one place: the guard judges that.
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.Open(ctx, place)
			},
			Proxy: func(*http.Request) (*url.URL, error) {
				if s.whole {
					return proxy, nil
				}
				return nil, nil //nolint:nilnil // as http.Transport has it: no proxy
			},
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			IdleConnTimeout: idleTimeout, MaxIdleConns: 1, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: mostHeader,
		}},
		// A redirect would carry the client's secret to another place.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s, nil
}

// Token returns an access token that is good for a while yet. The error is an *[Error], or that of
// ctx.
func (s *Source) Token(ctx context.Context) (string, error) {
	if value, err := s.known(time.Now()); value != "" || err != nil {
		return value, err
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	// Whoever had the turn before may have brought it.
	if value, err := s.known(time.Now()); value != "" || err != nil {
		return value, err
	}
	got, err := s.fetch(ctx)
	if ctx.Err() != nil && err != nil {
		return "", ctx.Err() // this caller's time is up: that says nothing about the token endpoint
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.failed, s.retryAt = err, time.Now().Add(s.pause.Next())
		return "", err
	}
	s.keep(got)
	s.failed = nil
	s.pause.Reset()
	return got.value, nil
}

// keep replaces the token, if there is one. The caller holds mu.
func (s *Source) keep(next kept) {
	if s.kept.value != "" {
		s.before = s.kept
	}
	s.kept = next
}

// known returns what is known without a fetch: the token, or why there is none; neither: fetch.
func (s *Source) known(now time.Time) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept.value != "" && (s.kept.until.IsZero() || now.Before(s.kept.until)) {
		return s.kept.value, nil
	}
	if s.failed != nil && now.Before(s.retryAt) {
		return "", s.failed
	}
	return "", nil
}

// Taken notes that the receiver took a request with value.
func (s *Source) Taken(value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept.value == value {
		s.kept.taken = true
	}
}

// Refused notes that the receiver answered 401 or, where sure is false, 403 to a request with
// value, and reports whether that was about a token that it took until then: a request with another
// one may follow at once.
//
// RFC 6750 (3.1) has 401 for a token that has ended, and 403 for one that is good and not good
// enough. Gateways answer 403 to both. So it counts once a minute at most, and only if the
// receiver took that token before.
func (s *Source) Refused(value string, sure bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if value != s.kept.value {
		return value == s.before.value && s.before.taken
	}
	if !sure {
		now := time.Now()
		if !s.kept.taken || now.Sub(s.doubted) < doubtEvery {
			return false
		}
		s.doubted = now
	}
	s.keep(kept{})
	return s.before.taken
}

// Close closes idle connections.
func (s *Source) Close() { s.client.CloseIdleConnections() }

func (s *Source) fetch(ctx context.Context) (kept, error) {
	with := s.config
	if s.signer != nil {
		var err error
		if with.EndpointParams, err = s.signer.params(s.config.EndpointParams, time.Now()); err != nil {
			return kept{}, &Error{"the key does not sign the assertion", err}
		}
	}
	got, err := with.Token(context.WithValue(ctx, oauth2.HTTPClient, s.client))
	if answered, is := errors.AsType[*oauth2.RetrieveError](err); is && s.whole && answered.Response.StatusCode == http.StatusProxyAuthRequired {
		err = egress.Unpassed(answered.Response.Header.Get("Proxy-Authenticate") != "")
	}
	switch {
	case err != nil:
		return kept{}, &Error{explain(err), err}
	case !strings.EqualFold(got.Type(), "bearer"):
		return kept{}, &Error{text: "the token endpoint gave a token that is no bearer token"}
	case len(got.AccessToken) > most:
		return kept{}, &Error{text: fmt.Sprintf("the token endpoint gave a token of more than %d KiB", most>>10)}
	case !receiver.ValidValue(got.AccessToken):
		return kept{}, &Error{text: "the token endpoint gave a token that no header can carry"}
	}
	k := kept{value: strings.Clone(got.AccessToken)}
	if !got.Expiry.IsZero() {
		// A token whose life is shorter than what is kept in hand is used for half of it.
		k.until = got.Expiry.Add(-min(early, time.Until(got.Expiry)/2))
	}
	return k, nil
}

// explain says why a fetch failed, without a word of what the token endpoint wrote but its error
// code, which RFC 6749 names.
func explain(err error) string {
	var own *Error
	var answered *oauth2.RetrieveError
	var denied *receiver.DenialError
	var refused *egress.RefusalError
	var dns *net.DNSError
	var untrusted *tls.CertificateVerificationError
	var timeout net.Error
	switch {
	case errors.As(err, &own):
		return own.text
	case errors.As(err, &answered) && answered.Response != nil:
		text := fmt.Sprintf("the token endpoint answered %d", answered.Response.StatusCode)
		if code := answered.ErrorCode; isCode(code) {
			text += " (" + code + ")"
		}
		return text
	case errors.As(err, &denied):
		return denied.Error()
	case errors.As(err, &refused):
		return refused.Error()
	case egress.Unreached(err) != "" && !egress.IsLocal(err):
		return egress.Unreached(err)
	case errors.As(err, &dns):
		return "the token endpoint's name cannot be resolved"
	case errors.As(err, &untrusted):
		return "the token endpoint's certificate is not trusted"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "the token endpoint did not answer in time"
	case egress.IsLocal(err):
		return "no connection to the token endpoint: the relay's machine is short of what that takes"
	}
	if _, ok := errors.AsType[*url.Error](err); ok {
		return "no connection to the token endpoint"
	}
	return "the token endpoint gave no token"
}

// isCode reports whether text is one that an error of RFC 6749, section 5.2, may have.
func isCode(text string) bool {
	const most = 40
	return text != "" && len(text) <= most && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz_") == ""
}
