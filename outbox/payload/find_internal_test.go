package payload

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// document draws a JSON value, laid out in one of several ways.
func document(t *rapid.T) []byte {
	var draw func(depth int) string
	// The bytes of ¢, U+06C0, U+0710 and U+0740 include those of a quote, brackets and a backslash
	// with their highest bit set.
	text := rapid.StringOfN(rapid.SampledFrom([]rune(`ab"\{}[]:,yY_é`+"¢\u06c0\u0710\u0740\n 0")), 0, 20, -1)
	space := rapid.SampledFrom([]string{"", "", " ", "\n\t  "})
	quote := func(s string) string {
		encoded, err := json.Marshal(s)
		require.NoError(t, err)
		return string(encoded)
	}
	draw = func(depth int) string {
		kinds := 4
		if depth > 0 {
			kinds = 8
		}
		gap := space.Draw(t, "space")
		switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
		case 0:
			return quote(text.Draw(t, "text"))
		case 1:
			return rapid.SampledFrom([]string{"true", "false", "null"}).Draw(t, "word")
		case 2, 3:
			return rapid.SampledFrom([]string{"0", "-1", "12.50", "1e5", "9007199254740993"}).Draw(t, "number")
		case 4, 5:
			var elements []string
			for range rapid.IntRange(0, 4).Draw(t, "elements") {
				elements = append(elements, gap+draw(depth-1)+gap)
			}
			return "[" + strings.Join(elements, ",") + "]"
		default:
			var members []string
			for range rapid.IntRange(0, 5).Draw(t, "members") {
				name := rapid.SampledFrom([]string{"a", "b", "ab", "longer_name", "é", `"`, `\`, "a]"}).Draw(t, "name")
				quoted := quote(name)
				if name == "a" && rapid.Bool().Draw(t, "escaped") {
					quoted = `"\u0061"`
				}
				members = append(members, gap+quoted+gap+":"+gap+draw(depth-1)+gap)
			}
			return "{" + strings.Join(members, ",") + "}"
		}
	}
	return []byte(draw(4))
}

// reference follows a path through the decoded document.
func reference(doc []byte, path Path) (json.RawMessage, bool) {
	for i := range path {
		if path[i].index == Absent {
			var object map[string]json.RawMessage
			if json.Unmarshal(doc, &object) != nil || object == nil {
				return nil, false
			}
			member, ok := object[path[i].name]
			if !ok {
				return nil, false
			}
			doc = member
			continue
		}
		var list []json.RawMessage
		if json.Unmarshal(doc, &list) != nil || path[i].index >= len(list) {
			return nil, false
		}
		doc = list[path[i].index]
	}
	return bytes.TrimSpace(doc), true
}

func TestFindAgreesWithEncodingJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		doc := document(t)
		require.True(t, json.Valid(doc))
		path := Path(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Step {
			if rapid.Bool().Draw(t, "index") {
				return Element(rapid.IntRange(0, 3).Draw(t, "n"))
			}
			return Member(rapid.SampledFrom([]string{"a", "b", "ab", "longer_name", "é", `"`, "a]"}).Draw(t, "name"))
		}), 0, 3).Draw(t, "path"))
		want, ok := reference(doc, path)
		at := path.Find(doc)
		require.Equal(t, ok, at != Absent, "%s", doc)
		if ok {
			end := End(doc, at)
			require.Equal(t, string(want), string(doc[at:end]), "%s", doc)
		}
	})
}

// A quote behind an even number of backslashes ends its text.
func TestFindBehindBackslashes(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{`["\\", 7]`, `["\\\\", 7]`, `["\"", 7]`, `["\\\"", 7]`, `["\\\"]", 7]`, `[{"a":"\\"}, 7]`} {
		require.True(t, json.Valid([]byte(doc)), doc)
		at := Path{Element(1)}.Find([]byte(doc))
		require.Equal(t, strings.LastIndex(doc, "7"), at, doc)
	}
}

