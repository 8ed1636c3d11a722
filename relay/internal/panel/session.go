package panel

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tailpost/tailpost/relay/internal/api"
)

// How long a session lasts.
const (
	idleAfter  = 2 * time.Hour
	expireAt   = 12 * time.Hour
	noteEvery  = time.Minute // how often it is written down that a session is used
	cookiePart = 32          // random bytes of a cookie
)

// The cookies' names. Under TLS those of sessions begin with __Host-: browsers keep them to this
// host.
const (
	plainCookie  = "tailpost"
	portalCookie = "tailpost_portal"
	loginCookie  = "tailpost_login" // of a visitor who has not logged in yet
	themeCookie  = "tailpost_theme"
)

// Session is a login. The database has no more of the visitor's cookie than its hash.
type Session struct {
	Hash        []byte // SHA-256 of the cookie
	KeyID       string
	Fingerprint []byte // of the key's secret; nobody can log in with it
	CreatedAt   time.Time
	SeenAt      time.Time // to the minute
}

// ErrNoSession is a session that is not there.
var ErrNoSession = errors.New("there is no such session")

// Sessions keeps sessions where every replica finds them. It is safe for concurrent use.
type Sessions interface {
	OpenSession(ctx context.Context, s Session) error
	// Session returns the session with this hash, or ErrNoSession.
	Session(ctx context.Context, hash []byte) (Session, error)
	// SeeSession notes that a session was used.
	SeeSession(ctx context.Context, hash []byte, at time.Time) error
	// CloseSession ends a session; one that is not there is closed already.
	CloseSession(ctx context.Context, hash []byte) error
	// SweepSessions removes those that were created or used last before these times.
	SweepSessions(ctx context.Context, created, seen time.Time) error
}

// over reports whether a session has been idle for too long, or is too old.
func (s *Session) over(now time.Time) bool {
	return now.Sub(s.SeenAt) >= idleAfter || now.Sub(s.CreatedAt) >= expireAt
}

