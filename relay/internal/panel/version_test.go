package panel_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

// withTwoVersions has events since a day whose data was something else before.
func withTwoVersions(t *testing.T) func(c *config.Config) {
	t.Helper()
	before, diags := config.CompileBody(`{ id = event.data.id, total = event.data.total.amount }`, "test.hcl", 1)
	require.False(t, diags.HasErrors())
	return func(c *config.Config) {
		c.Versions = config.Versions{{Name: "2026-09-20", Events: []config.VersionEvent{{Events: "order.*", Body: before}}}, {Name: "2025-01-01"}}
	}
}

func TestTheFormPinsAVersion(t *testing.T) {
	t.Parallel()
	h := newHouse(t, withTwoVersions(t))
	c := h.loggedIn("admin", houseKey)
	require.Contains(t, c.get("/panel/endpoints/new").body, `<option value="2026-09-20">2026-09-20 (newest)</option>`)
	got := c.send(http.MethodPost, "/panel/endpoints/new", c.form("/panel/", "name", "Shop", "url", "https://shop.example/in", "payload_version", "2025-01-01"))
	require.Equal(t, http.StatusOK, got.status, got.body)
	id := h.text("SELECT id FROM tailpost.endpoint WHERE name = 'Shop'")
	version := func() any { return h.admin().made(http.MethodGet, "/v1/endpoints/"+id, nil)["payload_version"] }
	require.Equal(t, "2025-01-01", version())
	require.Contains(t, c.get("/panel/endpoints/"+id).body, "<dt>Version of the data</dt><dd>2025-01-01</dd>")
	shown := inputs(c.get("/panel/endpoints/" + id + "/edit").body)
	require.Equal(t, "2025-01-01", shown["payload_version"])

	tried := c.send(http.MethodPost, "/panel/endpoints/"+id+"/edit", c.form("/panel/", "url", "https://shop.example/in", "act", "try", "payload_version", "2026-09-20"))
	require.Equal(t, http.StatusOK, tried.status, tried.body)
	require.Equal(t, "2026-09-20", inputs(tried.body)["payload_version"])
	require.Equal(t, "2025-01-01", version(), "nothing is stored")

	// Its version goes. The form says so, and does not choose another one by itself.
	for i := range h.cfg.Versions {
		h.cfg.Versions[i].Name = strings.Replace(h.cfg.Versions[i].Name, "2025", "2024", 1)
	}
	shown = inputs(c.get("/panel/endpoints/" + id + "/edit").body)
	require.Equal(t, "2025-01-01", shown["payload_version"])
	refused := c.send(http.MethodPost, "/panel/endpoints/"+id+"/edit", c.form("/panel/", "url", "https://shop.example/in", "payload_version", "2025-01-01"))
	require.Equal(t, http.StatusUnprocessableEntity, refused.status)
	require.Regexp(t, `id="payload_version".*<span class="wrong">Unknown version`, refused.body)
}

func TestTheCatalogueOfThePanelHasEveryVersion(t *testing.T) {
	t.Parallel()
	h := newHouse(t, withTwoVersions(t))
	c := h.loggedIn("admin", houseKey)
	fields := []string{"name", "order.paid", "example", `{"id": 7, "total": {"amount": 9.50}}`, "versions", `{"2025-01-01": {"schema": {"maximum": 1.50}}}`}
	got := c.send(http.MethodPost, "/panel/catalogue/edit", c.form("/panel/", fields...))
	require.Equal(t, http.StatusSeeOther, got.status, got.body)
	page := c.get("/panel/catalogue/types/order.paid").body
	for _, part := range []string{"Version 2025-01-01", "the example is made from the newest version's", `{&#34;id&#34;:7,&#34;total&#34;:9.50}`, "1.50"} {
		require.Contains(t, page, part)
	}
	shown := inputs(c.get("/panel/catalogue/edit?name=order.paid").body)
	require.JSONEq(t, `{"2025-01-01": {"schema": {"maximum": 1.50}}}`, shown["versions"], "what was made is not stored")
	refused := c.send(http.MethodPost, "/panel/catalogue/edit", c.form("/panel/", "name", "order.sent", "versions", `{"2024-01-01": {}}`))
	require.Equal(t, http.StatusUnprocessableEntity, refused.status)
	require.Contains(t, refused.body, "no such version")
}
