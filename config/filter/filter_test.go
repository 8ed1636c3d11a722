package filter_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/zclconf/go-cty/cty"

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
  "items": [{"sku": "A", "qty": 2, "total": 1, "note": "\"Z\" b"}, {"sku": "B", "qty": 1, "total": 2, "parts": [[1, 2], [3]]}],
  "pr\u00e9nom": "Ana", "a.b": {"c d": 1}, "esc\"aped": 2
}`),
	}
}

func TestFilter(t *testing.T) {
	t.Parallel()
	const yes, no, miss = "yes", "no", "no, missing"
	const yesMissed, noMissed = "yes, missing", miss
	const met = `contains([event.data.nope, "acme"], event.tenant)`
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
		`"2026-01-31T13:00:00+01:00" <= event.created_at`: yes,
		`event.created_at == event.created_at`:            yes,

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
		`event.data.total <= 100.5 && event.data.total >= 100.5`:        yes,
		`event.data.total < 100.5 || event.data.total > 100.5`:          no,
		`event.data.total <= 100 || event.data.total >= 101`:            no,
		`event.data.total + 1 == 101.5`:                                 yes,
		`event.data.total + event.data.price > 1`:                       miss,
		`event.data.price + event.data.total > 1`:                       miss,
		`tonumber(event.data.total * 2) == 201`:                         yes,
		`can(tonumber(event.data.paid))`:                                no,
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
		`event.data.items[0].note == "\"Z\" b"`:                                      yes,
		`startswith(event.type, event.data.total)`:                                   miss,
		`matches(event.data.total, "1")`:                                             miss,
		`startswith(event.data.total, "1")`:                                          miss,

		// Lists.
		`contains(["order.created", "order.paid"], event.type)`: yes,
		`contains((["acme"]), event.tenant)`:                    yes,
		`contains(event.data.total, "1")`:                       miss,
		`contains(event.data.nope, "1")`:                        miss,
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
		`event.data.void == true`:                               no,
		`event.data.paid == event.data.void`:                    no,
		`event.data.void == event.data.empty`:                   no,
		`(event.data.paid ? 1 : "a") == "a"`:                    no,
		`event.data.paid > event.data.void`:                     miss,
		`(event.data.paid ? 1 : "a") == 1`:                      yes,
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
		`!(event.data.total == event.data.nope)`:                   miss,
		`!(event.data.void || event.data.nope)`:                    miss,
		`!(event.data.nope || event.data.void)`:                    miss,
		`!(event.data.nope && event.data.paid)`:                    miss,
		`!contains(["a"], event.data.nope)`:                        miss,
		`!contains(["a"], event.data.customer)`:                    miss,
		`!contains(event.data.tags, event.data.nope)`:              miss,
		`!contains(event.data.tags, event.data.customer)`:          miss,
		`(coalesce(null) == 1 || 1 == 1) == event.data.paid`:       yes,

		// What was missing on the way to a value is not forgotten, whatever is made of it.
		met:                                          yesMissed,
		"!" + met:                                    noMissed,
		met + ` && event.data.paid`:                  yesMissed,
		met + ` == event.data.paid`:                  yesMissed,
		`event.data.paid == ` + met:                  yesMissed,
		met + ` ? event.data.paid : false`:           yesMissed,
		"!" + met + ` ? false : event.data.paid`:     yesMissed,
		`"${` + met + `}!" == "true!"`:               yesMissed,
		`lower("${` + met + `}!") == "true!"`:        yesMissed,
		`matches("${` + met + `}!", "^t")`:           yesMissed,
		`startswith("${` + met + `}!", event.type)`:  noMissed,
		`startswith(event.type, "${` + met + `}!")`:  noMissed,
		`contains("${` + met + `}!", "rue")`:         yesMissed,
		`contains("true!", "${` + met + `}!")`:       yesMissed,
		`contains(["true!"], "${` + met + `}!")`:     yesMissed,
		`length("${` + met + `}!") > 4`:              yesMissed,
		`length("${` + met + `}!") + 1 == 6`:         yesMissed,
		`1 + length("${` + met + `}!") == 6`:         yesMissed,
		`-length("${` + met + `}!") == -5`:           yesMissed,
		`coalesce("${` + met + `}!", "") == "true!"`: yes,
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
	for _, src := range []string{"", "event.tenant ==", "event.data[true] == 1", "event.data.a > 1e5000000", "event.data.a > 0." + strings.Repeat("1", 200)} {
		_, diags = filter.Compile(src, "", 0)
		require.True(t, diags.HasErrors(), src)
	}
}

// A mistake is told once, and for what it is.
func TestFilterRefusesWhatItCannotMean(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]string{
		`event == 1`:                     "Whole event: ",
		`event[0] == 1`:                  "Index of the event: ",
		`event.extra[0] == 1`:            "Index of the extra columns: ",
		`event.data[null] == 1`:          "Unsupported index: ",
		`event.data[4294967296] == 1`:    "Unsupported index: ",
		`event.data == 1`:                "Comparison of an object: ",
		`event.data.a == event.headers`:  "Comparison of an object: ",
		`event.headers == event.data.a`:  "Comparison of an object: ",
		`regex(event.type, "a")`:         `Unknown function: .*Did you mean "matches"\?$`,
		`matches(event.type, 1)`:         "Computed pattern: ",
		`matches(event.type, event.key)`: "Computed pattern: ",

		`true`:                                "Constant filter: ",
		`"event.data.a > 1"`:                  "Quoted filter: ",
		`event.tenant == null`:                "Comparison with null: ",
		`event.tenant.a == 1`:                 "Attribute of a single value: ",
		`"${event.headers}x" == "a"`:          "Object or list in a string: ",
		`coalesce(event.data.tags...) == "a"`: "Wrong number of arguments: ",
		`tonumber(event.type == 5) > 1`:       "Comparison of different kinds: ",
		`event.type`:                          "Wrong kind of value: A filter must be true or false, not a string",
		`!event.type`:                         "Wrong kind of value: What stands behind ! must be true or false, not a string",
		`-event.type > 1`:                     "Wrong kind of value: What stands behind - must be a number, not a string",
		`event.data.a + 1`:                    "Wrong kind of value: A filter must be true or false, not a number",
		`length(1) > 1`:                       "Wrong kind of value: ",
		`tonumber(true) > 1`:                  "Wrong kind of value: ",
		`event.data.a ? event.headers : 1`:    "Condition with an object: ",
		`event.data.a ? 1 : event.headers`:    "Condition with an object: ",
		`event.id == 5`:                       "Comparison of different kinds: ",
		`event.type == 5`:                     "Comparison of different kinds: ",
		`event.key == 5`:                      "Comparison of different kinds: ",
		`event.tenant == 5`:                   "Comparison of different kinds: ",
		`lower(event.type) == 1`:              "Comparison of different kinds: ",
		`(event.data.a ? 1 : 2) == "a"`:       "Comparison of different kinds: ",
		`(event.data.a ? null : 2) == "a"`:    "Comparison of different kinds: ",
		`coalesce(event.key, "a") == 1`:       "Comparison of different kinds: ",
		`contains(["a", 1], event.type)`:      "Comparison of different kinds: ",
		`event.created_at > true`:             "Comparison with a time: ",
		`true < event.created_at`:             "Comparison with a time: ",
		`event.data.a < null`:                 "Order of values that have none: ",
		`true < false`:                        "Order of values that have none: ",
		`(event.data.a > true) == 1`:          "Order of values that have none: ",
		`(evnt.a > 1) == 1`:                   "Unknown variable: ",
		`!evnt.a == 1`:                        "Unknown variable: ",
		`contains([evnt.a], event.type) == 1`: "Unknown variable: ",
		`contains(["a"], evnt.a) == 1`:        "Unknown variable: ",
		`length(evnt.a) && event.data.b`:      "Unknown variable: ",

		`(event.type + 1) && event.data.b`:                    "Wrong kind of value: The left side must be a number",
		`(1 + event.type) && event.data.b`:                    "Wrong kind of value: The right side must be a number",
		`(event.data.a ? 1 : event.type + 1) && event.data.b`: "Wrong kind of value: The left side must be a number",
		`(event.data.a ? event.type + 1 : 1) && event.data.b`: "Wrong kind of value: The left side must be a number",
		`event.type ? event.data.b : false`:                   "Wrong kind of value: A condition must be true or false",
		`length(event.type + 1) > 1`:                          "Wrong kind of value: The left side must be a number",
		`lower(event.type + 1) && event.data.b`:               "Wrong kind of value: The left side must be a number",
		`startswith(event.type, 1) == 1`:                      "Wrong kind of value: The second argument must be a string",
		`coalesce(event.type + 1, 1) && event.data.b`:         "Wrong kind of value: The left side must be a number",
	} {
		f, diags := filter.Compile(src, "", 1)
		require.Nil(t, f, src)
		require.Len(t, diags, 1, "%s: %v", src, diags)
		require.Regexp(t, "^"+want, diags[0].Summary+": "+diags[0].Detail, src)
	}
}

func TestWholeNumber(t *testing.T) {
	t.Parallel()
	for n, want := range map[float64]bool{
		0: true, -1: true, 1.5: false, math.MaxInt32: true, math.MaxInt32 + 1: false, math.MinInt32: true, math.MinInt32 - 1: false, 1e300: false,
	} {
		got, ok := filter.WholeNumber(cty.NumberFloatVal(n))
		require.Equal(t, want, ok, n)
		require.True(t, !ok || float64(got) == n, n)
	}
	_, ok := filter.WholeNumber(cty.StringVal("1"))
	require.False(t, ok)
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