func hashOf(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

func newToken() string {
	b := make([]byte, cookiePart)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the program instead
	return base64.RawURLEncoding.EncodeToString(b)
}

// secure reports whether the visitor's connection is encrypted, by us or by a proxy in front.
// Whoever lies about it gets a cookie that their browser does not send back.
func secure(r *http.Request) bool {
	return r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"
}

// cookieName is that of the site's sessions.
func (v *visit) cookieName() string {
	name := plainCookie
	if v.site.isPortal() {
		name = portalCookie
	}
	return v.hostName(name)
}

// hostName is the name of a cookie that no other host may set, where browsers see to that.
func (v *visit) hostName(name string) string {
	if secure(v.r) {
		return "__Host-" + name
	}
	return name
}

// setCookie gives the visitor a cookie that no script reads and no other site sends; maxAge below 0
// takes it away. A portal that pages of other sites may frame needs one that is sent within them:
// browsers keep that apart for each of those sites, and forms are protected by their token.
func (v *visit) setCookie(name, token string, maxAge int) {
	v.token = token
	writeCookie(v, name, token, maxAge)
}

// writeCookie sends a cookie as setCookie does.
func writeCookie(v *visit, name, value string, maxAge int) {
	c := &http.Cookie{ //nolint:gosec // Secure where the connection is
		Name: name, Value: value, MaxAge: maxAge, Path: "/", HttpOnly: true, Secure: secure(v.r), SameSite: http.SameSiteStrictMode,
	}
	if c.Secure && len(v.site.framers()) > 0 {
		c.SameSite, c.Partitioned = http.SameSiteNoneMode, true
	}
	http.SetCookie(v.w, c)
}

// enter finds out who visits. Without a login it answers with the way to one and returns false.
func (v *visit) enter() bool {
	v.readCookie(v.cookieName())
	if v.token == "" && v.r.Method == http.MethodGet && v.r.Header.Get("Sec-Fetch-Site") == "cross-site" {
		// A link on another site: the browser kept the cookie back, and sends it once the page asks
		// for itself.
		v.showBare("continue", "One moment", v.r.URL.RequestURI())
		return false
	}
	cfg := v.panel.config()
	if !v.site.isPortal() && len(cfg.API.Keys) == 0 && cfg.API.Loopback() {
		return v.enterLocally()
	}
	kept, err := v.kept()
	if err == nil {
		v.session, err = v.panel.api.Renew(v.r.Context(), kept.KeyID, kept.Fingerprint, v.from())
	}
	p := problemOf(err)
	switch {
	case errors.Is(err, ErrNoSession), p != nil && p.Status == http.StatusUnauthorized:
		v.keyID = kept.KeyID
		v.out()
		return false
	case err != nil:
		v.outage(err)
		return false
	}
	v.login = true
	return true
}

// from is where the visitor comes from.
func (v *visit) from() string {
	host, _, err := net.SplitHostPort(v.r.RemoteAddr)
	if err != nil {
		return v.r.RemoteAddr
	}
	return host
}

// enterLocally lets programs of this machine in, where no key is configured.
func (v *visit) enterLocally() bool {
	var err error
	v.session, err = v.panel.api.LoginLocal(v.r)
	if p := problemOf(err); p != nil {
		v.w.WriteHeader(p.Status)
		v.showBare("locked", "Not from here", p)
		return false
	}
	if err != nil {
		v.outage(err)
		return false
	}
	if v.token == "" {
		v.setCookie(v.cookieName(), newToken(), 0)
	}
	return true
}

func (v *visit) readCookie(name string) {
	if c, err := v.r.Cookie(name); err == nil && len(c.Value) == base64.RawURLEncoding.EncodedLen(cookiePart) {
		v.token = c.Value
	}
}

// kept returns the visitor's session, or ErrNoSession.
func (v *visit) kept() (Session, error) {
	if v.token == "" {
		return Session{}, ErrNoSession
	}
	ctx, hash, now := v.r.Context(), hashOf(v.token), v.panel.now().UTC()
	s, err := v.panel.sessions.Session(ctx, hash)
	if err != nil {
		return Session{}, err
	}
	if api.Portal(s.KeyID) != v.site.isPortal() {
		return Session{}, ErrNoSession // a cookie of the other site's
	}
	if s.over(now) {
		if err := v.panel.sessions.CloseSession(ctx, hash); err != nil {
			return Session{}, err
		}
		return s, ErrNoSession
	}
	// A page that brings itself up to date is not used by anybody.
	if now.Sub(s.SeenAt) >= noteEvery && v.r.Header.Get("X-Refresh") == "" {
		if err := v.panel.sessions.SeeSession(ctx, hash, now); err != nil {
			return Session{}, err
		}
	}
	return s, nil
}

// csrf returns the token that a form must bring: only a page of ours can read it.
func (v *visit) csrf() string {
	mac := hmac.New(sha256.New, []byte(v.token))
	mac.Write([]byte("tailpost panel form"))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// readForm reads the visitor's form, before anybody takes a field of it for missing.
func (v *visit) readForm() error {
	err := v.r.ParseForm()
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return refuse(http.StatusRequestEntityTooLarge, "This form is larger than the "+byteSize(large.Limit)+
			" that one may have. Nothing was changed: go back, where your browser still has what you wrote, and make it shorter.")
	}
	if err != nil {
		return refuse(http.StatusBadRequest, "The form could not be read. Nothing was changed.")
	}
	return nil
}

// genuine refuses a form that no page of ours sent.
func (v *visit) genuine() error {
	if v.panel.origins.Check(v.r) != nil {
		return refuse(http.StatusForbidden, "This request came from another site. Nothing was changed.")
	}
	if err := v.readForm(); err != nil {
		return err
	}
	sent := v.r.Header.Get("X-CSRF-Token")
	if sent == "" {
		sent = v.r.PostFormValue("csrf")
	}
	if v.token == "" || subtle.ConstantTimeCompare([]byte(sent), []byte(v.csrf())) != 1 {
		return refuse(http.StatusForbidden, "This form is from a session that is over. Nothing was changed: load the page again.")
	}
	return nil
}

// out leads to the login and back, or out of the portal.
func (v *visit) out() {
	if v.r.Header.Get("Accept") == "text/event-stream" { // a script asked, and reloads its page
		http.Error(v.w, "The session is over.", http.StatusUnauthorized)
		return
	}
	if v.site.isPortal() {
		leave(v)
		return
	}
	to := v.site.root + "login"
	if v.r.Method == http.MethodGet && v.r.URL.Path != v.site.root {
		to += "?next=" + escapeQuery(strings.TrimPrefix(v.r.URL.RequestURI(), v.site.root))
	}
	v.redirect(to)
}

// outage says that there is no answer now.
func (v *visit) outage(err error) {
	v.panel.log.Warn().Err(err).Msg("the panel cannot check a session: the database cannot be used")
	v.w.Header().Set("Retry-After", "5")
	v.w.WriteHeader(http.StatusServiceUnavailable)
	v.showBare("locked", "Not now", refuse(http.StatusServiceUnavailable,
		"The database cannot be used; the relay's log says why. Load the page again in a while."))
}

// loginForm is the page at which a visitor shows a key.
type loginForm struct {
	Next    string
	Problem string
}

// next is where to go after a login: a page of ours, whatever the link says.
func next(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.IsAbs() || u.Host != "" || strings.HasPrefix(text, "/") || strings.Contains(text, "\\") ||
		slices.Contains(strings.Split(u.Path, "/"), "..") {
		return ""
	}
	return text
}

func (s *site) showLogin(w http.ResponseWriter, r *http.Request) {
	v := s.visit(w, r)
	if cfg := s.panel.config(); len(cfg.API.Keys) == 0 && cfg.API.Loopback() {
		v.see("", "")
		return
	}
	v.showLogin(http.StatusOK, loginForm{Next: next(r.URL.Query().Get("next"))})
}

func (v *visit) showLogin(status int, form loginForm) {
	if v.readCookie(loginCookie); v.token == "" {
		v.setCookie(loginCookie, newToken(), 0)
	}
	v.w.WriteHeader(status)
	v.showBare("login", "Log in", form)
}

func (s *site) doLogin(w http.ResponseWriter, r *http.Request) {
	v := s.visit(w, r)
	v.readCookie(loginCookie)
	err := v.genuine()
	form := loginForm{Next: next(r.PostFormValue("next"))}
	if err != nil {
		form.Problem = "This page was open for too long, or cookies are off. Try again."
		status := http.StatusForbidden
		if p := problemOf(err); p != nil && p.Status == http.StatusRequestEntityTooLarge {
			form.Problem, status = p.Detail, p.Status
		}
		v.showLogin(status, form)
		return
	}
	session, err := s.panel.api.Login(r.Context(), v.from(), strings.TrimSpace(r.PostFormValue("key")))
	if refusal := problemOf(err); refusal != nil && refusal.Status < http.StatusInternalServerError {
		form.Problem = refusal.Detail
		v.showLogin(refusal.Status, form)
		return
	}
	if err != nil {
		v.outage(err)
		return
	}
	token, err := v.begin(session)
	if err != nil {
		v.outage(err)
		return
	}
	v.setCookie(loginCookie, "", -1)
	v.setCookie(v.cookieName(), token, 0)
	v.see(form.Next, "")
}

// begin keeps a session and returns the cookie that stands for it: always another one, so that
// whoever planted a cookie has nothing.
func (v *visit) begin(session *api.Session) (token string, err error) {
	ctx, now, keep := v.r.Context(), v.panel.now().UTC(), v.panel.sessions
	token = newToken()
	if err := keep.SweepSessions(ctx, now.Add(-expireAt), now.Add(-idleAfter)); err != nil {
		return "", err
	}
	return token, keep.OpenSession(ctx, Session{
		Hash: hashOf(token), KeyID: session.KeyID(), Fingerprint: session.Fingerprint(), CreatedAt: now, SeenAt: now,
	})
}

func (v *visit) logout() error {
	if err := v.panel.sessions.CloseSession(v.r.Context(), hashOf(v.token)); err != nil {
		return err
	}
	v.setCookie(v.cookieName(), "", -1)
	if v.site.isPortal() {
		v.see("over", "")
		return nil
	}
	v.see("login", "")
	return nil
}

// setTheme keeps light or dark, for those whose browser runs no script.
func (v *visit) setTheme() error {
	theme := v.r.PostFormValue("theme")
	if theme != "light" && theme != "dark" {
		theme = ""
	}
	http.SetCookie(v.w, &http.Cookie{ //nolint:gosec // it says light or dark, and the script changes it too
		Name: themeCookie, Value: theme, Path: v.site.root, MaxAge: int((365 * 24 * time.Hour).Seconds()), //nolint:mnd // a year
		Secure: secure(v.r), SameSite: http.SameSiteStrictMode,
	})
	v.see(next(v.r.PostFormValue("next")), "")
	return nil
}
