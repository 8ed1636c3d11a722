package panel_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// portalHCL is a portal with a look.
const portalHCL = `
panel {
  portal {
    name          = "Meridian Supply"
    logo          = env("LOGO")
    color         = "#0b5d3b"
    frame_origins = [env("FRAMER")]
    refresh_url   = "${env("RECEIVER")}/app"
  }
}
endpoint "stock" {
  url         = "${env("RECEIVER")}/stock"
  description = "Stock levels, set up for you"
  secret      = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
  tenant      = "acme"
  subscription { events = ["inventory.*"] }
}
`

const logoSVG = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 28 28"><circle cx="14" cy="14" r="13" fill="#0b5d3b"/><path d="M7 19 14 7l7 12" fill="none" stroke="#fff" stroke-width="3"/></svg>`

// link makes a link to the portal and returns its path.
func (w *world) link(tenant string, capabilities ...string) string {
	w.t.Helper()
	at, _ := w.call(http.MethodPost, "/v1/portal-links", map[string]any{"tenant": tenant, "capabilities": capabilities})["url"].(string)
	u, err := url.Parse(at)
	require.NoError(w.t, err)
	return u.Path
}

// mall is a world with a portal, and a customer who has something of everything.
type mall struct {
	*world

	orders, billing string // endpoints of acme
	event, failed   string
}

func newMall(t *testing.T) *mall {
	t.Helper()
	m := &mall{world: newWorld(t, keyedHCL+portalHCL)}
	m.receiver.On("/billing", kit.Respond(http.StatusInternalServerError, markup))
	acme := func(name, path string, events ...string) string {
		return m.endpoint(name, path, map[string]any{"tenant": "acme", "events": events, "description": "For the shop in Graz"})
	}
	m.orders, m.billing = acme("Orders", "/orders", "order.*"), acme("Billing", "/billing", "order.paid")
	m.endpoint("Somebody else's", "/other", map[string]any{"tenant": "globex"})
	for name, description := range map[string]string{"order.created": "A customer placed an order.", "order.paid": "The money for an order arrived.", "inventory.low_stock": "Fewer than ten are left."} {
		m.call(http.MethodPut, "/v1/event-types/"+name, map[string]any{
			"description": description, "example": map[string]any{"id": 42, "total": 99.5}, "schema": map[string]any{"type": "object", "required": []string{"id"}},
		})
	}
	for range 4 {
		m.event = m.insert("order.created", "acme", orderPayload)
		m.failed = m.insert("order.paid", "acme", orderPayload)
		m.insert("inventory.low_stock", "acme", `{"sku": "TP-1", "left": 4}`)
		m.insert("order.created", "globex", `{"secret": "of globex"}`)
	}
	m.attempts(m.orders, 8)
	m.attempts(m.billing, 4)
	m.attempts("stock", 4)
	return m
}

// dressed is a mall that looks as if it had been open for days. Nothing more reaches its receivers.
func dressed(t *testing.T) *mall {
	t.Helper()
	m := newMall(t)
	s := &shop{world: m.world, erp: m.orders, crm: "stock", dead: m.billing}
	s.history()
	return m
}

// pages are all pages of the portal by name.
func (m *mall) pages() map[string]string {
	m.t.Helper()
	s := &shop{world: m.world}
	portal := func(path string) string { return strings.Replace(path, "/panel/", "/portal/", 1) }
	return map[string]string{
		"portal-endpoints": "/portal/endpoints", "portal-endpoint": "/portal/endpoints/" + m.orders, "portal-endpoint-failing": "/portal/endpoints/" + m.billing,
		"portal-endpoint-config": "/portal/endpoints/stock", "portal-endpoint-log": "/portal/endpoints/" + m.orders + "/log", "portal-endpoint-new": "/portal/endpoints/new",
		"portal-endpoint-edit": "/portal/endpoints/" + m.orders + "/edit", "portal-endpoint-test": "/portal/endpoints/" + m.orders + "/test",
		"portal-endpoint-delete": "/portal/endpoints/" + m.billing + "/confirm/delete", "portal-endpoint-rotate": "/portal/endpoints/" + m.orders + "/confirm/rotate-secret",
		"portal-log": "/portal/log", "portal-attempt": portal(s.attempt(m.event, m.orders)), "portal-attempt-dead": portal(s.attempt(m.failed, m.billing)),
		"portal-catalogue": "/portal/catalogue", "portal-type": "/portal/catalogue/types/order.created", "portal-help": "/portal/help", "portal-not-found": "/portal/events",
		"portal-over": "/portal/over",
	}
}

