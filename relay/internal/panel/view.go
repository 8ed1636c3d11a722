package panel

import (
	"bytes"
	"encoding/json"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/api"
)

// frame is the data of every page.
type frame struct {
	Title   string
	Section string // of the navigation
	Theme   string // light, dark, or empty: the browser's
	CSRF    string
	Key     who
	Login   bool // there is a session to log out of
	May     may
	Done    string // what was just done, in words
	Here    string // this page under the root, for forms that lead back
	Version string
	Now     time.Time
	Portal  *brand // nil: this is the panel
	Body    any
}

// may says what the visitor's key allows, so that no page offers what would be refused.
type may struct {
	ReadEndpoints, WriteEndpoints   bool
	ReadDeliveries, WriteDeliveries bool
	ReadPayloads                    bool
	RotateSecrets                   bool
	Keys, Links                     bool
	Operate                         bool // there are pages for more than endpoints, log and catalogue
	All                             bool // the key is bound to no tenant
}

func (v *visit) may() may {
	s := v.session
	return may{
		ReadEndpoints: s.May(config.ScopeEndpointsRead), WriteEndpoints: s.May(config.ScopeEndpointsWrite),
		ReadDeliveries: s.May(config.ScopeDeliveriesRead), WriteDeliveries: s.May(config.ScopeDeliveriesWrite),
		ReadPayloads: s.May(config.ScopePayloadsRead), Keys: s.May(config.ScopeKeysWrite),
		RotateSecrets: s.May(config.ScopeSecretsWrite), Links: s.May(config.ScopePortalWrite), Operate: !v.site.isPortal(), All: s.Tenant() == "",
	}
}

// who is the key of the visitor.
type who struct{ ID, Name, Tenant string }

// parsePages reads all templates. Each page is the frame with what its file defines.
func parsePages(s *site) map[string]*template.Template {
	base := template.Must(template.New("").Funcs(templateFuncs(s)).ParseFS(files, "templates/parts/*.html"))
	pages := make(map[string]*template.Template)
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		panic(err) // broken code: the pattern is a constant
	}
	for _, name := range names {
		page := template.Must(template.Must(base.Clone()).ParseFS(files, name))
		pages[strings.TrimSuffix(path.Base(name), ".html")] = page
	}
	return pages
}

func templateFuncs(s *site) template.FuncMap {
	return template.FuncMap{
		"asset": s.assets.path, "root": func() string { return s.root },
		"count": count, "bytes": byteSize, "ms": milliseconds, "percent": percent, "ago": func(t any) string { return ago(s.panel.now(), t) },
		"since": func(t any) string { return shortDuration(s.panel.now().Sub(timeOf(t))) }, "place": place,
		"time": clock, "answered": answered, "sentence": sentence, "held": held, "breakable": breakable, "cut": cut, "field": fieldInWords, "plainly": plainly, "iso": iso, "micros": micros, "short": short, "seconds": shortDuration,
		"json": prettyJSON, "dict": dict, "join": strings.Join, "lower": strings.ToLower, "host": hostOf,
		"delivery": deliveryName,
		"path": func(segments ...string) string {
			return s.root + under(segments...)
		},
		"under": under, "mostBytes": func() int { return api.MaxBody },
		"href": func(page string, pairs ...any) string { return href(s.root, page, pairs...) }, "reason": reasonInWords, "bars": bars, "spark": sparkline, "meter": meter,
		"list": func(values ...any) []any { return values }, "add": func(a, b int64) int64 { return a + b }, "inc": func(n int) int { return n + 1 },
		"rest": func(list []string, shown int) int { return len(list) - shown }, "deref": func(n *int64) int64 { return *n },
		"sum": func(points []point) (n int64) {
			for i := range points {
				n += points[i].Delivered + points[i].Failed
			}
			return n
		},
		"text":      func(raw json.RawMessage) string { return string(raw) },
		"spans":     spans,
		"perSecond": func(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) },
		"stacked":   stacked, "rate": func(f float64) string { return byteSize(int64(f)) + "/s" },
		"minutes":    func(m *float64) string { return shortDuration(time.Duration(*m * float64(time.Minute))) },
		"statusText": http.StatusText,
		"icon":       icon, "words": func(s string) string { return strings.ReplaceAll(s, "_", " ") },
	}
}

// show answers with a page.
func (v *visit) show(status int, page, title, section string, body any) {
	f := &frame{
		Title: title, Section: section, Theme: v.theme(), CSRF: v.csrf(), Login: v.login, May: v.may(),
		Key:  who{v.session.KeyID(), v.session.Name(), v.session.Tenant()},
		Done: doneOf(v), Here: strings.TrimPrefix(v.r.URL.RequestURI(), v.site.root),
		Version: v.panel.version, Now: v.panel.now(), Portal: brandOf(v), Body: body,
	}
	if v.r.Method != http.MethodGet {
		f.Here = ""
	}
	v.render(status, page, "page", f)
}

// showBare answers with a page for somebody who is not logged in. Its status is written already, or
// 200.
func (v *visit) showBare(page, title string, body any) {
	v.render(0, page, "bare", &frame{Title: title, Theme: v.theme(), CSRF: v.csrf(), Version: v.panel.version, Portal: brandOf(v), Body: body})
}

func (v *visit) render(status int, page, layout string, f *frame) {
	var text bytes.Buffer
	if err := v.site.pages[page].ExecuteTemplate(&text, layout, f); err != nil {
		v.panel.log.Error().Err(err).Str("page", page).Msg("a page of the panel could not be rendered")
		http.Error(v.w, "Something went wrong; the relay's log says what.", http.StatusInternalServerError)
		return
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if status != 0 {
		v.w.WriteHeader(status)
	}
	// A caller that left before the answer gets none.
	_, _ = v.w.Write(visible(text.Bytes()))
}

func (v *visit) theme() string {
	if c, err := v.r.Cookie(themeCookie); err == nil && (c.Value == "light" || c.Value == "dark") {
		return c.Value
	}
	return ""
}

// place is the file and line of a declaration without its directory.
func place(origin string) string {
	if origin == "" {
		return ""
	}
	return path.Base(origin)
}

// under is a page under a root; its segments are escaped.
func under(segments ...string) string {
	escaped := make([]string, len(segments))
	for i, text := range segments {
		escaped[i] = url.PathEscape(text)
	}
	return strings.Join(escaped, "/")
}

// dict makes the data of a part from names and values in turn.
func dict(pairs ...any) map[string]any {
	d := make(map[string]any)
	for i := 0; i+1 < len(pairs); i += 2 {
		if name, ok := pairs[i].(string); ok {
			d[name] = pairs[i+1]
		}
	}
	return d
}

// href is a page under a root with a query; empty values are left out.
func href(root, page string, pairs ...any) string {
	q := make(url.Values)
	for i := 0; i+1 < len(pairs); i += 2 {
		if text := textOf(pairs[i+1]); text != "" {
			q.Set(textOf(pairs[i]), text)
		}
	}
	if len(q) == 0 {
		return root + page
	}
	return root + page + "?" + q.Encode()
}

func escapeQuery(text string) string { return url.QueryEscape(text) }
