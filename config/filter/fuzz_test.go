package filter_test

import (
	"encoding/json"
	"errors"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config/filter"
	"github.com/tailpost/tailpost/outbox"
)

// FuzzFilter runs any expression over any payload: it never panics, says the same twice, and what a
// body makes of a JSON payload is JSON.
func FuzzFilter(f *testing.F) {
	payload := order().Payload
	for _, src := range []string{
		`event.data.total > 100 && event.tenant != "test"`,
		`!(event.data.items[1].parts[1][0] == 3) || contains(event.data.tags, "vip")`,
		`coalesce(event.data.nope, -1.5e3) % 7 <= length(event.data.items) ? event.data.paid : can(event.headers.x)`,
		`matches("${event.data.name}-${event.type}", "^[a-z]+$") && event.created_at > "2026-01-01T00:00:00Z"`,
		`tonumber(event.data["price"]) * 12345678901234567 / 3 != event.data.huge`,
		`{ a = event.data, b = [event.headers, upper(event.key), null], c = event.data.x ? {} : [1] }`,
		`event.data[*].x == [for a in b : a]`,
	} {
		f.Add(src, []byte(payload))
	}
	f.Add(`event.data.a == 1`, []byte(`{"a":`))
	f.Add(`event.data`, []byte("{\"a\":{\"\xff\":0}}"))
	f.Fuzz(func(t *testing.T, src string, payload []byte) {
		e := &outbox.Event{
			ID: "1", Type: "order.created", Tenant: "acme", Payload: payload, Headers: map[string]string{"x": "y"},
		}
		if where, diags := filter.Compile(src, "fuzz.hcl", 1); !diags.HasErrors() {
			ok, missing := where.Match(e)
			okAgain, missingAgain := where.Match(e)
			require.Equal(t, ok, okAgain)
			require.Equal(t, missing, missingAgain)
		}
		if body, diags := filter.CompileBody(src, "fuzz.hcl", 1); !diags.HasErrors() {
			got, err := body.Append(nil, e)
			if err == nil {
				require.True(t, json.Valid(got), "%s", got)
			}
			// encoding/json takes strings that are not UTF-8, which RFC 8259 (8.1) does not.
			isJSON := json.Valid(payload) && utf8.Valid(payload)
			require.True(t, err == nil || errors.Is(err, filter.ErrTooLarge) || !isJSON)
		}
	})
}
