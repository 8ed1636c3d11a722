package payload_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tailpost/tailpost/outbox/payload"
)

func TestAppendString(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": `""`, "a b": `"a b"`, `a"b\c`: `"a\"b\\c"`, "\n\r\t": `"\n\r\t"`, "\x00\x1f\x7f": `"\u0000\u001f` + "\x7f" + `"`, "<&>/": `"<&>/"`, "é日😀": `"é日😀"`,
		"a\xffb": "\"a\uFFFDb\"",
	} {
		require.Equal(t, "x"+want, string(payload.AppendString([]byte("x"), text)), "%q", text)
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		var back string
		require.NoError(t, json.Unmarshal(payload.AppendString(nil, text), &back))
		require.Equal(t, text, back)
	})
}
