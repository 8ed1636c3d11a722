package panel

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestTimesFarAwayAreSaid: Postgres has times that no time.Duration reaches.
func TestTimesFarAwayAreSaid(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for want, at := range map[string]time.Time{
		"never": {}, "now": now.Add(-time.Millisecond), "in 0 s": now.Add(time.Millisecond), "59 s ago": now.Add(-59 * time.Second),
		"2 min ago": now.Add(-2 * time.Minute), "in 47 h": now.Add(47 * time.Hour), "2 d ago": now.AddDate(0, 0, -2), "in 364 d": now.AddDate(0, 0, 364),
		"27 y ago": time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), "in 7973 y": time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC),
		"in 292250 y": time.Date(294276, 12, 31, 0, 0, 0, 0, time.UTC), "6738 y ago": time.Date(-4712, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		require.Equal(t, want, ago(now, at), at)
	}
	require.Equal(t, "no type", string(breakable("")), "a link has a name")
	require.Contains(t, string(clock(time.Date(1999, 1, 2, 3, 4, 5, 0, time.UTC))), ">2 Jan 1999 03:04:05<")
	require.NotContains(t, string(clock(time.Now())), ">"+time.Now().UTC().Format("2 Jan 2006"))
}

// TestNumbersAreSaidAsPeopleReadThem: with a unit that fits, and no share that says all or nothing
// where that is not so.
func TestNumbersAreSaidAsPeopleReadThem(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{
		"9.9 ms": milliseconds(9.94), "10 ms": milliseconds(10), "999 ms": milliseconds(999), "1.0 s": milliseconds(1000), "61.5 s": milliseconds(61_500),
		"–": percent(0, 0), "100 %": percent(7, 7), "99.9 %": percent(99_999, 100_000), "0.1 %": percent(1, 100_000), "0.0 %": percent(0, 9), "0.2 %": percent(2, 1000), "12.5 %": percent(1, 8),
		"1023 B": byteSize(1023), "1.0 KiB": byteSize(1024), "100 KiB": byteSize(100 << 10), "1.5 MiB": byteSize(3 << 19), "2048 TiB": byteSize(2 << 50),
		"999": count(999), "-1,000": count(-1000), "1,234,567.5": count("1234567.5"), "?": count((*int64)(nil)), "12,345": count(new(int64(12_345))),
		"2h 1m30s 5m 1h5m 10s": strings.Join(spans([]string{"2h0m0s", "1m30s", "5m0s", "1h5m0s", "10s"}), " "),
		"a.example:8":          hostOf("https://a.example:8/x"), "no url": hostOf("no url"), "https://%": hostOf("https://%"),
		"answer 200": answered(20, 200, ""), "no route": answered(20, 0, "no route"), "answer 500: error …": answered(18, 500, "error mine"),
		"a&lt;b": string(cut("a<b")), "every 2 of 3 at <time": strings.SplitAfter(string(sentence("every 2 of 3 at 2026-01-02 03:04:05 UTC, <b>")), "<time")[0],
		"</time>, &lt;b&gt;": string(sentence("2026-01-02 03:04:05 UTC, <b>"))[strings.Index(string(sentence("2026-01-02 03:04:05 UTC, <b>")), "</time>"):],
	} {
		require.Equal(t, want, strings.ReplaceAll(got, unit, " "))
	}
	long := strings.Repeat("é", longest) + "<"
	require.Equal(t, `<span title="`+strings.Repeat("é", longest)+`&lt;">`+strings.Repeat("é", longest)+`…</span>`, string(cut(long)))
}

var elements = regexp.MustCompile(`<[^>]*>`)

// TestADocumentIsShownAsItIs: its keys in their order, numbers with their digits, text as text;
// what is no JSON, or too much, has no colours.
func TestADocumentIsShownAsItIs(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"b":1.50,"a":["<x>",true,null,{}],"c":[]}`: "{3 keys }\"b\": 1.50,\"a\": [4 entries ]\"&lt;x&gt;\",true,null,{}],\"c\": []}", `"a"`: `"a"`, `-1e400`: "-1e400", `false`: "false",
		`{"a":1`: "", `{"a":1} 2`: "", `not json`: "", ``: "", strings.Repeat("[", 200) + strings.Repeat("]", 200): strings.Repeat("[1 entries ]", 199) + "[]" + strings.Repeat("]", 199),
		"[" + strings.Repeat("1,", 498) + "1]": "[499 entries ]" + strings.Repeat("1,", 498) + "1]", "[" + strings.Repeat("1,", 499) + "1]": "", `"` + strings.Repeat("x", prettyBytes) + `"`: "",
	} {
		got := showText(in)
		require.Equal(t, want, strings.ReplaceAll(elements.ReplaceAllString(string(got.Pretty), ""), "&#34;", `"`), in)
		require.Equal(t, shown{Pretty: got.Pretty, Raw: in, Empty: in == ""}, got)
	}
	require.Equal(t, `<details open><summary>{<span class="sz">1 keys }</span></summary><div class="in"><div><span class="k">&#34;a&#34;</span>: <span class="s">&#34;b&#34;</span></div></div></details>}`, string(prettyJSON(`{"a":"b"}`)))
	large := showText(strings.Repeat("é", plainBytes/2) + "é")
	require.Equal(t, shown{Raw: strings.Repeat("é", plainBytes/2), Cut: true}, large)
}
