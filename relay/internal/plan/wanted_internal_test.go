package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/route"
)

// rowOf is the row that a relay would have written of an endpoint of its configuration.
func rowOf(t *testing.T, e *config.Endpoint) *ledger.EndpointRow {
	t.Helper()
	subscriptions, policy, err := ledger.EncodeEndpoint(*e)
	require.NoError(t, err)
	return &ledger.EndpointRow{
		ID: e.ID, Tenant: e.Tenant, Name: e.Name, Description: e.Description, URL: e.ShownURL(), Subscriptions: subscriptions, Policy: policy, Status: ledger.StatusActive, Source: ledger.SourceConfig,
	}
}

// What becomes of an endpoint that is not active: another URL makes a disabled one active again,
// and nothing else that changes about it does.
func TestWhatBecomesOfWhatIsNotActive(t *testing.T) {
	t.Parallel()
	longer := func(e *config.Endpoint) { e.Timeout = time.Minute }
	elsewhere := func(e *config.Endpoint) { e.URL = "https://b.example/" }
	fewer := func(e *config.Endpoint) { e.Subscriptions = []config.Subscription{{Events: []string{"order.*"}}} }
	for name, test := range map[string]struct {
		change         func(*config.Endpoint)
		status, reason string
		action         string
		note, drift    string // a part of the one that there is; empty: there is none
		queued         string // what becomes of what is queued; empty: nothing is said
	}{
		"disabled, as it was":           {func(*config.Endpoint) {}, ledger.StatusDisabled, "gone", "", "", "disabled (gone), and stays so", ""},
		"disabled, with a timeout":      {longer, ledger.StatusDisabled, "gone", Change, "", "disabled (gone), and stays so", "they wait until it is enabled or its URL changes"},
		"disabled, with other events":   {fewer, ledger.StatusDisabled, "gone", Change, "", "disabled (gone), and stays so", "they wait until it is enabled or its URL changes"},
		"disabled, with another URL":    {elsewhere, ledger.StatusDisabled, "gone", Change, "it was disabled (gone)", "", "they go to the new URL"},
		"paused, with another URL":      {elsewhere, ledger.StatusPaused, "", Change, "", "paused by a person", "they wait until it is resumed"},
		"removed, and back":             {func(*config.Endpoint) {}, ledger.StatusDisabled, ledger.ReasonRemoved, Return, "", "", "they go out"},
		"removed, and back, and moved":  {elsewhere, ledger.StatusDisabled, ledger.ReasonRemoved, Return, "", "", "they go out"},
		"active, with a longer timeout": {longer, ledger.StatusActive, "", Change, "", "", ""},
		"active, with other events":     {fewer, ledger.StatusActive, "", Change, "", "", "they go out, whatever the subscriptions say now"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := config.Endpoint{ID: "shop", URL: "https://a.example/"}
			row := rowOf(t, &e)
			row.Status, row.DisabledReason = test.status, test.reason
			test.change(&e)
			p := Plan{}
			require.NoError(t, p.wanted(&e, row))
			var action string
			var notes, drift []string
			for i := range p.Endpoints {
				action, notes = p.Endpoints[i].Action, append(notes, p.Endpoints[i].Notes...)
				require.Equal(t, test.queued, p.Endpoints[i].queued())
			}
			for i := range p.Drift {
				drift = append(drift, p.Drift[i].Detail)
			}
			require.Equal(t, test.action, action)
			for want, got := range map[*string][]string{&test.note: notes, &test.drift: drift} {
				require.Len(t, got, min(len(*want), 1), "%s", got)
				require.Contains(t, strings.Join(got, "\n"), *want)
			}
		})
	}
}

// One that a person had paused before it was removed comes back paused, and so does what is queued.
func TestWhatReturnsPausedStaysSo(t *testing.T) {
	t.Parallel()
	e := config.Endpoint{ID: "shop", URL: "https://a.example/"}
	row := rowOf(t, &e)
	row.Status, row.DisabledReason, row.RemovedPaused = ledger.StatusDisabled, ledger.ReasonRemoved, true
	p := Plan{}
	require.NoError(t, p.wanted(&e, row))
	require.Equal(t, []string{"a person had paused it before it was removed: it is paused again, until tailpost resume shop"}, p.Endpoints[0].Notes)
	require.Equal(t, "they wait until it is resumed", p.Endpoints[0].queued())
}

// An endpoint whose version is not among those of the configuration any more is compared by its
// filters all the same: as they are with the newest.
func TestWhatAnEndpointGotIsToldThoughItsVersionIsGone(t *testing.T) {
	t.Parallel()
	where, diags := config.CompileFilter("event.data.total > 100", "test.hcl", 1)
	require.False(t, diags.HasErrors())
	e := config.Endpoint{
		ID: "shop", URL: "https://a.example/", Version: "2024-01-01",
		Subscriptions: []config.Subscription{{Events: []string{"order.*"}, Where: where}},
	}
	row := rowOf(t, &e)
	got := decoded(row, marking(t, map[int]int{1: 0, 2: 1}).Versions)
	table := route.New([]config.Endpoint{*got})
	require.Empty(t, table.Match(nil, &outbox.Event{ID: "1", Type: "order.paid", Payload: []byte(`{"total": 7}`)}))
	require.Len(t, table.Match(nil, &outbox.Event{ID: "2", Type: "order.paid", Payload: []byte(`{"total": 700}`)}), 1)
}