// everything is what a link may allow.
func everything() []string { return []string{"view", "resend", "manage_endpoints", "manage_secrets"} }

// TestACustomerManagesAnEndpoint goes through the portal with clicks alone.
func TestACustomerManagesAnEndpoint(t *testing.T) {
	t.Parallel()
	m := newMall(t)
	b := newTab(t, m.url, tabOptions{})
	b.open(m.link("acme", everything()...))
	b.at("/portal/endpoints")
	b.sees("Meridian Supply")
	require.Empty(t, eval[string](b, "location.search"), "the address can be shared with a colleague who is in")
	require.NotContains(t, b.text(), "Somebody else's")
	require.Equal(t, "rgb(11, 93, 59)", eval[string](b, "getComputedStyle(document.querySelector('main a.primary')).backgroundColor"), "in the owner's colour")
	require.True(t, eval[bool](b, "document.querySelector('.brand img').naturalWidth > 0"), "with the owner's logo")

	// The portal asks receivers to show that they want events.
	m.receiver.On("/new", func(ctx context.Context, w http.ResponseWriter, r kit.Request) int {
		var e struct {
			Data struct {
				Challenge string `json:"challenge"`
			} `json:"data"`
		}
		_ = json.Unmarshal(r.Body, &e) // an event has none
		return kit.Respond(http.StatusOK, e.Data.Challenge)(ctx, w, r)
	})
	b.click("main a.primary")
	b.at("/portal/endpoints/new")
	b.fill("#url", m.receiver.URL("/new"))
	b.fill("#name", "New one")
	b.fill("#events", "order.*")
	b.fill("#where", "event.data.total > 100")
	b.sees("It compiles.")
	b.click("main form button.primary")
	b.sees("This secret is shown once")
	secret := eval[string](b, "document.querySelector('#secret-text').textContent")
	require.True(t, strings.HasPrefix(secret, "whsec_"), secret)
	b.until("location.pathname.includes('/endpoints/ep_')") // the page has left the form behind it
	b.run(chromedp.Reload())
	b.sees("Settings")
	require.NotContains(t, b.html(), secret, "and never again")
	at := eval[string](b, "location.pathname")
	require.Equal(t, "acme", m.call(http.MethodGet, strings.Replace(at, "/portal/", "/v1/", 1), nil)["tenant"])

	// The log is live, and tells of nobody else.
	b.keys("gl")
	b.at("/portal/log")
	b.until("document.querySelector('[data-tail-state]').textContent === 'Live'")
	m.insert("order.created", "globex", `{}`)
	id := m.insert("order.created", "acme", orderPayload)
	b.sees(id)
	require.NotContains(t, b.text(), "globex")

	// What failed is attempted once more, and HTML stays text.
	b.open("/portal/log?outcome=dead")
	b.click("[data-rows] a.main-link")
	b.at("/portal/attempt")
	require.True(t, eval[bool](b, "window.pwned === undefined && !document.querySelector('main img')"))
	require.Contains(t, b.text(), "12345678901234567890.10", "numbers have all their digits")
	before := len(m.receiver.Requests("/billing"))
	b.click("main form button.primary")
	b.sees("The delivery is queued.")
	m.receiver.Await(t, "/billing", before+1)
	b.back()
	b.at("/portal/attempt")

	b.keys("ge")
	b.at("/portal/endpoints")
	b.open(at + "/confirm/rotate-secret")
	b.click("main form button")
	b.sees("This secret is shown once")
	b.open(at + "/confirm/delete")
	b.fill("#name", "New one")
	b.click("main form button")
	b.sees("The endpoint is deleted.")

	b.click(".side > .who form[action$='/logout'] button")
	b.at("/portal/over")
	b.sees("Your session has ended")
	b.open("/portal/log")
	b.until("location.pathname === '/app'")
}