func TestFindEscapedNames(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{`{"\u0061":7}`, `{"b":1,"\u0061":7}`, `{"b":"\u0061","\u0061":7}`, `{"b":{"a":1},"\u0061" : 7}`} {
		at := Path{Member("a")}.Find([]byte(doc))
		require.Equal(t, strings.LastIndex(doc, "7"), at, doc)
	}
}

// What looks like the name, or like a place, is none.
func TestFindWhatIsNotThere(t *testing.T) {
	t.Parallel()
	for doc, path := range map[string]Path{
		`{"":7}`:          {Element(0)},
		`[{"a":7}]`:       {Member("a")},
		`{"ax:y":1}`:      {Member("a")},
		`{"b":"a"}`:       {Member("a")},
		`{"b":"a","c":1}`: {Member("a")},
		`{"b":{"a":1}}`:   {Member("a")},
		`[]`:              {Element(0)},
		`[ ]`:             {Element(0)},
		`[1 , 2]`:         {Element(2)},
		`[1 2]`:           {Element(1)},
		`[1,`:             {Element(1)},
		`7`:               {Element(0)},
		`{"abc`:           {Member("abcd")},
		` `:               nil,
	} {
		require.Equal(t, Absent, path.Find([]byte(doc)), doc)
	}
	require.Equal(t, Absent, Next([]byte(`[1, `), 1))
	require.Equal(t, Absent, End([]byte(`1`), 1))
	require.Equal(t, Absent, End([]byte(`,1`), 0))
	require.Equal(t, 4, Path{Element(1)}.Find([]byte(`[1 ,7]`)))
	require.Equal(t, 8, Path{Member("a")}.Find([]byte(" {\r\n\"a\":7}")), "after white space of any kind")
}

// A document that ends too early has what it has.
func TestFindInDocumentsThatEndTooEarly(t *testing.T) {
	t.Parallel()
	doc := `{"ab":[1, "x\"y" , {"b" : 2}],"\u0061b\u0063" : [null, {"abc":"\\"}] }`
	for n := range doc {
		cut := slices.Clip([]byte(doc[:n]))
		for _, path := range []Path{nil, {Member("abc")}, {Member("abc"), Element(1), Member("abc")}, {Member("ab"), Element(2), Member("b")}} {
			if at := path.Find(cut); at != Absent {
				require.Equal(t, path.Find([]byte(doc)), at, "%s", cut)
				require.LessOrEqual(t, End(cut, at), n)
			}
		}
		require.Equal(t, Absent, Count(cut))
	}
}

func TestCountAgreesWithEncodingJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		doc := document(t)
		switch doc[0] {
		case '[':
			var list []any
			require.NoError(t, json.Unmarshal(doc, &list))
			require.Equal(t, len(list), Count(doc), "%s", doc)
		case '{':
			require.Equal(t, members(t, doc), Count(doc), "%s", doc)
		}
	})
}

// members counts the members of an object, those of the same name too.
func members(t *rapid.T, doc []byte) int {
	dec := json.NewDecoder(bytes.NewReader(doc))
	_, err := dec.Token()
	require.NoError(t, err)
	n := 0
	for ; dec.More(); n++ {
		_, err := dec.Token()
		require.NoError(t, err)
		var value json.RawMessage
		require.NoError(t, dec.Decode(&value))
	}
	return n
}

func TestSearchesSurviveAnyBytes(t *testing.T) {
	t.Parallel()
	paths := []Path{{Member("a")}, {Member("é")}, {Member("a"), Element(1)}, {Element(2), Member("b")}}
	rapid.Check(t, func(t *rapid.T) {
		doc := []byte(rapid.StringOf(rapid.SampledFrom([]rune(`"a\{}[]:,y1 nut`))).Draw(t, "doc"))
		if len(doc) == 0 {
			return
		}
		for _, path := range paths {
			at := path.Find(doc)
			require.Less(t, at, len(doc))
			if at != Absent {
				End(doc, at)
			}
		}
		End(doc, 0)
		Count(doc)
	})
}

