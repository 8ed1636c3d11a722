package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
)

// TestExtraColumns: what the outbox table has beside the rest is shown to those who may read
// payloads, known to expressions, and there when an event is sent again.
func TestExtraColumns(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) {
		c.Outbox.Mapping = outbox.DefaultMapping()
		c.Outbox.Mapping.Extra = map[string]string{"region": "region_code", "size": "size"}
	})
	b.exec(t, "ALTER TABLE public.outbox ADD COLUMN region_code text, ADD COLUMN size numeric")
	b.insertRows(t)
	b.exec(t, "UPDATE public.outbox SET region_code = 'eu-marked', size = 9007199254740993 WHERE id = $1", rowOfAcme)
	path := "/v1/events/" + rowOfAcme

	for _, body := range []map[string]any{{"where": `event.extra.regoin == "eu"`}, {"body": "{ a = event.extra.regoin }"}} {
		body["url"] = "https://example.com/in"
		refused := b.post(t, "/v1/endpoints", body).is(http.StatusUnprocessableEntity)
		require.Contains(t, refused.text("errors.0.detail"), `Did you mean "region"?`)
	}
	id := b.post(t, "/v1/endpoints", map[string]any{
		"url": "https://example.com/in", "where": `event.extra.size > 1`, "body": "{ region = event.extra.region }",
	}).is(http.StatusCreated).text("id")

	require.Equal(t, "eu-marked", b.get(t, path).is(http.StatusOK).text("extra.region"))
	require.Equal(t, `{"region":"eu-marked","size":9007199254740993}`, b.get(t, path+"?raw=true").is(http.StatusOK).text("extra_text")) //nolint:testifylint // to the last digit
	_, blind := b.key(t, "", "endpoints:read", "deliveries:read")
	for _, query := range []string{"", "?raw=true"} {
		hidden := b.do(t, call{key: blind, method: http.MethodGet, path: path + query}).is(http.StatusOK)
		require.NotContains(t, string(hidden.Body), "eu-marked")
	}
	tried := b.post(t, "/v1/endpoints/"+id+"/backtest", map[string]any{"where": `event.extra.region == "eu-marked"`}).is(http.StatusOK)
	require.Equal(t, 1, tried.at("matched"))
	require.Equal(t, 1, tried.at("matched_before"))
	require.Contains(t, string(b.get(t, path+"/explain").is(http.StatusOK).Body), "event.extra.size")

	b.attempted(t, rowOfAcme, id, "stream")
	require.Equal(t, 1, b.post(t, resendPath, pair(rowOfAcme, id)).is(http.StatusOK).at("changed"))
	const queued = `SELECT count(*) FROM tailpost.delivery WHERE convert_from(extra, 'UTF8') = '{"region":"eu-marked","size":9007199254740993}'`
	require.Equal(t, 1, b.count(t, queued))

	// A row that is gone leaves what waits.
	b.exec(t, "DELETE FROM public.outbox WHERE id = $1", rowOfAcme)
	require.Equal(t, "eu-marked", b.get(t, path).is(http.StatusOK).text("extra.region"))
}
