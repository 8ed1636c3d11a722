package api

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
)

func TestTheFailedPartOfAFilterIsNamed(t *testing.T) {
	t.Parallel()
	ev := &outbox.Event{ID: "1", Type: "order.created", Key: "k", Payload: json.RawMessage(`{"a": 1, "b": {"c": ["x", "y"]}, "s": "&& event.data.a", "l": "` + strings.Repeat("long", 30) + `"}`)}
	for source, want := range map[string]string{
		`event.data.a == 1 && event.key == "other"`:          `event.key == "other" is false: event.key is "k"`,
		`event.data.b.c[1] == "x"`:                           `event.data.b.c[1] == "x" is false: event.data.b.c[1] is "y"`,
		`event.data.a > 1 || event.data.a < 1`:               `event.data.a > 1 || event.data.a < 1 is false: event.data.a is 1`,
		`event.data.s == "a && b"`:                           `event.data.s == "a && b" is false: event.data.s is "&& event.data.a"`,
		`(event.data.a == 1 && event.data.a == 2)`:           `(event.data.a == 1 && event.data.a == 2) is false: event.data.a is 1`,
		`event.data.a == 1 && event.data.s == "a && b"`:      `event.data.s == "a && b" is false: event.data.s is "&& event.data.a"`,
		`event.data.a == 1 && event.data.nothing == "there"`: `event.data.nothing == "there" is not true, for want of a value: event.data.nothing is null`,
		// What stands beside the ands is no part by itself.
		`event.data.a == 1 && event.data.a == 2 ? true : false`:       `event.data.a == 1 && event.data.a == 2 ? true : false is false: event.data.a is 1`,
		`event.data.a == 1 && event.data.a == 3 || event.data.a == 2`: `event.data.a == 1 && event.data.a == 3 || event.data.a == 2 is false: event.data.a is 1`,
		`event.data.a == 1 /* one */ && event.data.a == 2`:            `event.data.a == 1 /* one */ && event.data.a == 2 is false: event.data.a is 1`,
		`(event.data.a == 1) && event.data.a == 2`:                    `event.data.a == 2 is false: event.data.a is 1`,
		`event.data.s != "\"" && event.data.a == 2`:                   `event.data.a == 2 is false: event.data.a is 1`,
		`event.data.l == "short"`:                                     `event.data.l == "short" is false: event.data.l is "` + strings.Repeat("long", 30)[:79] + `…`,
	} {
		filter, diags := config.CompileFilter(source, "where", 1)
		require.Empty(t, diags, source)
		ok, detail := tryFilter(filter, ev, true)
		require.False(t, ok)
		require.Equal(t, want, detail)
	}
	filter, diags := config.CompileFilter(`event.data.a == 1`, "where", 1)
	require.Empty(t, diags)
	ok, _ := tryFilter(filter, ev, true)
	require.True(t, ok)
}
