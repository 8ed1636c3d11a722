package payload

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// memberByByte is member by a look at each byte outside strings, and at each name of the object.
func memberByByte(doc []byte, at int, name string) int {
	found, depth := Absent, 0
	for pos := at + 1; pos < len(doc); pos++ {
		switch doc[pos] {
		case '"':
			end := stringEnd(doc, pos)
			if end == Absent {
				return found
			}
			decoded, ok := Unquote(doc[pos:end])
			if v := memberValue(doc, end); depth == 0 && ok && decoded == name && v != Absent {
				found = v
			}
			pos = end - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 {
				return found
			}
		}
	}
	return found
}

// Members are found by blocks where they are byte by byte, whatever the document: strings and runs
// of backslashes that blocks cut, brackets in strings, names in several objects, many members.
func TestMembersAreFoundByBlocks(t *testing.T) {
	t.Parallel()
	words := rapid.SampledFrom([]string{`\`, `"`, `\\\`, `{`, `]`, "first", `"first":`, strings.Repeat("x", 70), strings.Repeat(`\`, 65)})
	rapid.Check(t, func(t *rapid.T) {
		var b strings.Builder
		b.WriteString("{")
		for i := range rapid.SampledFrom([]int{0, 1, 2, 3, 5, 12, 80, 150}).Draw(t, "members") {
			text, err := json.Marshal(strings.Join(rapid.SliceOfN(words, 0, 6).Draw(t, "text"), ""))
			require.NoError(t, err)
			if i > 0 {
				b.WriteString(",")
			}
			b.WriteString(rapid.SampledFrom([]string{`"first":`, `"f":`, `"other" : `, `"f\u0069rst":`, string(text) + ":"}).Draw(t, "name"))
			b.WriteString(rapid.SampledFrom([]string{"1", string(text), `{"first":` + string(text) + `}`, `[[],{"f":"first"}]`, string(document(t))}).Draw(t, "value"))
		}
		b.WriteString("}")
		doc := []byte(rapid.SampledFrom([]string{"", "[", strings.Repeat(" ", 30)}).Draw(t, "before") + b.String() + `, {"first":7}`)
		at := strings.IndexByte(string(doc), '{')
		for _, name := range []string{"first", "f", "fi", "other"} {
			require.Equal(t, memberByByte(doc, at, name), member(doc, at, name), "%s in %s", name, doc)
		}
		require.Equal(t, at+valueLength(t, doc[at:]), End(doc, at), "%s", doc)
	})
}

// valueLength is how long the JSON value is that doc begins with.
func valueLength(t *rapid.T, doc []byte) int {
	dec := json.NewDecoder(strings.NewReader(string(doc)))
	var value json.RawMessage
	require.NoError(t, dec.Decode(&value))
	return len(value)
}

// Wherever blocks begin and end, within strings and runs of backslashes too, what follows is found.
func TestFindBehindAnyString(t *testing.T) {
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
		at := Path{Member("wanted")}.Find([]byte(object + `wanted":` + want + `}`))
		require.Equal(t, len(object)+len(`wanted":`), at, "%s", object)
		at = Path{Element(1)}.Find([]byte(`[` + object + `a":` + want + `}, 7]`))
		require.Equal(t, len(`[`+object+`a":`+want+`}, `), at)
	})
}

// A name is found at every place of a block, at the end too, where the bytes that follow its quote
// are in the next one.
func TestFindAtEveryPlaceOfABlock(t *testing.T) {
	t.Parallel()
	for n := range 2 * blockSize {
		before := `{"` + strings.Repeat("x", n) + `":[1],`
		for _, behind := range []string{`}`, strings.Repeat(`,"y":0`, blockSize) + `}`} {
			at := Path{Member("wanted")}.Find([]byte(before + `"wanted":2` + behind))
			require.Equal(t, len(before+`"wanted":`), at, before)
		}
	}
}

// As jsonb and nearly every parser have it.
func TestOfANameThatOccursTwiceTheLastCounts(t *testing.T) {
	t.Parallel()
	far := strings.Repeat(`"x":{"a":[1,"a"]},`, 20)
	for _, doc := range []string{
		`{"a":1,"a":7}`, `{"a":{"a":1},"a":7}`, `{"a":1,` + far + `"a":7}`, `{"a":1,"a":7,` + far + `"y":{"a":2}}`, `{"a/b":1,"a\/b":7}`, `{"a":1,"\u0061":7}`, `{"\u0061":1,"a":7}`,
		`{"a":1,"a":7} {"a":2}`, `[{"a":2}, {"a":1,"a":7}]`,
	} {
		path := Path{Member("a")}
		switch {
		case doc[0] == '[':
			path = Path{Element(1), Member("a")}
		case strings.HasPrefix(doc, `{"a/b"`):
			path = Path{Member("a/b")}
		}
		require.Equal(t, strings.Index(doc, "7"), path.Find([]byte(doc)), doc)
	}
}

func TestFindBehindATextThatEndsLikeTheName(t *testing.T) {
	t.Parallel()
	path := Path{Member("a")}
	far := strings.Repeat("y", 2*blockSize) // so that what is looked for is alone in its block
	for n := range 3 * blockSize {
		for _, doc := range []string{
			`{"b":"` + strings.Repeat("x", n) + strings.Repeat(`\\`, 65) + `\"a","a":7,"c":"` + far + `"}`,
			`{"a":1,"b":"` + strings.Repeat("x", n) + `\"a","a":7,"c":"` + far + `"}`,
			`{"a":7,"b":"` + strings.Repeat("x", n) + `","\"a":1}`,
			`{"b":"` + strings.Repeat("x", n) + `\\","a":7,"c":"` + far + `"}`,
		} {
			require.Equal(t, strings.Index(doc, "7"), path.Find([]byte(doc)), doc)
		}
	}
}

// ¢ ends in the byte of a quote with its highest bit set, U+06C0 begins with that of a bracket,
// U+0710 with that of a backslash.
func TestQuotesInLettersOutsideASCII(t *testing.T) {
	t.Parallel()
	for _, letter := range []string{"¢", "\u06c0", "\u0710", "\u0740"} {
		doc := `{"b":"` + letter + `","c":["` + letter + `"],"a":7}`
		require.Equal(t, strings.Index(doc, "7"), Path{Member("a")}.Find([]byte(doc)), doc)
	}
}

func TestFindBehindDeeperOnes(t *testing.T) {
	t.Parallel()
	path := Path{Member("a")}
	for n := range 3 * blockSize {
		deep := strings.Repeat(`{"a":[`, 20) + strings.Repeat(" ", n) + strings.Repeat(`]}`, 20)
		doc := `{"b":` + deep + `,"c":"` + strings.Repeat("y", n) + `","a":7,"d":"` + strings.Repeat("y", 2*blockSize) + `"}`
		require.Equal(t, strings.Index(doc, "7"), path.Find([]byte(doc)), doc)
	}
}

// A name that begins with more than ASCII is found as others are.
func TestFindNamesBeyondASCII(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"é", "état", "名前", "😀"} {
		for before := range 2 * blockSize {
			doc := []byte(`{"` + strings.Repeat("x", before) + `":[{"` + name + `":1}],"` + name + `":{"` + name + `":2}}`)
			at := Path{Member(name), Member(name)}.Find(doc)
			require.NotEqual(t, Absent, at, "%s at %d", name, before)
			require.Equal(t, "2}}", string(doc[at:]))
		}
	}
}
