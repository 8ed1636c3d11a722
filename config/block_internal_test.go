package config

import (
	"encoding/json"
	"math/bits"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// walkByByte is walk with a look at each byte.
func walkByByte(b *blocks, text []byte) (walked int) {
	for ; len(text) > 0; text = text[blockSize:] {
		walked++
		b.strings, b.opens, b.closes = 0, 0, 0
		depth, outside, whole := b.depth, b.depth == 0, b.inString != 0
		for i, c := range text[:blockSize] {
			bit := uint64(1) << i
			whole = whole && c != '"'
			escaped := b.escaped != 0
			b.escaped = 0
			switch {
			case c == '"' && !escaped:
				if b.inString = ^b.inString; b.inString != 0 {
					b.strings |= bit
				}
			case c == '\\' && !escaped:
				b.escaped = 1
			case b.inString != 0:
			case c == '{', c == '[':
				b.opens |= bit
				depth++
			case c == '}', c == ']':
				b.closes |= bit
				depth--
				outside = outside || depth == 0
			}
		}
		if outside {
			for i := range blockSize {
				if i+1 < blockSize && text[i+1] != b.first || i+2 < blockSize && text[i+2] != b.second {
					b.strings &^= 1 << i
				}
			}
			if b.strings|b.opens|b.closes != 0 {
				return walked
			}
		}
		b.depth = depth
		if whole && b.escaped == 0 {
			break
		}
	}
	b.strings, b.opens, b.closes = 0, 0, 0
	return walked
}

// The processor's way, the portable one and a look at each byte stop at the same places and find the same there, whatever the
// text: strings and runs of backslashes that blocks cut, brackets in strings, documents that end early or are none.
func TestWalksAreThatByEachByte(t *testing.T) {
	t.Parallel()
	words := rapid.OneOf(
		rapid.SampledFrom([]string{`\`, `"`, `\\\`, `\"`, `{`, `}`, `[`, `]`, `":"`, "Y_y", "abcdefgh", `"]"`, `"first":[],`, `"f":"i",`, `"xi":{},`}),
		rapid.Map(rapid.IntRange(1, 150), func(n int) string { return strings.Repeat("x", n) }),
		rapid.Map(rapid.IntRange(1, 150), func(n int) string { return strings.Repeat(`\`, n) }),
		rapid.Map(rapid.IntRange(1, 70), func(n int) string { return strings.Repeat(`[`, n) }),
		rapid.Map(rapid.IntRange(1, 70), func(n int) string { return strings.Repeat(`}`, n) }),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 20), func(text []byte) string { return string(text) }),
		rapid.Custom(func(t *rapid.T) string { return string(document(t)) }),
	)
	rapid.Check(t, func(t *rapid.T) {
		text := []byte(strings.Join(rapid.SliceOfN(words, 1, 40).Draw(t, "text"), ""))
		text = append(text, make([]byte, blockSize-len(text)%blockSize)...)
		start := blocks{
			first:    rapid.SampledFrom([]byte("ffx")).Draw(t, "first"),
			second:   rapid.SampledFrom([]byte("iix")).Draw(t, "second"),
			inString: -rapid.Uint64Range(0, 1).Draw(t, "in string"),
			escaped:  rapid.Uint64Range(0, 1).Draw(t, "escaped"),
			depth:    rapid.SampledFrom([]int{0, 0, 1, 1, 2, 3, 63, 64, 65, 1000}).Draw(t, "depth"),
		}
		for len(text) > 0 {
			want, portable, quick := start, start, start
			walked := walkByByte(&want, text)
			require.Equal(t, walked, portable.walkPortably(text))
			require.Equal(t, want, portable)
			require.Equal(t, walked, quick.walk(text))
			require.Equal(t, want, quick)
			text, start = text[walked*blockSize:], want
			start.depth = max(0, start.depth+bits.OnesCount64(start.opens)-bits.OnesCount64(start.closes))
		}
	})
}

// Wherever blocks begin and end, within strings and runs of backslashes too, what follows is found.
func TestLocateBehindAnyString(t *testing.T) {
	t.Parallel()
	words := rapid.SampledFrom([]string{`\`, `"`, `\\`, `{`, `]`, "abcdefgh", strings.Repeat("x", 70), "\n"})
	rapid.Check(t, func(t *rapid.T) {
		object := `{"`
		for i := range rapid.IntRange(1, 4).Draw(t, "members") {
			text, err := json.Marshal(strings.Join(rapid.SliceOfN(words, 0, 40).Draw(t, "text"), ""))
			require.NoError(t, err)
			object += strings.Repeat("k", i+1) + `":` + string(text) + `,"`
		}
		want := string(document(t))
		at := locate([]byte(object+`wanted":`+want+`}`), []step{memberStep("wanted")})
		require.Equal(t, len(object)+len(`wanted":`), at, "%s", object)
		at = locate([]byte(`[`+object+`a":`+want+`}, 7]`), []step{{index: 1}})
		require.Equal(t, len(`[`+object+`a":`+want+`}, `), at)
	})
}

// A name is found at every place of a block, at the end too, where the bytes that follow its quote are in the next one.
func TestLocateAtEveryPlaceOfABlock(t *testing.T) {
	t.Parallel()
	for n := range 2 * blockSize {
		before := `{"` + strings.Repeat("x", n) + `":[1],`
		for _, behind := range []string{`}`, strings.Repeat(`,"y":0`, blockSize) + `}`} {
			at := locate([]byte(before+`"wanted":2`+behind), []step{memberStep("wanted")})
			require.Equal(t, len(before+`"wanted":`), at, before)
		}
	}
}
