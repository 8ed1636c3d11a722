package panel_test

import (
	"context"
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// tail reads a stream until it has told of an event, and after that where it is. What happens does
// so once it is followed.
func tail(c *caller, path, event string, happens ...func()) (text, id string) {
	t := c.h.t
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	lines := streamed(ctx, c, path)
	var b strings.Builder
	for lines.Scan() {
		for _, happen := range happens {
			happen()
		}
		happens = nil
		b.WriteString(lines.Text() + "\n")
		if at, is := strings.CutPrefix(lines.Text(), "id: "); is && strings.Contains(b.String(), event) {
			return b.String(), at
		}
	}
	require.Fail(t, "it has not told of "+event, "%s: %s", path, b.String())
	return "", ""
}

var tailOf = regexp.MustCompile(`data-tail="([^"]+)"`)

// TestTheLiveLogGoesOnWhereItsPageEnded, with the filter of the page and in rows like the page's:
// nothing is left out in between or told again, and an endpoint that is new has its name.
func TestTheLiveLogGoesOnWhereItsPageEnded(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	mine := h.endpoint("acme", "mine")
	h.attempt(mine, "e-before", "acme", "mine")
	admin, guest := h.loggedIn("admin", houseKey), h.visitor("acme")
	live := func(c *caller, path string) string {
		found := tailOf.FindStringSubmatch(c.get(path).body)
		require.NotNil(t, found, path)
		return html.UnescapeString(found[1])
	}
	all, one, theirs := live(admin, "/panel/log?type=type.mine&outcome=retry"), live(admin, "/panel/endpoints/"+mine+"/log"), live(guest, "/portal/log")
	require.NotRegexp(t, tailOf, admin.get("/panel/log?until=1h").body, "nothing new belongs to a time that is over")
	h.attempt(mine, "e-between", "acme", "mine")
	h.attempt(mine, "e-other", "acme", "other")
	text, id := tail(admin, all, "e-new", func() { h.attempt(h.endpoint("", "new"), "e-new", "", "mine") })
	require.Regexp(t, `(?m)^event: row\ndata: <tr id="a-\w+" [^\n]*href="/panel/attempt\?[^"]*event=e-between[^\n]*>name mine</a>[^\n]*</tr>$`, text)
	require.Regexp(t, `(?m)^data: <tr [^\n]*event=e-new[^\n]*>name new</a>`, text)
	require.Regexp(t, `(?m)^retry: \d+\n\nevent: row\n`, text, "an event ends with an empty line")
	for _, event := range []string{"e-before", "e-other"} {
		require.NotContains(t, text, event)
	}
	text, _ = tail(admin, one, "e-other")
	require.Contains(t, text, "e-between")
	require.NotContains(t, text, "e-new", "it is the log of one endpoint")
	require.NotContains(t, text, "/panel/endpoints/", "which the page names")
	text, _ = tail(guest, theirs, "e-other")
	require.Contains(t, text, `href="/portal/attempt?`)
	require.NotContains(t, text, "/panel/")

	h.attempt(mine, "e-last", "acme", "mine")
	admin.header.Set("Last-Event-Id", id)
	text, _ = tail(admin, all, "e-last")
	require.NotContains(t, text, "e-between", "a browser that comes back goes on after what it has")
	admin.header.Del("Last-Event-Id")
	for _, query := range []string{"since=soon", "until=soon", "class=9xx", "after=x"} {
		require.Equal(t, http.StatusUnprocessableEntity, admin.get("/panel/log/stream?"+query).status, query)
	}
}

// TestARowOfTheLiveLogIsOneLine, whatever an event's id holds: what followed the end of a line
// would be a field of the stream.
func TestARowOfTheLiveLogIsOneLine(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	mine := h.endpoint("", "mine")
	text, _ := tail(h.loggedIn("admin", houseKey), "/panel/log/stream", "e-odd", func() { h.attempt(mine, "e-odd\rid: 7\nevent: seen", "", "mine") })
	require.NotContains(t, text, "\r")
	require.NotContains(t, text, "\nid: 7")
	require.Regexp(t, `(?m)^data: <tr [^\n]*>e-odd id: 7 event: seen<[^\n]*</tr>$`, text)
}
