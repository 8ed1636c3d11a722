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
		n := rapid.IntRange(1, batchSize).Draw(t, "blocks")
		text := rapid.SliceOfN(rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte(`"\{}[]:,;Y_y`))), n*blockSize, n*blockSize+20).Draw(t, "text")
		first, second := rapid.SampledFrom(text).Draw(t, "first"), rapid.Byte().Draw(t, "second")
		want := make([]marks, n)
		firsts, seconds := make([]uint64, n), make([]uint64, n)
		for i, c := range text[:n*blockSize] {
			bit, m := uint64(1)<<(i%blockSize), &want[i/blockSize]
			switch c {
			case '"':
				m.quotes |= bit
			case '\\':
				m.backslashes |= bit
			case '{', '[':
				m.opens |= bit
			case '}', ']':
				m.closes |= bit
			}
			if c == first {
				firsts[i/blockSize] |= bit
			}
			if c == second {
				seconds[i/blockSize] |= bit
			}
		}
		for _, f := range []func([]byte, []marks){mark, markPortably} {
			found := make([]marks, n)
			f(text, found)
			require.Equal(t, want, found)
		}
		for _, f := range []func(*[blockSize]byte, byte, byte) (uint64, uint64){find, findPortably} {
			for i := range n {
				gotFirsts, gotSeconds := f((*[blockSize]byte)(text[i*blockSize:]), first, second)
				require.Equal(t, firsts[i], gotFirsts)
				require.Equal(t, seconds[i], gotSeconds)
			}
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
