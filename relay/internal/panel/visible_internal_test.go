package panel

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAPageNamesWhatDoesNotShow, keeps what runs from right to left apart, and leaves tags and what
// is sent back alone.
func TestAPageNamesWhatDoesNotShow(t *testing.T) {
	t.Parallel()
	mark := func(name, raw string) string {
		return `<span class="unseen" data-name="` + name + `">` + raw + `</span>`
	}
	for in, want := range map[string]string{
		"<p>a\u202eb</p>":                        "<p>a" + mark("U+202E", "\u202e") + "b</p>",
		"<p>\u2066x\u2069\u200b\x01\u0085":       "<p>" + mark("U+2066", "\u2066") + "x" + mark("U+2069", "\u2069") + mark("U+200B", "\u200b") + mark("U+0001", "\x01") + mark("U+0085", "\u0085"),
		"<p>אבג · 42</p>":                        "<p><bdi>אבג</bdi> · 42</p>",
		"<p>1 א 2 ב\u200f 3":                     "<p>1 <bdi>א 2 ב</bdi>" + mark("U+200F", "\u200f") + " 3",
		"<title>a\u202eb</title><p>\u202e":       "<title>a‹U+202E›b</title><p>" + mark("U+202E", "\u202e"),
		"<option>a\u202eb</option>":              "<option>a‹U+202E›b</option>",
		"<textarea name=\"x\">\u202e</textarea>": "<textarea name=\"x\">\u202e</textarea>",
		"<a title=\"1>\u202e2\" href='>'>x</a>":  "<a title=\"1>\u202e2\" href='>'>x</a>",
		"<p>\n\tplain é 中</p>":                   "<p>\n\tplain é 中</p>",
	} {
		require.Equal(t, want, string(visible([]byte(in))), "%q", in)
	}
	require.NotContains(t, strings.ReplaceAll(string(visible([]byte("<h1>\u202e</h1>"))), mark("U+202E", "\u202e"), ""), "\u202e")
}
