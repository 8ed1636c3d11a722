package panel_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFormsSpeakToPeople: no JSON pointers, no terms of a schema, no language of the configuration
// to a customer, and durations as people write them.
func TestFormsSpeakToPeople(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	mine := h.endpoint("acme", "mine")
	admin := h.loggedIn("admin", houseKey)
	got := admin.send(http.MethodPost, "/panel/endpoints/new", admin.form("/panel/", "url", "https://example.com", "retry", "1x"))
	require.Equal(t, http.StatusUnprocessableEntity, got.status)
	require.Contains(t, got.body, "<strong>Retry schedule 1:</strong>")
	require.NotContains(t, got.body, "#/")
	got = admin.send(http.MethodPost, "/panel/endpoints/new", admin.form("/panel/"))
	require.Contains(t, got.body, "<strong>Url:</strong> Write something.")
	require.NotContains(t, got.body, "Expected length")

	guest := h.visitor("acme", "view", "manage_endpoints")
	got = guest.send(http.MethodPost, "/portal/endpoints/new", guest.form("/portal/", "url", "https://me:pw@example.com"))
	require.Contains(t, got.body, "Remove user and password from the URL; send them as an Authorization header.")
	require.NotContains(t, got.body, "env(")
	looker := h.visitor("acme", "view")
	for _, page := range []string{"new", mine + "/edit", mine + "/confirm/delete", mine + "/confirm/pause", mine + "/confirm/rotate-secret", mine + "/test"} {
		require.Equal(t, http.StatusForbidden, looker.get("/portal/endpoints/"+page).status, page)
	}

	h.admin().made(http.MethodPatch, "/v1/endpoints/"+mine, map[string]any{"retry": map[string]any{"schedule": []string{"5s", "5m", "30m", "2h", "1m30s"}}})
	require.Contains(t, admin.get("/panel/endpoints/"+mine+"/edit").body, `name="retry" value="5s 5m 30m 2h 1m30s"`)
	require.Equal(t, http.StatusOK, admin.get("/panel/log?since=24h+&until=+1h").status, "a blank at the end is nothing")
	for since, want := range map[string]int{"1d": http.StatusOK, "9999d": http.StatusOK, "10000d": http.StatusUnprocessableEntity, "0d": http.StatusUnprocessableEntity} {
		require.Equal(t, want, admin.get("/panel/log?since="+since).status, since)
	}
}

// TestAFormLeadsBackWithinTheSite, wherever its field says.
func TestAFormLeadsBackWithinTheSite(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	admin := h.loggedIn("admin", houseKey)
	for to, want := range map[string]string{
		"log?since=1h": "/panel/log?since=1h", "../v1/keys": "/panel/", "a/../../v1": "/panel/", "%2e%2e/v1": "/panel/", "a/..%2f..": "/panel/", "//evil.example": "/panel/",
		"https://evil.example": "/panel/", "javascript:alert(1)": "/panel/", `\\evil`: "/panel/", "events/a..b": "/panel/events/a..b",
	} {
		got := admin.send(http.MethodPost, "/panel/theme", admin.form("/panel/", "theme", "dark", "next", to))
		require.Equal(t, want, got.header.Get("Location"), to)
	}
}

// TestWhatIsOverHasNoCancel: the button is in the part that brings itself up to date.
func TestWhatIsOverHasNoCancel(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.queue(h.endpoint("", "mine"), "pending", 1, 2)
	admin := h.loggedIn("admin", houseKey)
	_, at := admin.done("/panel/undelivered/act", formOf(admin.asked(admin.form("/panel/", "which", "all", "act", "resend", "state", "pending")).body))
	page := admin.get(at).body
	require.Regexp(t, `(?s)id="progress" data-refresh="1000".*/cancel".*Cancel</button>`, page)
	require.NotRegexp(t, `(?s)Cancel</button>.*id="progress"`, page)
	require.Contains(t, page, `<span class="st warn">waiting</span>`)
	require.NotContains(t, page, ">pending")
	h.exec("UPDATE tailpost.resend SET state = 'done'")
	require.NotContains(t, admin.get(at).body, "Cancel</button>")
}
