package filter_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config/filter"
	"github.com/tailpost/tailpost/outbox"
)

func compileBody(tb testing.TB, src string) *filter.Body {
	tb.Helper()
	b, diags := filter.CompileBody(src, "test.hcl", 3)
	require.Empty(tb, diags, src)
	return b
}

func TestBody(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]string{
		`{ order = event.data.id, total = event.data.total }`:       `{"order":9007199254740993,"total":100.50}`,
		`{ huge = event.data.huge, tiny = event.data.tiny }`:        `{"huge":123456789012345678901234567890,"tiny":1e-400}`,
		`{ name = event.data.name }`:                                `{"name":"Zoë \"Z\" <b>"}`,
		`{ "a b" = event.data.nope, c = event.data.nothing }`:       `{"a b":null,"c":null}`,
		`[event.id, event.type, event.key, event.created_at]`:       `["e1","order.created","","2026-01-31T12:00:00Z"]`,
		`{ address = event.data.customer.address }`:                 `{"address":{"city": "Wien", "zip": 1010}}`,
		`{ headers = event.headers, kind = event.headers.X-Kind }`:  `{"headers":{"traceparent":"00-1","x-kind":"a"},"kind":"a"}`,
		`{ region = event.extra.region, n = event.extra.count }`:    `{"region":"eu","n":9007199254740993}`,
		`{ flags = event.extra.flags, none = event.extra.none }`:    `{"flags":{"beta":[1,"x"]},"none":null}`,
		`{ text = "in ${event.extra.region}" }`:                     `{"text":"in eu"}`,
		`{ all = event.extra }`:                                     `{"all":{"region":"eu","count":9007199254740993,"live":true,"none":null,"flags":{"beta":[1,"x"]}}}`,
		`{ a = { b = [1, 2.50, true, null, "<&>\n\u0001"] } }`:      `{"a":{"b":[1,2.5,true,null,"<&>\n\u0001"]}}`,
		`{ text = "Order ${event.data.id} of ${event.tenant}" }`:    `{"text":"Order 9007199254740993 of acme"}`,
		`{ text = "Order ${event.data.nope}" }`:                     `{"text":null}`,
		`{ v = coalesce(event.data.nope, event.data.customer.id) }`: `{"v":"c1"}`,
		`{ v = coalesce(event.data.nope, event.data.total) }`:       `{"v":100.50}`,
		`{ v = coalesce(event.data.nope, event.data.tags) }`:        `{"v":["new", "vip", 3, null, {"a": 1}]}`,
		`{ sum = event.data.items[0].qty * 1000000000000000000 }`:   `{"sum":2000000000000000000}`,
		`{ big = event.data.total > 100, not = !event.data.paid }`:  `{"big":true,"not":false}`,
		`event.data.paid ? { a = 1 } : [2]`:                         `{"a":1}`,
		`event.data.void ? { a = 1 } : [2]`:                         `[2]`,
		`event.data.nope == 1 ? { a = 1 } : [2]`:                    `null`,
		`({ a = (event.data.void) })`:                               `{"a":false}`,
		`event.data.customer`:                                       `{"id": "c1", "address": {"city": "Wien", "zip": 1010}}`,
		`{}`:                                                        `{}`,
		`[]`:                                                        `[]`,
	} {
		got, err := compileBody(t, src).Append([]byte("x"), order())
		require.NoError(t, err, src)
		require.Equal(t, "x"+want, string(got), src)
		require.True(t, json.Valid(got[1:]), src)
	}
}

func TestBodyOfWholePayload(t *testing.T) {
	t.Parallel()
	b := compileBody(t, `{ data = event.data }`)
	got, err := b.Append([]byte("x"), &outbox.Event{Payload: []byte(" {\"a\" : 1.0}\n")})
	require.NoError(t, err)
	require.Equal(t, `x{"data":{"a" : 1.0}}`, string(got))
	got, err = b.Append(nil, &outbox.Event{})
	require.NoError(t, err)
	require.Equal(t, `{"data":null}`, string(got))
	got, err = compileBody(t, `{ extra = event.extra, headers = event.headers }`).Append(nil, &outbox.Event{})
	require.NoError(t, err)
	require.JSONEq(t, `{"extra":{},"headers":{}}`, string(got), "receivers find an object there, be it empty")
}

