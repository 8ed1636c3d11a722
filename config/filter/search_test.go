package filter_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config/filter"
	"github.com/tailpost/tailpost/outbox"
)

func TestSearch_terms(t *testing.T) {
	t.Parallel()
	for src, want := range map[string][]string{
		`{ order = event.data.id }`:                                     {"order=9007199254740993"},
		`{ order = event.data.total, "x-kind" = event.headers.x-kind }`: {"order=100.50", "x-kind=a"},
		`{ a = event.data.name }`:                                       {`a=Zoë "Z" <b>`},
		`{ a = event.data.paid, b = event.created_at, c = event.key }`:  {"a=true", "b=2026-01-31T12:00:00Z"},
		`{ a = lower(event.type), b = "${event.data.customer.id}/1" }`:  {"a=order.created", "b=c1/1"},
		// What is no single value is not there.
		`{ a = event.data.customer, b = event.data.tags, c = event.data.nothing, d = event.data.absent }`: nil,
		`{ a = event.data.empty, b = event.data.items[1].sku }`:                                           {"b=B"},
		`{}`: nil,
	} {
		search, diags := filter.CompileSearch(src, "test.hcl", 3)
		require.Empty(t, diags, src)
		require.Equal(t, want, search.Terms(order()), src)
	}
	var none *filter.Search
	require.Nil(t, none.Terms(order()))
	require.Empty(t, none.Names())
}

func TestSearch_refuses(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]string{
		`event.data.order_id`: "Write an object",
		`{ a = event.id, b = event.id, c = event.id, d = event.id, e = event.id }`: "Name at most 4",
		`{ "a=b" = event.id }`:                           "Invalid search name",
		`{ "4" = event.id }`:                             "Invalid search name",
		`{ é = event.id }`:                               "Invalid search name",
		`{ (1) = event.id }`:                             "Computed attribute name",
		`{ (null) = event.id }`:                          "Computed attribute name",
		`{ a = `:                                         "Missing expression",
		`{ a = event.id, a = event.key }`:                "Repeated attribute",
		`{ a = event.data }`:                             "Object as a search value",
		`{ a = event.headers }`:                          "Object as a search value",
		`{ a = "x" }`:                                    "Constant search value",
		`{ a = env("TOKEN") }`:                           "Unknown function",
		`{ (event.id) = event.id }`:                      "Computed attribute name",
		`{ ` + strings.Repeat("a", 33) + ` = event.id }`: "Invalid search name",
	} {
		search, diags := filter.CompileSearch(src, "test.hcl", 3)
		require.True(t, diags.HasErrors(), src)
		require.Nil(t, search, src)
		require.Contains(t, diags.Error(), want, src)
	}
}

// A value is written as it is looked for, whatever is in it.
func TestTerm(t *testing.T) {
	t.Parallel()
	require.Equal(t, "order=42", filter.Term("order", "42"))
	require.Equal(t, "a=b=c\uFFFD", filter.Term("a", "b\x00=c\xff"))
	require.Equal(t, "a=b\uFFFD", filter.Term("a", "b\xff"))
	require.Equal(t, "a=b", filter.Term("a", "b\x00"))
	long := strings.Repeat("x", 119) + "ë" + "y"
	require.Equal(t, "a="+long[:119], filter.Term("a", long), "no character is cut in two")
	require.Equal(t, "a="+strings.Repeat("x", 120), filter.Term("a", strings.Repeat("x", 120)))
	for text, want := range map[string][2]string{
		"order=42": {"order", "42"}, "order=": {"order", ""}, "42": {"", "42"}, "4=2": {"", "4=2"}, "a=b=c": {"a", "b=c"}, "=b": {"", "=b"},
		"a b=c": {"", "a b=c"}, "order": {"", "order"}, "a_b-9=c": {"a_b-9", "c"}, "A=c": {"A", "c"}, "Z=c": {"Z", "c"}, "z=c": {"z", "c"},
		"a{=c": {"", "a{=c"}, "a.b=c": {"", "a.b=c"}, strings.Repeat("a", 32) + "=c": {strings.Repeat("a", 32), "c"},
	} {
		name, value := filter.SplitTerm(text)
		require.Equal(t, want, [2]string{name, value}, text)
	}
}

// An attempt must not keep a large payload in memory for a value of it.
func TestSearch_ownsItsTerms(t *testing.T) {
	t.Parallel()
	search, diags := filter.CompileSearch(`{ a = event.data.a }`, "test.hcl", 1)
	require.Empty(t, diags)
	e := &outbox.Event{Payload: []byte(`{"a":"xyz"}`)}
	terms := search.Terms(e)
	copy(e.Payload, "###########")
	require.Equal(t, []string{"a=xyz"}, terms)
}
