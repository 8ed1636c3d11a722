package config_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

// endpointWith is a configuration with one endpoint.
func endpointWith(url, lines string) string {
	return "outbox {\n columns = { extra = { region = \"r\" } }\n}\ndatabase {\n url = env(\"DATABASE_URL\")\n}\nendpoint \"erp\" {\n url = " + url + "\n secret = env(\"ERP_SECRET\")\n" + lines + "\n}\n"
}

// TestExpressionsOfAnEndpoint: what reads the event stays an expression, all else is evaluated when
// the file is read.
func TestExpressionsOfAnEndpoint(t *testing.T) {
	t.Parallel()
	for hcl, want := range map[string]string{
		`"https://h.example/a"`:                                                  "https://h.example/a",
		`"https://h.example/${event.key}/b?t=${event.tenant}"`:                   "https://h.example/${event.key}/b?t=${event.tenant}",
		`"https://h.example/${ lower( event.headers["x-a"] ) }"`:                 `https://h.example/${lower( event.headers["x-a"] )}`,
		`"https://h.example/${event.data.n > 1 ? "a" : "b}"}/c"`:                 `https://h.example/${event.data.n > 1 ? "a" : "b}"}/c`,
		`"https://h.example/${event.data.n + 1}-${"lit"}$${x}?z=%%{y}"`:          `https://h.example/${event.data.n + 1}-lit$${x}?z=%%{y}`,
		`"https://h.example/$${x}/a"`:                                            "https://h.example/$${x}/a",
		`"https://h.example/${"a$"}${event.key}"`:                                `https://h.example/a${"$"}${event.key}`,
		`"https://h.example/${(event.key)}"`:                                     `https://h.example/${(event.key)}`,
		`"https://h.example/${env("OLD_SECRET", "path")}/${event.extra.region}"`: "https://h.example/path/${event.extra.region}",
	} {
		cfg, diags := parse(t, endpointWith(hcl, ""))
		require.Empty(t, diags, hcl)
		require.Equal(t, want, cfg.Endpoints[0].URL, hcl)
		_, err := cfg.Endpoints[0].Address()
		require.NoError(t, err)
	}
	cfg, diags := parse(t, endpointWith(`"https://h.example/"`, `
 headers = { X-Tenant = event.tenant, X-Region = "r-${event.extra.region}", "X-Lit" = "$${a}", X-None = null, X-Env = env("ERP_SECRET") }
 query   = { tenant = event.tenant, limit = 5, all = true, none = null, both = "${env("OLD_SECRET", "e")}-${event.key}" }`))
	require.Empty(t, diags)
	e := cfg.Endpoints[0]
	require.Equal(t, "${event.tenant}", e.Headers["X-Tenant"])
	require.Equal(t, "r-${event.extra.region}", e.Headers["X-Region"])
	require.Equal(t, "$${a}", e.Headers["X-Lit"])
	require.NotContains(t, e.Headers, "X-None")
	require.Equal(t, map[string]string{"tenant": "${event.tenant}", "limit": "5", "all": "true", "both": "e-${event.key}"}, e.Query)
	require.False(t, e.SensitiveURL)
	cfg, diags = parse(t, endpointWith(`"https://h.example/"`, ` query = { key = "${env("ERP_SECRET")}-${event.key}" }`))
	require.Empty(t, diags)
	require.True(t, cfg.Endpoints[0].SensitiveURL, "a parameter came from the environment")
	require.Equal(t, map[string]string{"key": "[redacted]"}, cfg.Endpoints[0].ShownQuery(), "beside an expression too")
	cfg, diags = parse(t, endpointWith(`"https://h.example/"`, ` query = { key = env("ERP_SECRET"), id = event.id }`))
	require.Empty(t, diags)
	require.True(t, cfg.Endpoints[0].SensitiveURL, "a parameter came from the environment")
}

// Headers and query of the defaults are those of an endpoint that has none of its own, whole.
func TestDefaultsOfHeadersAndQuery(t *testing.T) {
	t.Parallel()
	const defaults = `
defaults {
  headers = { X-Tenant = event.tenant }
  query   = { region = "eu", key = env("ERP_SECRET") }
}
`
	cfg, diags := parse(t, endpointWith(`"https://h.example/"`, "")+defaults)
	require.Empty(t, diags)
	e := cfg.Endpoints[0]
	require.Equal(t, map[string]string{"X-Tenant": "${event.tenant}"}, e.Headers)
	require.Len(t, e.Query, 2)
	require.Equal(t, "eu", e.Query["region"])
	require.True(t, e.SensitiveURL)
	cfg, diags = parse(t, endpointWith(`"https://h.example/"`, `
 headers = { X-Other = "1" }
 query   = { limit = "5" }`)+defaults)
	require.Empty(t, diags)
	e = cfg.Endpoints[0]
	require.Equal(t, []map[string]string{{"X-Other": "1"}, {"limit": "5"}}, []map[string]string{e.Headers, e.Query})
}

