package panel

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// placeCookie has where a visitor of the portal was when the link ended, and whose portal that was:
// another link leads back there. It has no rights.
const placeCookie = "tailpost_portal_place"

const (
	placeLasts = time.Hour // from the end of a link to the opening of another one
	placeBytes = 1000      // of a path; a longer one is not kept
)

// keepPlace keeps where the visitor of a portal is; path is under the site's root.
func keepPlace(v *visit, owner, path string) {
	if len(path) > placeBytes {
		path = ""
	}
	maxAge := 0 // as long as the browser runs
	if path != "" {
		maxAge = int(placeLasts.Seconds())
	}
	writeCookie(v, v.hostName(placeCookie), owner+"."+base64.RawURLEncoding.EncodeToString([]byte(path)), maxAge)
}

// placeOf returns whose portal the visitor was in last, and where the link ended; empty: it did
// not, or nobody knows.
func placeOf(v *visit) (owner, path string) {
	c, err := v.r.Cookie(v.hostName(placeCookie))
	if err != nil {
		return "", ""
	}
	owner, text, _ := strings.Cut(c.Value, ".")
	decoded, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return owner, ""
	}
	return owner, next(string(decoded))
}

// notePlace keeps the page that a visitor cannot go on with. A form has none of its own: the page
// that it is on does.
func notePlace(v *visit) {
	owner, _ := placeOf(v)
	at := v.r.URL
	if v.r.Method != http.MethodGet {
		from, err := url.Parse(v.r.Referer())
		if err != nil || from.Host != v.r.Host {
			return
		}
		at = from
	}
	path, within := strings.CutPrefix(at.EscapedPath(), v.site.root)
	if owner == "" || !within || path == "" || path == "over" || strings.HasPrefix(path, "open/") {
		return
	}
	q := at.Query()
	q.Del("done")
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	keepPlace(v, owner, path)
}

// toPlace leads whoever opened a link to where an earlier link of the same portal ended, or to the
// endpoints.
func toPlace(v *visit) error {
	mine := shortHash([]byte(v.session.Tenant()))
	owner, path := placeOf(v)
	if owner != mine { // a browser that two of them share
		path = ""
	}
	keepPlace(v, mine, "")
	if path == "" {
		path = "endpoints"
	}
	v.see(path, "")
	return nil
}
