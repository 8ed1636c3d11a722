package panel_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/api"
)

// TestAnEndpointThatIsAdmittedLessSaysSo: of the relay that delivers, by what it admits now.
func TestAnEndpointThatIsAdmittedLessSaysSo(t *testing.T) {
	t.Parallel()
	admitted := api.Admission{Admitting: 12, Concurrency: 32, InFlight: 7}
	h := newHouse(t, nil, func(o *api.Options) { o.Admission = func(string) (api.Admission, bool) { return admitted, true } })
	page := "/panel/endpoints/" + h.endpoint("", "mine")
	admin := h.loggedIn("admin", houseKey)
	require.Contains(t, admin.get(page).body, "Admitting 12 of 32.")
	admitted.Admitting = 32
	got := admin.get(page)
	require.Equal(t, http.StatusOK, got.status)
	require.NotContains(t, got.body, "Admitting")
	require.Contains(t, got.body, "7 wait for an answer now")
}

// TestTheRelaySaysWhereItsConfigurationIs: file, line, and since when.
func TestTheRelaySaysWhereItsConfigurationIs(t *testing.T) {
	t.Parallel()
	cfg, diags := config.Parse(map[string][]byte{"etc/tailpost.hcl": []byte("database { url = \"postgres://localhost/a\" }\n\napi { listen = \"127.0.0.1:0\" }\n")}, config.Options{})
	require.False(t, diags.HasErrors(), "%v", diags)
	loaded := time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)
	h := newHouse(t, func(c *config.Config) { c.Blocks = cfg.Blocks }, func(o *api.Options) {
		o.Status = func() api.Status { return api.Status{State: "delivering", Slot: "tailpost", LoadedAt: loaded} }
	})
	got := h.loggedIn("admin", houseKey).get("/panel/relay").body
	require.Contains(t, got, "etc/tailpost.hcl:1")
	require.Contains(t, got, "etc/tailpost.hcl:3")
	require.Contains(t, got, `datetime="2026-03-14T09:26:53Z"`)
	require.Contains(t, got, "0 endpoints and 1 key are declared in files")
}

// TestAnEventThatNobodyCouldGetLeadsToNoEndpoint: one that cannot be read is dead once, for every
// endpoint that might have wanted it.
func TestAnEventThatNobodyCouldGetLeadsToNoEndpoint(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	mine := h.endpoint("", "mine")
	h.exec(`
INSERT INTO tailpost.delivery (event_id, endpoint_id, state, reason, attempts, event_type, payload, event_created_at, commit_lsn, seq, created_at, updated_at)
VALUES ('e', '*', 'dead', 'invalid', 0, 'order.paid', '{', now(), '0/10', 1, now(), now()), ('f', $1, 'dead', 'failed', 1, 'order.paid', '{}', now(), '0/20', 1, now(), now())`, mine)
	page := h.loggedIn("admin", houseKey).get("/panel/undelivered?state=dead").body
	require.Contains(t, page, ">every endpoint<")
	require.NotContains(t, page, `href="/panel/endpoints/*"`)
	require.NotContains(t, page, `href="/panel/endpoints/%2A"`)
	require.Contains(t, page, `href="/panel/endpoints/`+mine+`"`)
}
