package panel

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/api"
)

// brand is how the portal looks: like the one who runs the relay.
type brand struct {
	Name    string
	Logo    string // path; empty: there is none
	Theme   string // path of a style; empty: the panel's colours
	Refresh string // where a visitor gets another link; empty: nowhere
}

// brandOf returns how the visitor's site looks, nil for the panel.
func brandOf(v *visit) *brand {
	if !v.site.isPortal() {
		return nil
	}
	p := v.panel.config().Panel.Portal
	b := &brand{Name: p.Name, Refresh: p.RefreshURL}
	if b.Name == "" {
		b.Name = "Webhooks"
	}
	if p.Logo.Data != nil {
		b.Logo = v.site.root + "logo?" + shortHash(p.Logo.Data)
	}
	if p.Color != "" || p.ColorDark != "" {
		b.Theme = v.site.root + "theme.css?" + shortHash([]byte(p.Color+" "+p.ColorDark))
	}
	return b
}

func shortHash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:hashLength/2])
}

// serveTheme serves the colours of the configuration, which the style of every page takes.
func (s *site) serveTheme(w http.ResponseWriter, _ *http.Request) {
	p := s.panel.config().Panel.Portal
	dark := p.ColorDark
	if dark == "" {
		dark = p.Color
		if dark != "" {
			dark = config.Lighter(dark)
		}
	}
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	if p.Color != "" {
		_, _ = fmt.Fprintf(w, ":root { %s }\n", variables(p.Color, false)) // who left before the answer gets none
	}
	if dark != "" {
		_, _ = fmt.Fprintf(w, "@media (prefers-color-scheme: dark) { :root:not([data-theme=\"light\"]) { %s } }\n:root[data-theme=\"dark\"] { %s }\n",
			variables(dark, true), variables(dark, true))
	}
}

// variables are those of the style that a colour stands for.
func variables(color string, dark bool) string {
	return "--accent: " + color + "; --accent-soft: " + config.Tint(color, dark) + "; --on-accent: " + config.Ink(color) + ";"
}

// serveLogo serves the picture of the configuration. A drawing that somebody opens by itself runs
// nothing.
func (s *site) serveLogo(w http.ResponseWriter, r *http.Request) {
	logo := s.panel.config().Panel.Portal.Logo
	if logo.Data == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
	w.Header().Set("Content-Type", logo.Type)
	w.Header().Set("Content-Length", strconv.Itoa(len(logo.Data)))
	_, _ = w.Write(logo.Data) // the same
}

// openLink lets a visitor in by a link. The page that follows says if cookies are off.
func (s *site) openLink(w http.ResponseWriter, r *http.Request) {
	v := s.visit(w, r)
	w.Header().Set("Referrer-Policy", "no-referrer") // the address is the link
	session, err := s.panel.api.OpenLink(r.Context(), v.from(), r.PathValue("token"))
	if p := problemOf(err); p != nil && p.Status == http.StatusUnauthorized {
		v.keyID = s.panel.api.LinkOf(r.PathValue("token"))
		leave(v)
		return
	}
	if err == nil {
		var token string
		if token, err = v.begin(session); err == nil {
			v.setCookie(v.cookieName(), token, 0)
			http.Redirect(w, r, s.root+"?opened=1", http.StatusSeeOther)
			return
		}
	}
	v.outage(err)
}

// overPage says that a visit is over.
type overPage struct {
	Refresh string // where it goes on; empty: nowhere
	Cookies bool   // it never began: the browser kept no cookie
}

// leave sends a visitor away whose link is over: to where there is another one. A form is answered
// with a page, so that its sender knows that nothing happened.
func leave(v *visit) {
	if v.r.Header.Get("X-Refresh") != "" {
		http.Error(v.w, "The session is over.", http.StatusUnauthorized) // a script asked
		return
	}
	notePlace(v)
	page := overPage{Refresh: v.panel.api.RefreshURL(v.r.Context(), v.keyID), Cookies: v.token == "" && v.r.URL.Query().Get("opened") != ""}
	if v.r.Method == http.MethodGet && page.Refresh != "" && !page.Cookies {
		if v.r.Header.Get("Sec-Fetch-Site") == "same-origin" {
			// This may answer a form of ours, and browsers do not follow a form's redirect to an
			// origin that the page's form-action leaves out.
			v.showBare("continue", "One moment", page.Refresh)
			return
		}
		http.Redirect(v.w, v.r, page.Refresh, http.StatusSeeOther)
		return
	}
	v.w.WriteHeader(http.StatusUnauthorized)
	v.showBare("over", "The end", page)
}

