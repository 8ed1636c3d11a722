package payload_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tailpost/tailpost/outbox/payload"
)

func jsonSamples() []string {
	return []string{
		``, ` `, `{}`, `[]`, `{ }`, `[ ]`, `null`, `true`, `false`, `nul`, `nulll`, `"x"`, `"x`, `"\u12aF"`, `"\u12g0"`, `"\x"`, `"\`,
		`0`, `-0`, `-`, `01`, `1.`, `1.5`, `.5`, `1e5`, `1E+5`, `1e`, `1e-`, `1.5e-7`, `+1`, `1 2`, `[1,2]`, `[1,]`, `[,1]`, `[1 2]`,
		`{"a":1}`, `{"a":1,}`, `{,}`, `{"a"}`, `{"a":}`, `{a:1}`, `{"a":1 "b":2}`, `{"a":[{"b":{}}]}`, `[}`, `{]`, `[1}`, `{"a":1]`, `]`, `}`, `,`, `:`,
		"\"12345678\x01\"", "\"1234567\x1f890123\"", "\"tab\tno\"", "\"\x7f\xff\xfe\"", "\"12345678\\\"12345678\"", "\ufeff{}", "{\"a\":\"\x00\"}",
		strings.Repeat("[", 512) + strings.Repeat("]", 512), strings.Repeat("[", 600) + strings.Repeat("]", 600),
		strings.Repeat("[", 20000) + strings.Repeat("]", 20000), strings.Repeat(`{"a":`, 511) + "1" + strings.Repeat("}", 511),
		`"日本語のテキスト、長い"`, "[1]\x00", "\v1", `{"a":1}{"b":2}`, "{\r\n\t\"a\" : 1 }\r\n", `"a b"`, `9`, `-9.0e9`, `"\u0990"`, `"\uafAF"`, `"\u123`, `"\u1234`, `"\u1234"`, `"\u12G4"`, `"\u12:4"`, `"\b\f\n\r\t\/\"\\"`, `[[]]`, `[[],{}]`, `[{},[]]`, `"a""b"`,
	}
}

func TestValidAgreesWithTheStandardLibrary(t *testing.T) {
	t.Parallel()
	for _, s := range jsonSamples() {
		require.Equal(t, json.Valid([]byte(s)), payload.Valid([]byte(s)), "%.60q", s)
	}
	rapid.Check(t, func(t *rapid.T) {
		parts := []string{`{`, `}`, `[`, `]`, `,`, `:`, `"`, `"a"`, `\`, `\"`, `\u00e9`, `1`, `-1.5e3`, `0`, `true`, `null`, ` `, "\n", "\x01", `é`, `lorem ipsum `}
		s := strings.Join(rapid.SliceOfN(rapid.SampledFrom(parts), 0, 14).Draw(t, "parts"), "")
		require.Equal(t, json.Valid([]byte(s)), payload.Valid([]byte(s)), "%q", s)
	})
}

func FuzzValid(f *testing.F) {
	for _, s := range jsonSamples() {
		if len(s) < 1000 {
			f.Add([]byte(s))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		require.Equal(t, json.Valid(b), payload.Valid(b))
	})
}

func BenchmarkValid(b *testing.B) {
	doc := []byte(`{"id":"evt_1","bench_seq":1,"sent_at":1234567890,"filler":"` + strings.Repeat("lorem-ipsum-", 35) + `"}`)
	b.Run("ours", func(b *testing.B) {
		for b.Loop() {
			payload.Valid(doc)
		}
	})
	b.Run("encoding/json", func(b *testing.B) {
		for b.Loop() {
			json.Valid(doc)
		}
	})
}
