package panel

import (
	"context"
	"errors"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/api"
)

// The paths under which the panel and the customer portal are served.
const (
	Root       = "/panel/"
	PortalRoot = api.PortalRoot
)

// Options say what a Panel needs.
type Options struct {
	API      *api.Server
	Sessions Sessions
	Config   func() *config.Config // called at every request, so that a reload takes effect at once
	Version  string                // of Tailpost
	Logger   zerolog.Logger
	Now      func() time.Time // nil: time.Now
}

// Panel serves the panel and the customer portal. It is safe for concurrent use.
type Panel struct {
	api      *api.Server
	sessions Sessions
	config   func() *config.Config
	version  string
	log      zerolog.Logger
	now      func() time.Time

	origins *http.CrossOriginProtection
	panel   *site
	portal  *site
}

// New makes a Panel.
func New(o Options) *Panel {
	p := &Panel{
		api: o.API, sessions: o.Sessions, config: o.Config, version: o.Version, log: o.Logger, now: o.Now,
		origins: http.NewCrossOriginProtection(),
	}
	if p.now == nil {
		p.now = time.Now
	}
	p.panel = newSite(p, Root)
	p.panel.routes()
	p.portal = newSite(p, PortalRoot)
	p.portal.portalRoutes()
	return p
}

// ServeHTTP implements http.Handler for both roots.
func (p *Panel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer p.recover(w, r)
	site := p.panel
	if strings.HasPrefix(r.URL.Path, PortalRoot) {
		site = p.portal
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
	site.protect(h)
	site.mux.ServeHTTP(w, r)
}

// recover keeps a bug in one page from ending the relay.
func (p *Panel) recover(w http.ResponseWriter, r *http.Request) {
	cause := recover()
	if cause == nil {
		return
	}
	if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(cause)
	}
	p.log.Error().Interface("panic", cause).Str("method", r.Method).Bytes("stack", debug.Stack()).Msg("the panel panicked")
	http.Error(w, "Something went wrong; the relay's log says what.", http.StatusInternalServerError)
}

// visit is one request of a visitor whom the API knows.
type visit struct {
	panel   *Panel
	site    *site
	w       http.ResponseWriter
	r       *http.Request
	session *api.Session
	login   bool   // there is a session to log out of
	token   string // the value of the visitor's cookie
	keyID   string // of a session that is over
	known   names  // nil: not read yet
}

// handler answers a visitor. An error becomes a page that says what to do.
type handler func(v *visit) error

// fail shows what went wrong.
func (v *visit) fail(err error) {
	if errors.Is(err, context.Canceled) {
		return // the visitor left
	}
	p := problemOf(err)
	if p == nil {
		v.panel.log.Error().Err(err).Str("page", v.r.Pattern).Msg("a page of the panel failed")
		p = refuse(http.StatusInternalServerError, "Something went wrong; the relay's log says what.")
	}
	if p.Status == http.StatusUnauthorized {
		v.out()
		return
	}
	page := problemPage{Problem: p}
	if p.Status == http.StatusUnprocessableEntity && v.r.Method == http.MethodGet && v.r.URL.RawQuery != "" {
		page.Without = v.r.URL.EscapedPath()
	}
	v.show(p.Status, "problem", problemTitle(p.Status), "", page)
}

// see leads the visitor to another page of the site, which says what was done, and of how many
// things.
func (v *visit) see(path, done string, counts ...int64) {
	if done != "" {
		mark := "?"
		if strings.Contains(path, "?") {
			mark = "&"
		}
		path += mark + "done=" + sealDone(v, v.site.root+path, done, counts)
	}
	v.redirect(v.site.root + path)
}

// redirect leads the visitor to a page of the site: to begins with the site's root.
func (v *visit) redirect(to string) {
	http.Redirect(v.w, v.r, to, http.StatusSeeOther) //nolint:gosec // it stays within the site
}
