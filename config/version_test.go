package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
)

// threeVersions is the example of docs/configuration.md.
const threeVersions = `
database { url = env("DATABASE_URL") }
version "2026-01-15" { # not in order
  event "order.**" {
    body = { id = event.data.id, customer = event.data.customer.name, total = event.data.total }
  }
}
version "2026-09-20" {
  event "order.*" {
    where = event.type != "order.draft"
    body  = { id = event.data.id, customer = event.data.customer, total = event.data.total.amount }
  }
  event "order.*" {
    body = { id = event.data.id, customer = event.data.customer, total = null }
  }
}
version "2025-01-01" {}
endpoint "unpinned" {
  url    = "https://a.example.com"
  secret = env("ERP_SECRET")
}
endpoint "newest" {
  url     = "https://a.example.com"
  secret  = env("ERP_SECRET")
  version = "2026-09-20"
}
endpoint "middle" {
  url     = "https://a.example.com"
  secret  = env("ERP_SECRET")
  version = "2026-01-15"
}
endpoint "oldest" {
  url     = "https://a.example.com"
  secret  = env("ERP_SECRET")
  version = "2025-01-01"
}
`

func TestAnEventGoesFromTheNewestVersionDownToThePinnedOne(t *testing.T) {
	t.Parallel()
	cfg, diags := parse(t, threeVersions)
	require.Empty(t, diags)
	require.Equal(t, []string{"2026-09-20", "2026-01-15", "2025-01-01"}, cfg.Versions.Names())
	const written = `{"id": 7, "customer": {"name": "Ada"}, "total": {"amount": 9.50, "currency": "EUR"}}`
	middle, oldest := `{"id":7,"customer":{"name": "Ada"},"total":9.50}`, `{"id":7,"customer":"Ada","total":9.50}`
	for eventType, want := range map[string][]string{ // of unpinned, newest, middle, oldest
		"order.paid":       {written, written, middle, oldest},
		"order.draft":      {written, written, `{"id":7,"customer":{"name": "Ada"},"total":null}`, `{"id":7,"customer":"Ada","total":null}`},
		"order.item.added": {written, written, written, `{"id":7,"customer":"Ada","total":{"amount": 9.50, "currency": "EUR"}}`},
		"user.created":     {written, written, written, written},
		"webhook.order":    {written, written, written, written},
	} {
		for i, data := range want {
			e := &outbox.Event{ID: "1", Type: eventType, Payload: []byte(written)}
			got, err := cfg.Endpoints[i].Steps().Event(e)
			require.NoError(t, err)
			require.Equal(t, data, string(got.Payload), "%s to %s", eventType, cfg.Endpoints[i].ID)
			require.Len(t, e.Payload, len(written), "the event itself is shared")
		}
	}
	require.Equal(t, "2026-09-20", cfg.Endpoints[0].Version)
}

func TestAnEventThatNoStepCanReadIsAnError(t *testing.T) {
	t.Parallel()
	cfg, diags := parse(t, threeVersions)
	require.Empty(t, diags)
	e := &outbox.Event{ID: "1", Type: "order.paid", Payload: []byte(`{"id": broken`)}
	_, err := cfg.Endpoints[2].Steps().Event(e)
	require.EqualError(t, err, `go back before version "2026-09-20": build body: payload is not valid JSON`)
	same, err := cfg.Endpoints[1].Steps().Event(e)
	require.NoError(t, err)
	require.Same(t, e, same)

	pinned := config.Endpoint{Version: "2024-01-01"}
	require.False(t, cfg.Versions.Pin(&pinned, ""))
	_, err = pinned.Steps().Event(e)
	require.EqualError(t, err, `the configuration has no version "2024-01-01"`)
	require.True(t, config.Versions(nil).Pin(&config.Endpoint{}, ""))
}

// Each step may double what it gets; all of them together may not.
func TestStepsDoNotPileUp(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString(threeVersions)
	for i := range 14 {
		fmt.Fprintf(&text, "version \"2025-02-%02d\" {\n event \"big\" {\n body = [event.data, event.data]\n }\n}\n", 1+i)
	}
	cfg, diags := parse(t, text.String())
	require.Empty(t, diags)
	_, err := cfg.Endpoints[3].Steps().Event(&outbox.Event{Type: "big", Payload: []byte(`"` + strings.Repeat("x", 1000) + `"`)})
	require.ErrorContains(t, err, "body is too large")
}

// However many versions there are: an endpoint gets the steps that are newer than its own, each
// once, the newest first.
func TestStepsAreThoseAfterThePinnedVersion(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		days := rapid.SliceOfNDistinct(rapid.IntRange(1, 28), 1, 12, rapid.ID).Draw(t, "days")
		oldest := 29
		for _, d := range days {
			oldest = min(oldest, d)
		}
		var versions config.Versions
		for _, d := range days {
			v := config.Version{Name: fmt.Sprintf("2026-02-%02d", d)}
			if d != oldest {
				body, diags := config.CompileBody(fmt.Sprintf("[%d, event.data]", d), "test.hcl", 1)
				require.False(t, diags.HasErrors())
				v.Events = []config.VersionEvent{{Events: "**", Body: body}}
			}
			versions = append(versions, v)
		}
		pinned := rapid.SampledFrom(days).Draw(t, "pinned")
		cfg, err := config.Config{
			Database: config.Database{URL: config.NewSecret("postgres://localhost/app")}, Versions: versions,
			Endpoints: []config.Endpoint{{
				ID: "a", URL: "https://a.example.com", Secrets: []config.Secret{config.NewSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")},
				Version: fmt.Sprintf("2026-02-%02d", pinned),
			}},
		}.Complete()
		require.NoError(t, err)
		want := "0"
		for d := 28; d > pinned; d-- {
			for _, is := range days {
				if is == d {
					want = fmt.Sprintf("[%d,%s]", d, want)
				}
			}
		}
		got, err := cfg.Endpoints[0].Steps().Event(&outbox.Event{Type: "a", Payload: []byte("0")})
		require.NoError(t, err)
		require.Equal(t, want, string(got.Payload))
	})
}

func TestVersionsDifferByWhatTheyMakeOfEvents(t *testing.T) {
	t.Parallel()
	cfg, _ := parse(t, threeVersions)
	same, _ := parse(t, "\n"+threeVersions)
	require.True(t, cfg.Versions.Equal(same.Versions))
	for old, next := range map[string]string{
		"total = null": "total = 0", `event.type != "order.draft"`: `event.type == "order.draft"`, `"order.**"`: `"order.*"`, `version "2025-01-01" {}`: `version "2025-01-02" {}`,
	} {
		text := strings.Replace(strings.Replace(threeVersions, old, next, 1), `version = "2025-01-01"`, "", 1)
		other, diags := parse(t, text)
		require.Empty(t, diags)
		require.False(t, cfg.Versions.Equal(other.Versions), old)
	}
}

func TestDefaultsPinAVersion(t *testing.T) {
	t.Parallel()
	cfg, diags := parse(t, threeVersions+`defaults { version = "2026-01-15" }`)
	require.Empty(t, diags)
	require.Equal(t, "2026-01-15", cfg.Endpoints[0].Version)
	require.Equal(t, "2025-01-01", cfg.Endpoints[3].Version)
	text, err := cfg.MarshalJSON()
	require.NoError(t, err)
	require.Contains(t, string(text), `{"name":"2025-01-01","events":[]}`)
}