func TestBodyOfBrokenPayloadFails(t *testing.T) {
	t.Parallel()
	b := compileBody(t, `{ a = event.data.a }`)
	for _, payload := range []string{`{"a":nope}`, `{"a":{"b"}}`, `{"a":[1,]}`, `{"a":"x`, `{"a":"` + "\n" + `"}`, `{"a":[1`} {
		got, err := b.Append([]byte("x"), &outbox.Event{Payload: []byte(payload)})
		require.Error(t, err, payload)
		require.NotContains(t, err.Error(), "nope")
		require.Equal(t, "x", string(got))
	}
}

// A body may be as large as it may be, and not a byte larger.
func TestBodyAsLargeAsItMayBe(t *testing.T) {
	t.Parallel()
	most := filter.MostOf(&outbox.Event{})
	for src, around := range map[string]string{`event.extra`: `{"a":""}`, `event.extra.a`: `""`, `[event.extra.a]`: `[""]`, `{ b = event.extra.a }`: `{"b":""}`} {
		b := compileBody(t, src)
		for over, want := range []error{nil, filter.ErrTooLarge} {
			text := strings.Repeat("x", most-len(around)+over)
			_, err := b.Append([]byte("before"), &outbox.Event{Extra: []byte(`{"a":"` + text + `"}`)})
			require.ErrorIs(t, err, want, "%s, %d over", src, over)
		}
	}
}

func TestBodyRefusesWhatItCannotWrite(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]string{
		`{ (1) = event.id }`:        "Computed attribute name",
		`{ (null) = event.id }`:     "Computed attribute name",
		`{ (event.id) = event.id }`: "Computed attribute name",
		`{ a = 1, a = 2 }`:          "Repeated attribute",
		`event.type ? 1 : 2`:        "Wrong kind of value",
		`{ a = event.typ }`:         "Unknown event attribute",
		`{ a = `:                    "Missing expression",
	} {
		b, diags := filter.CompileBody(src, "", 1)
		require.Nil(t, b, src)
		require.Len(t, diags, 1, src)
		require.Equal(t, want, diags[0].Summary, src)
	}
}

// TestBody_ofAPayloadThatIsNoJSON: nothing that it has is what the application wrote, not even what
// stands before the fault. A body that does not read it needs none.
func TestBody_ofAPayloadThatIsNoJSON(t *testing.T) {
	t.Parallel()
	reads, whole, not := compileBody(t, `{ id = event.data.id }`), compileBody(t, `event.data`), compileBody(t, `{ id = event.id }`)
	for text, says := range map[string]string{
		`not json`: "payload is not valid JSON", ``: "payload is not valid JSON", `{"id":7,"total":{"amount":9.50}`: "payload is not valid JSON",
		`{"id":7,}`: "payload is not valid JSON", `{"id":7} trailing`: "payload is not valid JSON", "{\"id\":7}\x00": "payload is not valid JSON",
		"{\"id\":7,\"name\":\"\xff\"}": "payload is not valid UTF-8, which JSON must be",
	} {
		e := &outbox.Event{ID: "e1", Payload: json.RawMessage(text)}
		for _, b := range []*filter.Body{reads, whole} {
			_, err := b.Append(nil, e)
			require.EqualError(t, err, "build body: "+says, text)
		}
		template, diags := filter.CompileTemplate("/${event.id}/${event.data.id}", "test.hcl", 1)
		require.Empty(t, diags)
		value, err := template.Parts()[1].Value(e)
		require.NoError(t, err)
		require.Equal(t, "e1", value)
		_, err = template.Parts()[3].Value(e)
		require.ErrorIs(t, err, filter.ErrNoText)
		require.EqualError(t, err, "event.data.id is in a payload that is not valid JSON", "no address is made of it either")
		got, err := not.Append(nil, e)
		require.NoError(t, err)
		require.JSONEq(t, `{"id":"e1"}`, string(got))
	}
	got, err := reads.Append(nil, &outbox.Event{ID: "e1"})
	require.NoError(t, err, "SQL NULL is null")
	require.JSONEq(t, `{"id":null}`, string(got))
}
