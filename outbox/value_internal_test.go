package outbox

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestParseTimestamp(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2026-01-31 10:20:30+00":              "2026-01-31T10:20:30Z",
		"2026-01-31 10:20:30.123456+00":       "2026-01-31T10:20:30.123456Z",
		"2026-01-31 10:20:30.5+05:30":         "2026-01-31T04:50:30.5Z",
		"2026-01-31 00:20:30-03":              "2026-01-31T03:20:30Z",
		"1880-01-01 00:00:00+00:09:21":        "1879-12-31T23:50:39Z", // local mean time of Paris
		"2026-01-31 10:20:30":                 "2026-01-31T10:20:30Z",
		"2026-01-31":                          "2026-01-31T00:00:00Z",
		"2024-02-29 00:00:00+00":              "2024-02-29T00:00:00Z",
		"12026-01-31 10:20:30+00":             "12026-01-31T10:20:30Z",
		"0044-03-15 12:00:00+00 BC":           "-0043-03-15T12:00:00Z",
		"0001-01-01 BC":                       "0000-01-01T00:00:00Z",
		"2026-01-31T10:20:30Z":                "2026-01-31T10:20:30Z",
		"2026-01-31T10:20:30.123456789+01:00": "2026-01-31T09:20:30.123456789Z",
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			got, ok := parseTimestamp([]byte(text))
			require.True(t, ok)
			require.Equal(t, want, got.Format("2006-01-02T15:04:05.999999999Z07:00"))
		})
	}
	for _, text := range []string{"infinity", "-infinity"} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			got, ok := parseTimestamp([]byte(text))
			require.True(t, ok)
			require.True(t, got.IsZero())
		})
	}
	for _, text := range []string{
		"", "now", "2026", "2026-01", "2026-1-31", "2026-02-30", "2026-13-01", "2026-00-01", "2026-01-00", "01/31/2026",
		"2026-01-31 ", "2026-01-31 10", "2026-01-31 10:20", "2026-01-31 25:00:00", "2026-01-31 10:60:00", "2026-01-31 10:20:61",
		"2026-01-31 10:20:30.", "2026-01-31 10:20:30.1234567890", "2026-01-31 10:20:30+", "2026-01-31 10:20:30+1",
		"2026-01-31 10:20:30+00:", "2026/01-31", "2026-01/31", "2026-01-31 10.20:30", "2026-01-31 10:20.30", "2026-01-31x10:20:30", "2026-01-31 10:20:30 UTC", "2026-01-31 10:20:30+00 AD", " BC", "infinity BC", "９999-01-01",
	} {
		t.Run("refuses "+text, func(t *testing.T) {
			t.Parallel()
			_, ok := parseTimestamp([]byte(text))
			require.False(t, ok)
		})
	}
	t.Run("reads all that Go prints", func(t *testing.T) {
		t.Parallel()
		rapid.Check(t, func(t *rapid.T) {
			offset := rapid.IntRange(-15*60, 15*60).Draw(t, "offset in minutes")
			want := time.Unix(rapid.Int64Range(-60e9, 250e9).Draw(t, "seconds"), rapid.Int64Range(0, 999_999).Draw(t, "micros")*1000).
				In(time.FixedZone("", offset*60))
			for _, layout := range []string{"2006-01-02 15:04:05.999999-07:00", time.RFC3339Nano} {
				got, ok := parseTimestamp([]byte(want.Format(layout)))
				if !ok || !got.Equal(want) {
					t.Fatalf("%s came back as %s, %v", want, got, ok)
				}
			}
		})
	})
}

func TestDecodeBytea(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`\x`:             "",
		`\x7b7D00ff`:     "{}\x00\xff",
		``:               "",
		`{"a":1}`:        `{"a":1}`,
		`a\\b\000\377\\`: "a\\b\x00\xff\\",
		`\012\170\001`:   "\nx\x01",
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			got, ok := decodeBytea([]byte(text))
			require.True(t, ok)
			require.NotNil(t, got)
			require.Equal(t, want, string(got))
		})
	}
	for _, text := range []string{`\x0`, `\xzz`, `\`, `\0`, `\00`, `\400`, `\0/0`, `\00/`, `\/00`, `\080`, `\08a`, `a\b`} {
		t.Run("refuses "+text, func(t *testing.T) {
			t.Parallel()
			_, ok := decodeBytea([]byte(text))
			require.False(t, ok)
		})
	}
}

func TestDecodeHeaders(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]map[string]string{
		`{}`:                           nil,
		` { } `:                        nil,
		`null`:                         nil,
		`{"TraceParent": "00-ab-cd"}`:  {"traceparent": "00-ab-cd"},
		`{"a":"1","b" : "2" , "A":""}`: {"a": "", "b": "2"},
		`{"n": 1.50, "t": true, "f": false, "z": null, "o": {"x": 1}, "l": [1]}`: {"n": "1.50", "t": "true", "f": "false"},
		`{"quote\"d": "tab\tbed", "é": "ü\u00fc", "DEL": "` + "\x7f" + `"}`:      {`quote"d`: "tab\tbed", "é": "üü", "del": "\x7f"},
		`{"z": null}`:                nil,
		"\t{\n\"a\"\r:\n\"b\"\n}\n":  {"a": "b"},
		`{"a":"x~ y","é":"b","c":1}`: {"a": "x~ y", "é": "b", "c": "1"},
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			got, ok := decodeHeaders([]byte(text))
			require.True(t, ok)
			require.Equal(t, want, got)
		})
	}
	for _, text := range []string{
		``, ` `, `[]`, `"a"`, `1`, `true`, `{`, `}`, `{"a"}`, `{"a":}`, `{"a":"b"`, `{"a":"b",}`, `{"a":"b"}}`, `{"a":"b"} {}`, `{a:1}`,
		`{"a":"b" "c":"d"}`, `{1:2}`, `nullnull`, `{"a":"` + "\n" + `"}`, `"a"=>"b"`,
	} {
		t.Run("refuses "+text, func(t *testing.T) {
			t.Parallel()
			_, ok := decodeHeaders([]byte(text))
			require.False(t, ok)
		})
	}
}

// FuzzHeaders holds the quick reader of headers against the thorough one, and both against
// encoding/json.
func FuzzHeaders(f *testing.F) {
	for _, seed := range []string{`{"a":"b"}`, `{"a":1,"A":"x"}`, `{ "a" : "b" , "c":"" }`, `null`, `{"a":"\u00e9"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		thorough, ok := anyHeaders(data)
		if quick, plain := plainHeaders(string(data)); plain {
			require.True(t, ok)
			require.Equal(t, thorough, quick)
		}
		if ok {
			require.True(t, json.Valid(data))
		}
	})
}