// number draws a JSON number of few or many digits.
func number(t *rapid.T) string {
	digits := rapid.StringOfN(rapid.SampledFrom([]rune("0019")), 1, 25, -1)
	whole := strings.TrimLeft(digits.Draw(t, "whole"), "0")
	if whole == "" {
		whole = "0"
	}
	text := rapid.SampledFrom([]string{"", "-"}).Draw(t, "sign") + whole
	if rapid.Bool().Draw(t, "fraction") {
		text += "." + digits.Draw(t, "digits")
	}
	if rapid.Bool().Draw(t, "exponent") {
		text += fmt.Sprintf("e%d", rapid.IntRange(-30, 30).Draw(t, "e"))
	}
	return text
}

func rational(t *rapid.T, text string) *big.Rat {
	r, ok := new(big.Rat).SetString(text)
	require.True(t, ok, text)
	return r
}

func TestNumbersCompareExactly(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := number(t), number(t)
		want := rational(t, a).Cmp(rational(t, b))
		x, okX := ParseNumber(a)
		y, okY := ParseNumber(b)
		require.True(t, okX && okY)
		require.Equal(t, want, x.Compare(y), "%s %s", a, b)
		x, y = x.Negated(), y.Negated()
		require.Equal(t, -want, x.Compare(y), "%s %s", a, b)
		got, ok := compareTexts(a, b)
		require.True(t, ok)
		require.Equal(t, want, got, "%s %s", a, b)
		if d, short := parseDecimal(a); short {
			require.Zero(t, rational(t, a).Cmp(rational(t, d.String())), "%s %s", a, d)
		}
	})
}

func TestArithmeticIsExactWhereItFits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, okA := parseDecimal(number(t))
		b, okB := parseDecimal(number(t))
		if !okA || !okB {
			return
		}
		x, y := rational(t, a.String()), rational(t, b.String())
		for operator, want := range map[byte]*big.Rat{
			'+': new(big.Rat).Add(x, y), '-': new(big.Rat).Sub(x, y), '*': new(big.Rat).Mul(x, y),
		} {
			if exact, ok := exactly(operator, a, b); ok {
				require.Zero(t, want.Cmp(rational(t, exact.String())), "%s %c %s", a, operator, b)
			}
			rounded, ok := combine(operator, a, b)
			require.True(t, ok)
			// Within 1e-9 of the larger operand.
			off := new(big.Rat).Sub(want, rational(t, rounded.String()))
			scale := new(big.Rat).Add(new(big.Rat).Add(new(big.Rat).Abs(x), new(big.Rat).Abs(y)), new(big.Rat).Abs(want))
			require.LessOrEqual(t, off.Abs(off).Cmp(scale.Mul(scale, big.NewRat(1, 1e9))), 0, "%s %c %s", a, operator, b)
		}
	})
}

func TestNumbersThatAreNone(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "-", "+1", "01", "1.", ".5", "1e", "1e+", "1e1.5", "0x1", "NaN", "1_0", "--1", "1e--5", "-01", "00", "1.2.3", "1e5e5", "-.5", "1 ", " 1", "1-2", "e5"} {
		_, _, _, ok := splitNumber(text)
		require.False(t, ok, text)
		_, ok = ParseNumber(text)
		require.False(t, ok, text)
	}
	c, ok := compareTexts("1e999999999999999999999", "1e-999999999999999999999")
	require.True(t, ok)
	require.Equal(t, 1, c)
}

func FuzzFind(f *testing.F) {
	f.Add([]byte(`{"a":1}`), "a", 0)
	f.Add([]byte(`{"b":{"a":[1,{"a":"\\\""}]},"a":[null,"x{"]}`), "a", 1)
	f.Add([]byte(`[[{"\u0061":[]}]]`), "a", 0)
	f.Fuzz(func(t *testing.T, doc []byte, name string, n int) {
		path := Path{Member(name), Element(n & 7)}
		at := path.Find(doc)
		if !json.Valid(doc) || !json.Valid([]byte(`"`+name+`"`)) {
			return
		}
		want, ok := reference(doc, path)
		require.Equal(t, ok, at != Absent)
		if ok {
			require.Equal(t, string(want), string(doc[at:End(doc, at)]))
		}
	})
}
