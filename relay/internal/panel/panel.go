package panel

import (
	"context"
	"errors"
	"html/template"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/api"
)

// Root is the path under which the panel is served.
const Root = "/panel/"

// Options say what a Panel needs.
type Options struct {
	API      *api.Server
	Sessions Sessions
	Config   func() *config.Config // called at every request, so that a reload takes effect at once
	Version  string                // of Tailpost
	Logger   zerolog.Logger
	Now      func() time.Time // nil: time.Now
}

// Panel serves the panel. It is safe for concurrent use.
type Panel struct {
	api      *api.Server
	sessions Sessions
	config   func() *config.Config
	version  string
	log      zerolog.Logger
	now      func() time.Time

	mux     *http.ServeMux
	origins *http.CrossOriginProtection
	pages   map[string]*template.Template
	assets  *assets
}

// New makes a Panel.
func New(o Options) *Panel {
	p := &Panel{
		api: o.API, sessions: o.Sessions, config: o.Config, version: o.Version, log: o.Logger, now: o.Now,
		mux: http.NewServeMux(), origins: http.NewCrossOriginProtection(), assets: loadAssets(),
	}
	if p.now == nil {
		p.now = time.Now
	}
	p.pages = p.parse()
	p.routes()
	return p
}

// policy is the Content-Security-Policy of every page: nothing inline, nothing from elsewhere.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// ServeHTTP implements http.Handler.
func (p *Panel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer p.recover(w, r)
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
	p.mux.ServeHTTP(w, r)
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
	w       http.ResponseWriter
	r       *http.Request
	session *api.Session
	login   bool   // there is a session to log out of
	token   string // the value of the visitor's cookie
}

// handler answers a visitor. An error becomes a page that says what to do.
type handler func(v *visit) error

// open serves a page that anybody who is logged in may read.
func (p *Panel) open(pattern string, h handler) {
	p.mux.HandleFunc("GET "+Root+pattern, func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, h) })
}

// act serves a form: the visitor must come from a page of ours.
func (p *Panel) act(pattern string, h handler) {
	p.mux.HandleFunc("POST "+Root+pattern, func(w http.ResponseWriter, r *http.Request) {
		p.serve(w, r, func(v *visit) error {
			if err := v.genuine(); err != nil {
				return err
			}
			return h(v)
		})
	})
}

func (p *Panel) serve(w http.ResponseWriter, r *http.Request, h handler) {
	v := &visit{panel: p, w: w, r: r}
	if !v.enter() {
		return
	}
	if err := h(v); err != nil {
		v.fail(err)
	}
}

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
		v.toLogin()
		return
	}
	v.show(p.Status, "problem", http.StatusText(p.Status), "", p)
}

// see leads the visitor to another page of the panel, which says what was done.
func (v *visit) see(path, done string) {
	if done != "" {
		path += "?done=" + done
	}
	http.Redirect(v.w, v.r, Root+path, http.StatusSeeOther)
}
