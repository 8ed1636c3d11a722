package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

// versions are those of a configuration: by their names the bodies of what was before.
func versions(tb testing.TB, steps map[string]string) config.Versions {
	tb.Helper()
	var all config.Versions
	for name, text := range steps {
		v := config.Version{Name: name}
		if text != "" {
			body, diags := config.CompileBody(text, "test.hcl", 1)
			require.False(tb, diags.HasErrors())
			v.Events = []config.VersionEvent{{Events: "order.*", Body: body}}
		}
		all = append(all, v)
	}
	return all
}

const (
	beforeMoney = `{ id = event.data.id, total = event.data.total.amount }`
	written     = `{"id": 7, "total": {"amount": 9.50, "currency": "EUR"}}`
)

func withVersions(tb testing.TB, steps map[string]string) func(*config.Config) {
	tb.Helper()
	return func(c *config.Config) { c.Versions = versions(tb, steps) }
}

func moneyVersions() map[string]string {
	return map[string]string{"2026-09-20": beforeMoney, "2025-01-01": ""}
}

// reversion has the API run with other versions, as a reload would.
func reversion(t *testing.T, b *bundle, steps map[string]string) {
	t.Helper()
	b.change(func(c *config.Config) {
		c.Versions = versions(t, steps)
		done, err := c.Complete()
		require.NoError(t, err)
		*c = *done
	})
}

func TestAnEndpointKeepsTheVersionOfTheDayOnWhichItWasMade(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	old := b.post(t, "/v1/endpoints", map[string]any{"url": "https://a.example", "name": "old"}).is(http.StatusCreated).text("id")
	require.Nil(t, b.get(t, "/v1/endpoints/"+old).is(http.StatusOK).at("payload_version"))
	require.Empty(t, b.get(t, "/v1/versions").is(http.StatusOK).list("data"))

	reversion(t, b, map[string]string{"2025-01-01": ""})
	first := b.post(t, "/v1/endpoints", map[string]any{"url": "https://a.example", "name": "first"}).is(http.StatusCreated)
	require.Equal(t, "2025-01-01", first.at("payload_version"))
	reversion(t, b, moneyVersions())
	second := b.post(t, "/v1/endpoints", map[string]any{"url": "https://a.example"}).is(http.StatusCreated)
	require.Equal(t, "2026-09-20", second.at("payload_version"))
	asked := b.post(t, "/v1/endpoints", map[string]any{"url": "https://a.example", "payload_version": "2025-01-01"}).is(http.StatusCreated)
	require.Equal(t, "2025-01-01", asked.at("payload_version"))

	id := "/v1/endpoints/" + first.text("id")
	for _, change := range []call{
		{method: http.MethodPatch, path: id, body: map[string]any{"timeout": "5s"}},
		{method: http.MethodPut, path: id, body: map[string]any{"url": "https://a.example/b", "name": "first"}},
		{method: http.MethodPut, path: "/v1/endpoints?name=first", body: map[string]any{"url": "https://a.example/c"}},
	} {
		change.key = adminKey
		require.Equal(t, "2025-01-01", b.do(t, change).is(http.StatusOK).at("payload_version"), "%s %s", change.method, change.path)
	}
	require.Equal(t, "2025-01-01", b.get(t, "/v1/endpoints/"+old).is(http.StatusOK).at("payload_version"), "it is of before there were versions")
	require.Equal(t, "2026-09-20", b.do(t, call{
		key: adminKey, method: http.MethodPatch, path: id, body: `{"payload_version": null}`,
	}).is(http.StatusOK).at("payload_version"))

	list := b.get(t, "/v1/versions").is(http.StatusOK)
	require.Equal(t, "2026-09-20", list.at("data.0.name"))
	require.Equal(t, []any{"order.*"}, list.list("data.0.changed"))
	require.Equal(t, []any{true, false}, []any{list.at("data.0.newest"), list.at("data.1.newest")})
}

func TestAVersionThatIsNotThereIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, withVersions(t, moneyVersions()))
	id := b.post(t, "/v1/endpoints", map[string]any{"url": "https://a.example"}).is(http.StatusCreated).text("id")
	for _, refused := range []call{
		{method: http.MethodPost, path: "/v1/endpoints", body: map[string]any{"url": "https://a.example", "payload_version": "2026-09-21"}},
		{method: http.MethodPatch, path: "/v1/endpoints/" + id, body: map[string]any{"payload_version": "2026-09-21"}},
		{method: http.MethodPost, path: "/v1/endpoints/backtest", body: map[string]any{"payload_version": "2026-09-21"}},
	} {
		refused.key = adminKey
		got := b.do(t, refused).is(http.StatusUnprocessableEntity)
		require.Equal(t, "#/payload_version", got.at("errors.0.pointer"), "%s", got.Body)
	}

	// Its version goes: nothing is sent in another one, and every change has to name one that is
	// there.
	reversion(t, b, map[string]string{"2026-11-01": beforeMoney, "2026-10-01": ""})
	require.Equal(t, "2026-09-20", b.get(t, "/v1/endpoints/"+id).is(http.StatusOK).at("payload_version"))
	got := b.post(t, "/v1/endpoints/"+id+"/test", nil).is(http.StatusUnprocessableEntity)
	require.Equal(t, "#/payload_version", got.at("errors.0.pointer"))
	patch := call{key: adminKey, method: http.MethodPatch, path: "/v1/endpoints/" + id, body: map[string]any{"timeout": "5s"}}
	require.Contains(t, b.do(t, patch).is(http.StatusUnprocessableEntity).text("errors.0.detail"), `"2026-11-01" or "2026-10-01"`)
	patch.body = map[string]any{"payload_version": "2026-10-01"}
	b.do(t, patch).is(http.StatusOK)
}

func TestATestEventComesInTheVersionOfItsEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t, withVersions(t, moneyVersions()))
	r := newReceiver(t)
	b.do(t, call{key: adminKey, method: http.MethodPut, path: "/v1/event-types/order.paid", body: `{"example": ` + written + `}`}).is(http.StatusOK)
	for version, want := range map[string]string{"2026-09-20": written, "2025-01-01": `{"id":7,"total":9.50}`} {
		id := b.post(t, "/v1/endpoints", map[string]any{"url": r.URL, "payload_version": version, "format": "raw"}).is(http.StatusCreated).text("id")
		b.post(t, "/v1/endpoints/"+id+"/test", map[string]any{"type": "order.paid"}).is(http.StatusOK)
		require.Equal(t, want, string(r.last().body))
		require.Equal(t, version, r.last().header.Get("webhook-version"))
	}
}

func TestTheCatalogueDescribesEveryVersion(t *testing.T) {
	t.Parallel()
	b := setup(t, withVersions(t, map[string]string{"2026-09-20": beforeMoney, "2026-01-15": `{ id = event.data.id }`, "2025-01-01": ""}))
	put := func(name, body string) *answer {
		return b.do(t, call{key: adminKey, method: http.MethodPut, path: "/v1/event-types/" + name, body: body})
	}
	got := put("order.paid", `{"example": `+written+`, "schema": {"type": "object"},
		"versions": {"2025-01-01": {"schema": {"maximum": 12345678901234567890.10}}, "2026-01-15": {"example": {"id": 1.50}}}}`).is(http.StatusOK)
	require.Equal(t, "2026-01-15", got.at("versions.0.version"))
	require.Equal(t, false, got.at("versions.0.made"))
	require.Contains(t, string(got.Body), `"example":{"id":1.50}`)
	require.Equal(t, true, got.at("versions.1.made"), "no example was given for it")
	require.Contains(t, string(got.Body), `"maximum":12345678901234567890.10`)
	again := b.get(t, "/v1/event-types/order.paid").is(http.StatusOK)
	require.Equal(t, got.list("versions"), again.list("versions"))
	require.Len(t, b.get(t, "/v1/event-types").is(http.StatusOK).list("data.0.versions"), 2)

	made := put("order.sent", `{"example": `+written+`}`).is(http.StatusOK)
	require.InDelta(t, 9.5, made.at("versions.0.example.total"), 0)
	require.Equal(t, map[string]any{"id": float64(7)}, toMap(t, made, "versions.1.example"))
	require.Nil(t, put("webhook.failed", `{}`).is(http.StatusOK).at("versions"))

	refused := put("order.paid", `{"versions": {"2026-09-20": {}, "2024-01-01": {}}}`).is(http.StatusUnprocessableEntity)
	require.Len(t, refused.list("errors"), 2)
	require.Contains(t, string(refused.Body), `"#/versions/2024-01-01"`)
}

// toMap is the object at a path.
func toMap(t *testing.T, a *answer, path string) map[string]any {
	t.Helper()
	found := make(map[string]any)
	object, ok := a.at(path).(map[string]any)
	require.True(t, ok, "%s", a.Body)
	for name, value := range object {
		n, ok := value.(interface{ Float64() (float64, error) })
		require.True(t, ok)
		f, err := n.Float64()
		require.NoError(t, err)
		found[name] = f
	}
	return found
}

func TestABacktestShowsWhatAVersionChanges(t *testing.T) {
	t.Parallel()
	b := setup(t, withVersions(t, moneyVersions()))
	b.exec(t, `INSERT INTO public.outbox (id, type, payload, created_at) VALUES ('018f0000-0000-7000-8000-000000000001', 'order.paid', $1::text::jsonb, now())`, written)
	id := b.post(t, "/v1/endpoints", map[string]any{"url": "https://a.example", "where": "event.data.total.amount > 1"}).is(http.StatusCreated).text("id")
	got := b.post(t, "/v1/endpoints/"+id+"/backtest", map[string]any{"payload_version": "2025-01-01", "where": "event.data.total > 9"}).is(http.StatusOK)
	require.Equal(t, 1, got.at("matched"), "filters see the version that is tried")
	require.Equal(t, 1, got.at("matched_before"))
	require.Equal(t, []any{"2026-09-20", "2025-01-01"}, []any{got.at("before_version"), got.at("payload_version")})
	require.InDelta(t, 9.5, got.at("bodies.0.before.total.amount"), 0)
	require.InDelta(t, 9.5, got.at("bodies.0.after.total"), 0)
	require.Equal(t, []any{"/total"}, got.list("bodies.0.differs"))

	alone := b.post(t, "/v1/endpoints/backtest", map[string]any{"payload_version": "2025-01-01"}).is(http.StatusOK)
	require.InDelta(t, 9.5, alone.at("bodies.0.newest.total.amount"), 0)
	require.Equal(t, []any{"/total"}, alone.list("bodies.0.differs"))
	same := b.post(t, "/v1/endpoints/backtest", map[string]any{}).is(http.StatusOK)
	require.Equal(t, "2026-09-20", same.at("payload_version"))
	require.Nil(t, same.at("bodies.0.newest"))
	require.Nil(t, same.at("bodies.0.differs"))

	// And why it got the event, or not, is said of the same data.
	b.do(t, call{key: adminKey, method: http.MethodPatch, path: "/v1/endpoints/" + id, body: map[string]any{
		"payload_version": "2025-01-01", "where": "event.data.total > 10",
	}}).is(http.StatusOK)
	why := b.get(t, "/v1/events/018f0000-0000-7000-8000-000000000001/explain").is(http.StatusOK)
	require.Contains(t, string(why.Body), "event.data.total is 9.50")
}
