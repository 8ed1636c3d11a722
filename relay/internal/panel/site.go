package panel

import (
	"html/template"
	"net/http"
	"slices"
	"strings"
)

// site is one of two faces of the same handlers: the panel of those who run the relay, and the
// portal of their customers. They have roots, cookies and sessions of their own.
type site struct {
	panel    *Panel
	root     string // path, with a slash at its end
	mux      *http.ServeMux
	patterns []string // of mux, as they were registered
	pages    map[string]*template.Template
	assets   *assets
}

func newSite(p *Panel, root string) *site {
	s := &site{panel: p, root: root, mux: http.NewServeMux(), assets: loadAssets(root)}
	s.pages = parsePages(s)
	return s
}

// isPortal reports whether it is the customers' one.
func (s *site) isPortal() bool { return s.root == PortalRoot }

// Routes returns the patterns of both sites, as http.ServeMux has them.
func (p *Panel) Routes() []string { return slices.Concat(p.panel.patterns, p.portal.patterns) }

func (s *site) handle(method, pattern string, h http.HandlerFunc) {
	at := method + " " + s.root + pattern
	s.patterns = append(s.patterns, at)
	s.mux.HandleFunc(at, h)
}

// open serves a page that anybody who is logged in may read.
func (s *site) open(pattern string, h handler) {
	s.handle(http.MethodGet, pattern, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, h) })
}

// needing refuses the page of a form to those whose form would be refused.
func needing(scope string, h handler) handler {
	return func(v *visit) error {
		if !v.session.May(scope) {
			return lacking(v, scope)
		}
		return h(v)
	}
}

// lacking refuses what needs a scope.
func lacking(v *visit, scope string) error {
	if v.site.isPortal() {
		return refuse(http.StatusForbidden, "This link is for looking only: ask whoever sent it for one that may do this.")
	}
	return refuse(http.StatusForbidden, "This key lacks the scope "+scope+".")
}

// act serves a form: the visitor must come from a page of ours.
func (s *site) act(pattern string, h handler) {
	s.handle(http.MethodPost, pattern, func(w http.ResponseWriter, r *http.Request) {
		s.serve(w, r, func(v *visit) error {
			if err := v.genuine(); err != nil {
				return err
			}
			return h(v)
		})
	})
}

func (s *site) serve(w http.ResponseWriter, r *http.Request, h handler) {
	v := s.visit(w, r)
	if !v.enter() {
		return
	}
	if err := h(v); err != nil {
		v.fail(err)
	}
}

func (s *site) visit(w http.ResponseWriter, r *http.Request) *visit {
	return &visit{panel: s.panel, site: s, w: w, r: r}
}

// policy is the Content-Security-Policy of every page but for who may frame it: nothing inline,
// nothing from elsewhere.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors "

// framers are the origins whose pages may show the site within themselves.
func (s *site) framers() []string {
	if !s.isPortal() {
		return nil
	}
	return s.panel.config().Panel.Portal.FrameOrigins
}

// protect sets who may show the site within a page of theirs.
func (s *site) protect(h http.Header) {
	if by := s.framers(); len(by) > 0 {
		h.Set("Content-Security-Policy", policy+strings.Join(by, " "))
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		return
	}
	h.Set("Content-Security-Policy", policy+"'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}