// The application's page makes another link, on another site: the visitor is where they were, with
// no more than a moment in between.
func TestARenewedLinkLeadsBackThroughAnotherSite(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL+portalHCL)
	b := newTab(t, w.url, tabOptions{})
	b.open(w.link("acme"))
	b.at("/portal/endpoints")
	w.receiver.On("/app", kit.Respond(http.StatusSeeOther, "", "Location", w.url+w.link("acme")))
	b.open("/portal/log?outcome=dead")
	b.sees("Live")
	w.exec("DELETE FROM tailpost.session")
	b.run(chromedp.Reload())
	w.receiver.Await(t, "/app", 1)
	b.until("location.pathname === '/portal/log' && location.search === '?outcome=dead'")
	b.sees("Live")
	require.Equal(t, 1, w.count("SELECT count(*) FROM tailpost.session"))

	// So it is for whoever sends a form, though none of the portal's may lead to another site.
	w.exec("DELETE FROM tailpost.session")
	b.run(chromedp.SetValue("form.filters [name=outcome]", "retry"))
	b.click("form.filters button")
	w.receiver.Await(t, "/app", 2)
	b.until("location.pathname === '/portal/log' && location.search === '?outcome=retry'")
	b.sees("Live")

	// And for whoever only looks.
	w.exec("DELETE FROM tailpost.session")
	w.receiver.Await(t, "/app", 3)
	b.until("location.pathname === '/portal/log' && location.search === '?outcome=retry'")
	b.sees("Live")
}

// TestThePortalNeedsNoScript reads and acts without one.
func TestThePortalNeedsNoScript(t *testing.T) {
	t.Parallel()
	m := newMall(t)
	b := newTab(t, m.url, tabOptions{noScript: true, width: 360, height: 740})
	b.open(m.link("acme", everything()...))
	b.at("/portal/endpoints")
	b.click("[data-rows] a.main-link")
	b.sees("Settings")
	for name, path := range m.pages() {
		b.open(path)
		require.LessOrEqual(t, eval[float64](b, "document.documentElement.scrollWidth - innerWidth"), 0.0, name)
	}
	b.open("/portal/endpoints/" + m.orders + "/confirm/pause")
	b.click("main form button")
	b.sees("The endpoint is paused.")
}

// passage hands requests on, and keeps what was asked for.
type passage struct {
	*httptest.Server

	mu    sync.Mutex
	asked []string
}

func newPassage(t *testing.T, to string) *passage {
	t.Helper()
	target, err := url.Parse(to)
	require.NoError(t, err)
	p := &passage{}
	through := httputil.NewSingleHostReverseProxy(target)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked = append(p.asked, r.URL.Path)
		p.mu.Unlock()
		through.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

// shown counts the pages of which the browser went on to load the style.
func (p *passage) shown() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, path := range p.asked {
		if strings.HasSuffix(path, ".css") && strings.Contains(path, "/assets/") {
			n++
		}
	}
	return n
}

// TestThePortalWithinAPage has a page that the configuration names show the portal, and one that it
// does not.
func TestThePortalWithinAPage(t *testing.T) {
	t.Parallel()
	frames := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, `<!doctype html><title>App</title><iframe src=%q width="900" height="600" onload="window.loaded = true"></iframe>`, r.URL.Query().Get("at"))
	}
	named, unnamed := httptest.NewServer(http.HandlerFunc(frames)), httptest.NewServer(http.HandlerFunc(frames))
	t.Cleanup(named.Close)
	t.Cleanup(unnamed.Close)
	onLocalhost := func(at string) string { return strings.Replace(at, "127.0.0.1", "localhost", 1) }
	w := newWorld(t, keyedHCL+portalHCL, map[string]string{"FRAMER": onLocalhost(named.URL)})
	p := newPassage(t, w.url)
	for _, c := range []struct {
		page  *httptest.Server
		shown bool
	}{{named, true}, {unnamed, false}} {
		b := newTab(t, onLocalhost(c.page.URL), tabOptions{mayFail: true})
		before := p.shown()
		b.open("/?at=" + url.QueryEscape(onLocalhost(p.URL)+w.link("acme")))
		b.until("window.loaded")
		if c.shown {
			kit.Eventually(t, kit.Patience, func() error {
				if p.shown() == before {
					return fmt.Errorf("asked for %v", p.asked)
				}
				return nil
			})
			require.Empty(t, b.complaints())
			continue
		}
		require.Equal(t, before, p.shown())
		require.Contains(t, strings.Join(b.complaints(), "\n"), "frame-ancestors")
	}
	res, err := http.Get(w.url + "/portal/over") //nolint:noctx // of this machine
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Contains(t, string(text), "/app", "where it goes on is the configuration's")
}