func TestWhatBecomesOfWhatIsQueued(t *testing.T) {
	t.Parallel()
	for want, e := range map[string]Endpoint{
		"they wait until the endpoint returns, unless they are discarded (tailpost discard --state pending --endpoint shop)": {Action: Remove},
		"they go out":                                      {Action: Return, Settings: []Setting{{Name: "url"}}},
		"they go to the new URL":                           {Action: Change, Settings: []Setting{{Name: "subscriptions"}, {Name: "url"}}},
		"they go to the new URL ":                          {Action: Change, Settings: []Setting{{Name: "query"}}},
		"they go out, whatever the subscriptions say now":  {Action: Change, Settings: []Setting{{Name: "subscriptions"}, {Name: "version"}}},
		"they go out, whatever the subscriptions say now ": {Action: Change, Settings: []Setting{{Name: "tenant"}}},
		"they go out in the version that it pins now":      {Action: Change, Settings: []Setting{{Name: "ordering"}, {Name: "version"}}},
		"they follow the new ordering":                     {Action: Change, Settings: []Setting{{Name: "ordering"}}},
		"":                                                 {Action: Change, Settings: []Setting{{Name: "timeout"}}},
	} {
		e.ID = "shop"
		require.Equal(t, strings.TrimSpace(want), e.queued(), "%+v", e)
	}
}

// How an expression is laid out changes nothing, nor does the way in which Postgres writes JSON.
func TestWhichSettingsDiffer(t *testing.T) {
	t.Parallel()
	subscribe := func(e *config.Endpoint, events, where, body string) {
		s := config.Subscription{Events: []string{events}}
		var ofWhere, ofBody config.Diagnostics
		s.Where, ofWhere = config.CompileFilter(where, "test.hcl", 1)
		s.Body, ofBody = config.CompileBody(body, "test.hcl", 1)
		require.Empty(t, append(ofWhere, ofBody...))
		e.Subscriptions = []config.Subscription{s}
	}
	for name, test := range map[string]struct {
		change func(*config.Endpoint)
		want   []Setting
	}{
		"nothing":       {func(*config.Endpoint) {}, []Setting{}},
		"the layout":    {func(e *config.Endpoint) { subscribe(e, "order.*", "(event.data.a)  <  1", "{ a: event.id }") }, []Setting{}},
		"a description": {func(e *config.Endpoint) { e.Description = "of <shop>" }, []Setting{{"description", "", "of <shop>"}}},
		"a name":        {func(e *config.Endpoint) { e.Name = "" }, []Setting{{"name", "Shop", ""}}},
		"a tenant":      {func(e *config.Endpoint) { e.Tenant = "acme" }, []Setting{{"tenant", "", "acme"}}},
		"types":         {func(e *config.Endpoint) { subscribe(e, "user.*", "event.data.a < 1", "{ a = event.id }") }, []Setting{{subscriptionsName, subscribed("order.*", 1, "id"), subscribed("user.*", 1, "id")}}},
		"a filter":      {func(e *config.Endpoint) { subscribe(e, "order.*", "event.data.a < 2", "{ a = event.id }") }, []Setting{{subscriptionsName, subscribed("order.*", 1, "id"), subscribed("order.*", 2, "id")}}},
		"a body":        {func(e *config.Endpoint) { subscribe(e, "order.*", "event.data.a < 1", "{ a = event.key }") }, []Setting{{subscriptionsName, subscribed("order.*", 1, "id"), subscribed("order.*", 1, "key")}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := config.Endpoint{ID: "shop", Name: "Shop", URL: "https://a.example/", Timeout: time.Minute}
			subscribe(&e, "order.*", "event.data.a < 1", "{ a = event.id }")
			row := rowOf(t, &e)
			for _, text := range []*[]byte{&row.Policy, &row.Subscriptions} {
				var b bytes.Buffer
				require.NoError(t, json.Indent(&b, *text, "", "  "))
				*text = b.Bytes()
			}
			test.change(&e)
			got, err := compare(&e, row)
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
}

// subscribed is a subscription as people see it.
func subscribed(events string, least int, name string) string {
	return fmt.Sprintf(`[{"body":"{ a = event.%s }","events":[%q],"where":"event.data.a < %d"}]`, name, events, least)
}

func TestARowThatCannotBeReadDiffersInEverything(t *testing.T) {
	t.Parallel()
	e := config.Endpoint{ID: "shop", Tenant: "acme", URL: "https://a.example/"}
	row := rowOf(t, &e)
	row.Policy = []byte(`[]`)
	p := Plan{}
	require.NoError(t, p.wanted(&e, row))
	require.Equal(t, Change, p.Endpoints[0].Action)
	require.Contains(t, p.Endpoints[0].Settings, Setting{Name: "url", After: "https://a.example/"})
	require.Empty(t, route.New([]config.Endpoint{*p.Endpoints[0].before}).Match(nil, &outbox.Event{Type: "a", Tenant: "acme"}), "it got nothing")
}
