package panel

import (
	"fmt"
	"html/template"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// textOf is a value as text.
func textOf(v any) string {
	switch t := v.(type) {
	case nil:
		return ""
	case string:
		return t
	case time.Time:
		return iso(t)
	}
	return fmt.Sprint(v)
}

// timeOf is a time of the API; zero where there is none.
func timeOf(v any) time.Time {
	switch t := v.(type) {
	case time.Time:
		return t
	case *time.Time:
		if t != nil {
			return *t
		}
	}
	return time.Time{}
}

// iso is the exact time.
func iso(v any) string { return timeOf(v).UTC().Format(time.RFC3339Nano) }

// micros is a time that sorts as text.
func micros(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000") }

const (
	aDay      = 24 * 60 * 60
	halfAYear = 183 * aDay // in seconds, like what follows
	aYear     = 31556952   // of the Gregorian calendar, on average
)

// clock is a time element: UTC here, local time once the script has run, exact UTC on hover in any
// case. A time that is half a year away has its year.
func clock(v any) template.HTML {
	t := timeOf(v).UTC()
	if t.IsZero() {
		return `<span class="none">never</span>`
	}
	layout := "2 Jan 15:04:05"
	if distance := time.Now().Unix() - t.Unix(); distance > halfAYear || distance < -halfAYear {
		layout = "2 Jan 2006 15:04:05"
	}
	return template.HTML(`<time datetime="` + t.Format(time.RFC3339Nano) + `" title="` + t.Format("2006-01-02 15:04:05.000") + ` UTC">` + //nolint:gosec // digits alone
		t.Format(layout) + `<span class="utc"> UTC</span></time>`)
}

// longest is how much of a name a list shows; the rest is its title, and on the page of its own.
const longest = 80

// cut is the beginning of a text that others chose, with all of it as its title.
func cut(text string) template.HTML {
	shown := short(longest, text)
	if shown == text {
		return template.HTML(template.HTMLEscapeString(text)) //nolint:gosec // escaped
	}
	return template.HTML(`<span title="` + template.HTMLEscapeString(text) + `">` + template.HTMLEscapeString(shown) + `</span>`) //nolint:gosec // escaped, but for elements of our own
}

// breakable is the type of an event, which a narrow column breaks between its parts; a long one is
// cut. A row that is no event may have none, and its link needs a name all the same.
func breakable(name string) template.HTML {
	if name == "" {
		return "no type"
	}
	if short(longest, name) != name {
		return cut(name)
	}
	return template.HTML(strings.NewReplacer(".", ".<wbr>", "_", "_<wbr>").Replace(template.HTMLEscapeString(name))) //nolint:gosec // escaped, but for elements of our own
}

// said is a time within a sentence of the API.
var said = regexp.MustCompile(`\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\b`)

// sentence is a sentence of the API with its times as time elements.
func sentence(text string) template.HTML {
	var b strings.Builder
	for {
		at := said.FindStringIndex(text)
		if at == nil {
			break
		}
		b.WriteString(template.HTMLEscapeString(text[:at[0]]))
		if t, err := time.Parse("2006-01-02 15:04:05 MST", text[at[0]:at[1]]); err == nil {
			b.WriteString(string(clock(t)))
		} else {
			b.WriteString(text[at[0]:at[1]])
		}
		text = text[at[1]:]
	}
	b.WriteString(template.HTMLEscapeString(text))
	return template.HTML(b.String()) //nolint:gosec // escaped, but for elements of our own
}

// ago says how far a time is from now.
func ago(now time.Time, v any) string {
	t := timeOf(v)
	if t.IsZero() {
		return "never"
	}
	switch d := secondsBetween(t, now); {
	case t.After(now):
		return "in " + span(secondsBetween(now, t))
	case d < 1:
		return "now"
	default:
		return span(d) + " ago"
	}
}

// secondsBetween returns the whole seconds from one time to a later one. Times of Postgres may be
// further apart than a time.Duration holds.
func secondsBetween(from, to time.Time) int64 {
	seconds := to.Unix() - from.Unix()
	if to.Nanosecond() < from.Nanosecond() {
		seconds--
	}
	return seconds
}

// shortDuration is a time span with one unit.
func shortDuration(d time.Duration) string { return span(int64(d / time.Second)) }

// span is a time span of seconds with one unit.
func span(seconds int64) string {
	const minute, hour = 60, 60 * 60
	switch {
	case seconds < minute:
		return strconv.FormatInt(seconds, 10) + " s"
	case seconds < hour:
		return strconv.FormatInt(seconds/minute, 10) + " min"
	case seconds < 2*aDay:
		return strconv.FormatInt(seconds/hour, 10) + " h"
	case seconds < 2*aYear:
		return strconv.FormatInt(seconds/aDay, 10) + " d"
	}
	return strconv.FormatInt(seconds/aYear, 10) + " y"
}

// count writes a number in groups of three.
func count(v any) string {
	text := textOf(v)
	if p, ok := v.(*int64); ok {
		if p == nil {
			return "?"
		}
		text = strconv.FormatInt(*p, 10)
	}
	sign := ""
	if strings.HasPrefix(text, "-") {
		sign, text = "-", text[1:]
	}
	whole, fraction, _ := strings.Cut(text, ".")
	var b strings.Builder
	for i, digit := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	if fraction != "" {
		b.WriteString("." + fraction)
	}
	return sign + b.String()
}

// byteSize writes a number of bytes for people.
func byteSize(n int64) string {
	const kilo = 1024
	if n < kilo {
		return strconv.FormatInt(n, 10) + unit + "B"
	}
	value, power := float64(n), 0
	for value >= kilo && power < 4 {
		value, power = value/kilo, power+1
	}
	precision := 1
	if value >= 100 {
		precision = 0
	}
	return strconv.FormatFloat(value, 'f', precision, 64) + unit + []string{"B", "KiB", "MiB", "GiB", "TiB"}[power]
}

// unit keeps a number and its unit in one line.
const unit = "\u00a0"

// milliseconds writes a duration of the API.
func milliseconds(ms float64) string {
	switch {
	case ms < 10:
		return strconv.FormatFloat(ms, 'f', 1, 64) + unit + "ms"
	case ms < 1000:
		return strconv.FormatFloat(ms, 'f', 0, 64) + unit + "ms"
	}
	return strconv.FormatFloat(ms/1000, 'f', 1, 64) + unit + "s"
}

// percent is a share that says 100 only where nothing is missing, and 0 only where nothing is
// there.
func percent(part, whole int64) string {
	if whole == 0 {
		return "–"
	}
	switch share := 100 * float64(part) / float64(whole); {
	case part == whole:
		return "100 %"
	case share > 99.9:
		return "99.9 %"
	case share >= 10:
		return strconv.FormatFloat(share, 'f', 1, 64) + " %"
	case part > 0 && share < 0.1:
		return "0.1 %"
	default:
		return strconv.FormatFloat(share, 'f', 1, 64) + " %"
	}
}

// short is the beginning of a text.
func short(n int, text string) string {
	runes := []rune(text)
	if len(runes) <= n {
		return text
	}
	return string(runes[:n]) + "…"
}

// answered says what came of a request in at most n characters: an error tells more than the status
// of an answer that did not count.
func answered(n, status int, problem string) string {
	switch {
	case status == 0:
		return short(n, problem)
	case problem == "":
		return "answer " + strconv.Itoa(status)
	}
	return short(n, "answer "+strconv.Itoa(status)+": "+problem)
}

// hostOf is the part of a URL that tells endpoints apart.
func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return text
	}
	return u.Host
}

// spans are durations without the parts that say nothing: 2h for 2h0m0s.
func spans(list []string) []string {
	short := make([]string, len(list))
	for i, text := range list {
		if strings.HasSuffix(text, "m0s") {
			text = strings.TrimSuffix(text, "0s")
		}
		if strings.HasSuffix(text, "h0m") {
			text = strings.TrimSuffix(text, "0m")
		}
		short[i] = text
	}
	return short
}

// reasonInWords is a delivery's reason without underscores.
func reasonInWords(reason string) string { return strings.ReplaceAll(reason, "_", " ") }

// held says what a delivery waits for that no time brings; empty: its time does.
func held(reason string) string {
	return map[string]string{"paused": "once it is resumed", "disabled": "once it is enabled", "unusable": "once it is corrected", "unverified": "once it is verified"}[reason]
}

// quoteShell makes one word of a POSIX shell.
func quoteShell(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// quoteSQL makes a literal, safe whatever standard_conforming_strings says.
func quoteSQL(text string) string {
	quoted := "'" + strings.ReplaceAll(text, "'", "''") + "'"
	if strings.Contains(text, `\`) {
		return "E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}

// quoteName makes an identifier.
func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