// showOver is where a visitor is who left.
func (s *site) showOver(w http.ResponseWriter, r *http.Request) {
	v := s.visit(w, r)
	v.showBare("over", "The end", overPage{Refresh: s.panel.config().Panel.Portal.RefreshURL})
}

// resendOne attempts one delivery once more.
func resendOne(v *visit) error {
	of := v.r.PostFormValue
	asked := map[string]any{"event_id": of("event"), "endpoint_id": of("endpoint")}
	if state := of("state"); state != "" {
		asked["state"] = state
	}
	if err := v.post("/v1/deliveries/resend", asked, nil); err != nil {
		return err
	}
	v.see(next(of("back")), "resent")
	return nil
}

// linksPage lists the links to the customer portal and makes new ones.
type linksPage struct {
	Rows         []api.PortalLink
	Capabilities []choice
	Tenant       string // the form's
	AskTenant    bool
	Life         string
	Made         *api.PortalLink
	Problem      *api.Problem
	Nonce        string
	Copies       []copied
	Pager        pager
}

// choice is a capability that a link may have.
type choice struct {
	Name, What string
	Checked    bool
}

func listPortalLinks(v *visit) error {
	return showLinks(v, http.StatusOK, &linksPage{Tenant: v.r.URL.Query().Get("tenant"), Life: "24h"}, []string{api.CapabilityView})
}

func showLinks(v *visit, status int, body *linksPage, chosen []string) error {
	call := filtersOf(v, "cursor")
	var list api.Page[api.PortalLink]
	if err := v.get("/v1/portal-links", call, &list); err != nil {
		return err
	}
	body.Rows, body.Pager, body.Nonce = list.Data, pagerOf(v, "portal-links", nil, list.NextCursor), newToken()
	body.AskTenant = v.session.Tenant() == ""
	for _, c := range []choice{
		{Name: api.CapabilityResend, What: "resend what failed"},
		{Name: api.CapabilityManageEndpoints, What: "make, change, test and delete endpoints"},
		{Name: api.CapabilityManageSecrets, What: "rotate secrets"},
	} {
		for _, name := range chosen {
			c.Checked = c.Checked || name == c.Name
		}
		body.Capabilities = append(body.Capabilities, c)
	}
	s := statement{
		columns: "id, tenant, capabilities, refresh_url, created_by, created_at, expires_at, last_used_at", from: "tailpost.portal_link",
		where: []string{"expires_at > now()"}, order: "created_at DESC, id DESC", limit: pageSize,
	}
	s.equal("tenant", v.session.Tenant())
	body.Copies = copiesOf(v, s.String(), "/v1/portal-links", call)
	v.show(status, "portal-links", "Portal links", "portal-links", body)
	return nil
}

func createPortalLink(v *visit) error {
	form := v.r.Form
	body := &linksPage{Tenant: form.Get("tenant"), Life: form.Get("life")}
	asked := map[string]any{"capabilities": append([]string{api.CapabilityView}, form["capability"]...), "expires_in": body.Life}
	if body.Tenant != "" {
		asked["tenant"] = body.Tenant
	}
	made := new(api.PortalLink)
	header := onceHeader(v)
	if header == nil {
		header = make(http.Header)
	}
	header.Set("X-Forwarded-Proto", schemeOf(v.r))
	err := v.do(api.Request{Method: http.MethodPost, Path: "/v1/portal-links", Header: header, Body: asked, Host: v.r.Host}, made)
	p := problemOf(err)
	switch {
	case p != nil && p.Status < http.StatusInternalServerError && p.Status != http.StatusUnauthorized:
		body.Problem = p
		return showLinks(v, p.Status, body, form["capability"])
	case err != nil:
		return err
	case !isFresh(v, made.CreatedAt):
		v.see("portal-links", "nothing-changed")
		return nil
	}
	body.Made = made
	return showLinks(v, http.StatusOK, body, form["capability"])
}

func schemeOf(r *http.Request) string {
	if secure(r) {
		return "https"
	}
	return "http"
}

func deletePortalLink(v *visit) error {
	err := v.do(api.Request{Method: http.MethodDelete, Path: pathOf("portal-links", v.r.PathValue("id"))}, nil)
	if err != nil && !notFound(err) {
		return err
	}
	v.see("portal-links", "link-revoked")
	return nil
}