func TestExpressionsThatCannotBe(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ url, lines, summary string }{
		"in the host":           {`"https://${event.tenant}.example/"`, "", "Expression in the host"},
		"an unknown attribute":  {`"https://h.example/${event.kee}"`, "", "Unknown event attribute"},
		"an unknown column":     {`"https://h.example/${event.extra.regoin}"`, "", "Unknown extra column"},
		"a column of a header":  {`"https://h.example/"`, " headers = { X-A = event.extra.regoin }", "Unknown extra column"},
		"a column of a query":   {`"https://h.example/"`, " query = { a = \"${event.extra.regoin}\" }", "Unknown extra column"},
		"both kinds in one":     {`"https://h.example/${lower(env("ERP_SECRET")) == event.key ? 1 : 2}"`, "", "Unknown function"},
		"a reserved header":     {`"https://h.example/"`, " headers = { Webhook-Id = event.id }", "Reserved header"},
		"a header's name":       {`"https://h.example/"`, " headers = { \"a b\" = event.id }", "Invalid header name"},
		"the content type":      {`"https://h.example/"`, " headers = { content-type = event.id }", "Expression in the content type"},
		"a missing environment": {`"https://h.example/${env("NOT_SET")}/${event.key}"`, "", "Missing environment variable"},
		"another variable":      {`"https://h.example/${evnt.key}/${event.key}"`, "", "Unknown variable"},
		"a whole document":      {`"https://h.example/"`, " query = { a = event.data }", "Object or list in a text"},
		"a list":                {`"https://h.example/"`, " query = [event.key]", "Unknown variable"},
		"twice":                 {`"https://h.example/"`, " query = { a = event.key, a = 1 }", "Repeated attribute"},
		"http where it may not": {`"http://h.example/${event.key}"`, "", "Plain http URL"},
		"a private address":     {`"https://10.0.0.1/${event.key}"`, "", "Address not allowed"},
		"a fragment":            {`"https://h.example/${event.key}#a"`, "", "Fragment in the URL"},
		"with a verification":   {`"https://h.example/"`, " verify = \"echo\"\n query = { k = event.key }", "Verification without an event"},
		"user information":      {`"https://a:b@h.example/${event.key}"`, "", "User information in the URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, diags := parse(t, endpointWith(test.url, test.lines))
			require.Len(t, diags, 1, diags.Error())
			require.Equal(t, test.summary, diags[0].Summary, diags[0].Detail)
			require.NotZero(t, diags[0].Line)
		})
	}
}

// TestWhatPeopleSeeOfAnAddress: expressions are no secret; queries, and what came from the
// environment, are.
func TestWhatPeopleSeeOfAnAddress(t *testing.T) {
	t.Parallel()
	for hcl, want := range map[string]string{
		`"https://h.example/${event.key}/b"`:                       "https://h.example/${event.key}/b",
		`"https://h.example/${event.key}/b?t=token&k=${event.id}"`: "https://h.example/${event.key}/b?[redacted]",
		`"https://h.example/${event.data.a ? "b?" : "c"}/d"`:       `https://h.example/${event.data.a ? "b?" : "c"}/d`,
		`"https://h.example/${env("ERP_SECRET")}/${event.key}"`:    "https://h.example/[redacted]",
		`"https://h.example/$${a}/${event.key}"`:                   "https://h.example/$${a}/${event.key}",
	} {
		cfg, diags := parse(t, endpointWith(hcl, ` query = { lit = "hunter2", key = event.key }`))
		require.Empty(t, diags, hcl)
		e := cfg.Endpoints[0]
		require.Equal(t, want, e.ShownURL(), hcl)
		text, err := json.Marshal(e)
		require.NoError(t, err)
		require.NotContains(t, string(text), "hunter2")
		shown := e.ShownQuery()
		require.Equal(t, "[redacted]", shown["lit"])
		if !e.SensitiveURL {
			require.Equal(t, "${event.key}", shown["key"])
		}
	}
	require.Equal(t, "[redacted]", config.ShownURL("https://h.example/${event.kee}"))
}
