package config

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The processor's way, the portable one and a look at each byte find the same.
func TestMarksAreThoseOfEachByte(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SliceOfN(rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte(`"\{}[]:,;Y_y`))), blockSize, blockSize).Draw(t, "block")
		block := (*[blockSize]byte)(text)
		first, second := rapid.SampledFrom(text).Draw(t, "first"), rapid.Byte().Draw(t, "second")
		var want marks
		var firsts, seconds uint64
		for i, c := range text {
			bit := uint64(1) << i
			switch c {
			case '"':
				want.quotes |= bit
			case '\\':
				want.backslashes |= bit
			case '{', '[':
				want.opens |= bit
			case '}', ']':
				want.closes |= bit
			}
			if c == first {
				firsts |= bit
			}
			if c == second {
				seconds |= bit
			}
		}
		require.Equal(t, want, mark(block))
		require.Equal(t, want, markPortably(block))
		for _, f := range []func(*[blockSize]byte, byte, byte) (uint64, uint64){find, findPortably} {
			gotFirsts, gotSeconds := f(block, first, second)
			require.Equal(t, firsts, gotFirsts)
			require.Equal(t, seconds, gotSeconds)
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
