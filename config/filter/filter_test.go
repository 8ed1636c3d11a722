package filter_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config/filter"
	"github.com/tailpost/tailpost/outbox"
)

func compileFilter(tb testing.TB, src string) *filter.Filter {
	tb.Helper()
	f, diags := filter.Compile(src, "test.hcl", 3)
	require.Empty(tb, diags, src)
	return f
}

// order is the event of the filter tests.
func order() *outbox.Event {
	return &outbox.Event{
		ID: "e1", Type: "order.created", Tenant: "acme", CreatedAt: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC),
		Headers: map[string]string{"x-kind": "a", "traceparent": "00-1"},
		Extra:   []byte(`{"region":"eu","count":9007199254740993,"live":true,"none":null,"flags":{"beta":[1,"x"]}}`),
		Payload: []byte(`{
  "id": 9007199254740993, "total": 100.50, "price": "19.99", "tiny": 1e-400, "huge": 123456789012345678901234567890,
  "name": "Zoë \"Z\" <b>", "paid": true, "void": false, "nothing": null, "empty": "",
  "tags": ["new", "vip", 3, null, {"a": 1}], "none": [], "customer": {"id": "c1", "address": {"city": "Wien", "zip": 1010}},
  "items": [{"sku": "A", "qty": 2, "total": 1}, {"sku": "B", "qty": 1, "total": 2, "parts": [[1, 2], [3]]}],
  "pr\u00e9nom": "Ana", "a.b": {"c d": 1}, "esc\"aped": 2
}`),
	}
}

func TestFilter(t *testing.T) {
	t.Parallel()
	const yes, no, miss = "yes", "no", "no, missing"
	const yesMissed = "yes, missing"
	for src, want := range map[string]string{
		`event.tenant == "acme"`:                          yes,
		`event.key == ""`:                                 yes,
		`event.type != "order.created"`:                   no,
		`startswith(event.type, "order.")`:                yes,
		`endswith(event.type, ".paid")`:                   no,
		`event.id == "e1"`:                                yes,
		`event.headers["X-Kind"] == "a"`:                  yes,
		`event.headers.traceparent == "00-1"`:             yes,
		`event.headers.other == "a"`:                      miss,
		`event.extra.region == "eu"`:                      yes,
		`event.extra["region"] == "us"`:                   no,
		`event.extra.count > 9007199254740992`:            yes,
		`event.extra.live`:                                yes,
		`event.extra.none == "x"`:                         miss,
		`event.extra.none == null`:                        yes,
		`event.extra.other == 1`:                          miss,
		`event.extra.flags.beta[1] == "x"`:                yes,
		`contains(event.extra.flags.beta, 1)`:             yes,
		`can(event.extra.region)`:                         yes,
		`event.created_at >= "2026-01-31T13:00:00+01:00"`: yes,
		`event.created_at < "2026-01-31T12:00:00Z"`:       no,

		// Numbers, however many digits.
		`event.data.id == 9007199254740993`:                             yes,
		`event.data.id == 9007199254740992`:                             no,
		`event.data.id > 9007199254740992`:                              yes,
		`event.data.huge == 123456789012345678901234567890`:             yes,
		`event.data.huge > 123456789012345678901234567889`:              yes,
		`event.data.huge < 123456789012345678901234567890.5`:            yes,
		`event.data.huge > -123456789012345678901234567890`:             yes,
		`-event.data.total < -100`:                                      yes,
		`event.data.total == 100.5`:                                     yes,
		`event.data.total == "100.5"`:                                   no,
		`event.data.total == ""`:                                        no,
		`event.data.total > 100 && event.data.total <= 1e3`:             yes,
		`event.data.tiny > 0`:                                           yes,
		`tonumber(event.data.price) * 3 == 59.97`:                       yes,
		`event.data.items[0].qty + event.data.items[1].qty == 3`:        yes,
		`(event.data.total - 0.5) / 8 == 12.5`:                          yes,
		`event.data.id % 10 == 3`:                                       yes,
		`event.data.total / 0 > 1`:                                      miss,
		`tonumber(event.data.name) > 1`:                                 miss,
		`length(event.data.items) == 2 && length(event.data.none) == 0`: yes,
		`length(event.data.name) == 11`:                                 yes,
		`length(event.data.customer) == 2`:                              yes,
		`length(event.data.items[1].parts) == 2`:                        yes,

		// Strings.
		`event.data.name == "Zoë \"Z\" <b>"`:                                         yes,
		`lower(event.data.customer.id) == "c1"`:                                      yes,
		`upper(event.data.customer.id) == "C1"`:                                      yes,
		`matches(event.type, "^order\\.")`:                                           yes,
		`matches(event.data.name, "^order\\.")`:                                      no,
		`event.data.customer.address.city > "Wie"`:                                   yes,
		`contains(event.data.name, "<b>")`:                                           yes,
		`"${event.type}/${event.data.customer.address.zip}" == "order.created/1010"`: yes,
		`event.data["a.b"]["c d"] == 1`:                                              yes,
		`event.data["prénom"] == "Ana"`:                                              yes,
		`event.data["esc\"aped"] == 2`:                                               yes,
		`event.data.empty == ""`:                                                     yes,

		// Lists.
		`contains(["order.created", "order.paid"], event.type)`: yes,
		`contains([1, 2], event.data.customer.address.zip)`:     no,
		`contains(event.data.tags, "vip")`:                      yes,
		`contains(event.data.tags, 3)`:                          yes,
		`contains(event.data.tags, "old")`:                      no,
		`contains(event.data.none, "old")`:                      no,
		`contains(event.data.customer, "old")`:                  miss,
		`event.data.items[1].sku == "B"`:                        yes,
		`event.data.items[2].sku == "B"`:                        miss,
		`event.data.items[1].parts[1][0] == 3`:                  yes,

		// Truth.
		`event.data.paid`:                                       yes,
		`!event.data.void`:                                      yes,
		`event.data.paid && !event.data.void`:                   yes,
		`event.data.void || event.data.paid`:                    yes,
		`event.data.paid ? event.data.void : true`:              no,
		`event.data.paid == true`:                               yes,
		`event.data.name`:                                       miss,
		`event.data.total > 1 ? event.tenant == "acme" : false`: yes,

		// Kinds that differ are not equal, and have no order.
		`event.data.total == "100.50"`: no,
		`event.data.total != "100.50"`: yes,
		`event.data.name > 5`:          miss,
		`event.data.customer == 5`:     miss,

		// Missing is neither true nor false, and stays so through negation.
		`event.data.nope == 1`:                                     miss,
		`event.data.nope != 1`:                                     miss,
		`!(event.data.nope == 1)`:                                  miss,
		`!(event.data.nope != 1)`:                                  miss,
		`event.data.nothing == 1`:                                  miss,
		`event.data.nothing != 1`:                                  miss,
		`event.data.nope`:                                          miss,
		`!event.data.nope`:                                         miss,
		`event.data.nope.deeper[0] > 1`:                            miss,
		`event.data.total.deeper > 1`:                              miss,
		`event.data[0] == 1`:                                       miss,
		`event.data.tags.name == 1`:                                miss,
		`event.data.nope == 1 || event.tenant == "acme"`:           yesMissed,
		`event.tenant == "acme" || event.data.nope == 1`:           yes,
		`event.data.nope == 1 && event.tenant == "other"`:          miss,
		`!(event.data.nope == 1 && event.tenant == "x")`:           yesMissed,
		`event.tenant == "acme" && event.data.nope == 1`:           miss,
		`event.data.nope == 1 && event.tenant == "acme"`:           miss,
		`!(event.tenant == "acme" && event.data.nope == 1)`:        miss,
		`event.data.nope == 1 || event.tenant == "x"`:              miss,
		`event.tenant == "x" || event.data.nope == 1`:              miss,
		`event.data.void || event.data.nope`:                       miss,
		`event.data.nope == null`:                                  yes,
		`event.data.nothing == null`:                               yes,
		`null != event.data.total`:                                 yes,
		`event.data.total == null`:                                 no,
		`can(event.data.customer.id)`:                              yes,
		`can(event.data.customer.nope)`:                            no,
		`coalesce(event.data.nope, event.data.total) > 99`:         yes,
		`coalesce(event.data.nope, "none") == "none"`:              yes,
		`coalesce(event.data.nope, event.data.nothing) == "none"`:  miss,
		`event.data.nope == 1 ? event.data.paid : event.data.paid`: miss,
		`tostring(event.data.total) == "100.50"`:                   yes,
		`tostring(event.data.paid) == "true"`:                      yes,
		`tostring(event.created_at) == "2026-01-31T12:00:00Z"`:     yes,
		`contains([event.data.nope, "acme"], event.tenant)`:        yesMissed,
	} {
		ok, missing := compileFilter(t, src).Match(order())
		got := no
		if ok {
			got = yes
		}
		if missing {
			got += ", missing"
		}
		require.Equal(t, want, got, src)
	}
}

