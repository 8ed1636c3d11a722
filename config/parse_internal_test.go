package config

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config/diag"
)

// longFile is a file of several pieces: ordinary blocks, with some other text between them in two
// places.
func longFile(between string) string {
	var s strings.Builder
	for n := 0; s.Len() < 2*pieceSize || n < 1500; n++ {
		if n == 300 || n == 900 {
			s.WriteString(between)
		}
		fmt.Fprintf(&s, "endpoint \"e%d\" {\n  url = \"https://example.com/%d\"\n  subscription {\n    events = [\"a\"]\n  }\n}\n", n, n)
	}
	return s.String()
}

// A file that is parsed in pieces yields what it does in one go, at the same places, even where a
// piece would end within a heredoc, a comment, or a block whose lines are not indented.
func TestParseBody_readsAFileInPiecesAsAtOnce(t *testing.T) {
	t.Parallel()
	filler := strings.Repeat("x", pieceSize) + "\n}\n}\n"
	for name, text := range map[string]string{
		"blocks":                  longFile(""),
		"CRLF":                    strings.ReplaceAll(longFile(""), "\n", "\r\n"),
		"no newline at the end":   strings.TrimSuffix(longFile(""), "\n"),
		"a heredoc":               longFile("a \"b\" {\n  c = <<END\n" + filler + "END\n}\n"),
		"a comment":               longFile("/*\n" + filler + "*/\n"),
		"blocks in blocks":        longFile("a {\nb {\n" + strings.Repeat("c {\n}\n", pieceSize/6) + "}\n}\n"),
		"an attribute":            "a = 1\n" + longFile(""),
		"characters beyond ASCII": longFile("# ü€😀\n"),
		"numbers":                 longFile("a {\n  b = 1e9\n}\n"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := diag.NewSource("long.hcl", []byte(text))
			want, diags := parseWhole(src)
			require.Empty(t, diags)
			got, diags := parseBody(src)
			require.Empty(t, diags)
			// Printing what differs in so much would take minutes.
			require.True(t, reflect.DeepEqual(want.Attributes, got.Attributes))
			require.True(t, reflect.DeepEqual(want.Blocks, got.Blocks))
		})
	}
}

// The diagnostics of a long file are those of parsing it in one go.
func TestParseBody_saysOfALongFileWhatIsWrong(t *testing.T) {
	t.Parallel()
	blocks := longFile("")
	cut := endOfPiece([]byte(blocks))
	for name, text := range map[string]string{
		"a brace too many":              longFile("}\n"),
		"a block that does not end":     longFile("a {\n"),
		"a comment that does not end":   longFile("") + "/*\n",
		"an attribute that comes again": longFile("a = 1\n"),
		"a number that is too long":     longFile("") + "a = 1e9999999\n",
		"a byte order mark within":      longFile(byteOrderMark),
		"one where a piece ends":        blocks[:cut] + byteOrderMark + blocks[cut:],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := diag.NewSource("long.hcl", []byte(text))
			_, want := parseWhole(src)
			require.NotEmpty(t, want)
			_, got := parseBody(src)
			require.Equal(t, want, got)
		})
	}
}

// No piece of an ordinary long file is much longer than pieceSize.
func TestParseBody_holdsTheTokensOfAPiece(t *testing.T) {
	t.Parallel()
	for name, newline := range map[string]string{"LF": "\n", "CRLF": "\r\n"} {
		text := []byte(strings.ReplaceAll(longFile(""), "\n", newline))
		pieces := 0
		for ; len(text) > 0; pieces++ {
			size := endOfPiece(text)
			require.Less(t, size, pieceSize+200, name)
			text = text[size:]
		}
		require.Greater(t, pieces, 2, name)
	}
}