func TestFilterOfPayloadsThatAreNoObject(t *testing.T) {
	t.Parallel()
	f := compileFilter(t, `event.data.a == 1`)
	for _, payload := range []string{``, ` `, `null`, `5`, `"a"`, `[`, `{`, `{"a`, `{"a"`, `{"a":`, `{"a": }`, `{"a":1e}`, `{"a":"\`, `{"b":[`, `{"b":{"a":1}`, "\x00"} {
		ok, missing := f.Match(&outbox.Event{Payload: []byte(payload)})
		require.False(t, ok, payload)
		require.True(t, missing, payload)
	}
	ok, missing := f.Match(&outbox.Event{})
	require.False(t, ok)
	require.True(t, missing)
}

func TestFilterDiagnosticsPointIntoTheExpression(t *testing.T) {
	t.Parallel()
	_, diags := filter.Compile("event.tenant == \"a\" &&\n  event.dta == 1", "shop.hcl", 7)
	require.Len(t, diags, 1)
	require.Equal(t, "shop.hcl", diags[0].File)
	require.Equal(t, 8, diags[0].Line)
	require.Equal(t, 8, diags[0].Column)
	require.Equal(t, "  event.dta == 1", diags[0].Snippet)
	for _, src := range []string{"", "event.tenant ==", "event.data[true] == 1", "event[0] == 1", "event == 1", "event.data == 1", "event.data.a > 1e5000000", "event.data.a > 0." + strings.Repeat("1", 200)} {
		_, diags = filter.Compile(src, "", 0)
		require.True(t, diags.HasErrors(), src)
	}
}

func TestFilterAllocatesNothing(t *testing.T) { //nolint:paralleltest // testing.AllocsPerRun counts for the whole process
	e := order()
	for _, src := range []string{
		`event.type == "order.created" && event.tenant != "test" && startswith(event.key, "k")`,
		`contains(["acme", "other"], event.tenant)`,
		`event.data.total > 100 && event.data.customer.address.city == "Wien"`,
	} {
		f := compileFilter(t, src)
		require.Zero(t, testing.AllocsPerRun(100, func() { f.Match(e) }), src)
	}
}
