package panel

import (
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// copied is one way to get outside of the panel what a page shows.
type copied struct {
	ID   string // of the element
	Name string
	Text string
	Hint string
}

// copiesOf are the ways of a list: the statement over tailpost's tables, the call of the API, and
// the command where there is one. The command is its name, then flags and their values in turn;
// flags without a value are left out.
func copiesOf(v *visit, sql, path string, query url.Values, command ...string) []copied {
	if v.site.isPortal() {
		return nil // its visitors have neither the database nor a key
	}
	var list []copied
	if sql != "" {
		list = append(list, copied{ID: "copy-sql", Name: "SQL", Text: sql, Hint: "The rows of this page, in the application's database. The role tailpost_reader may read them."})
	}
	list = append(list, copied{
		ID: "copy-curl", Name: "curl", Text: curlOf(v, "GET", path, query, ""), Hint: "Set TAILPOST_API_KEY to a key of the API.",
	})
	if len(command) > 0 {
		list = append(list, copied{ID: "copy-command", Name: "Command", Text: commandOf(v, command[0], command[1:]...), Hint: "Set TAILPOST_API_KEY to a key of the API."})
	}
	return list
}

// ofPart are the copies of one of several lists of a page.
func ofPart(part string, list []copied) []copied {
	for i := range list {
		list[i].ID = part + strings.TrimPrefix(list[i].ID, "copy")
	}
	return list
}

// addressOf is where the API is for the visitor.
func addressOf(v *visit) string {
	if secure(v.r) {
		return "https://" + v.r.Host
	}
	return "http://" + v.r.Host
}

// commandOf is a command of tailpost.
func commandOf(v *visit, name string, flags ...string) string {
	var b strings.Builder
	b.WriteString("tailpost " + name + " --api " + quoteShell(addressOf(v)))
	for i := 0; i+1 < len(flags); i += 2 {
		if flags[i+1] != "" {
			b.WriteString(" " + flags[i] + " " + quoteShell(flags[i+1]))
		}
	}
	return b.String()
}

// curlOf is a call of the API as a command.
func curlOf(v *visit, method, path string, query url.Values, body string) string {
	at := addressOf(v) + path
	if len(query) > 0 {
		at += "?" + query.Encode()
	}
	var b strings.Builder
	b.WriteString("curl -sS")
	if method != "GET" {
		b.WriteString(" -X " + method)
	}
	b.WriteString(" " + quoteShell(at))
	if v.login {
		b.WriteString(" \\\n  -H \"Authorization: Bearer $TAILPOST_API_KEY\"")
	}
	if body != "" {
		b.WriteString(" \\\n  -H 'Content-Type: application/json' \\\n  -d " + quoteShell(body))
	}
	return b.String()
}

// statement builds a SELECT over tailpost's tables.
type statement struct {
	columns, from string
	where         []string
	group         string
	order         string
	limit         int
}

// equal adds a condition; none where there is no value.
func (s *statement) equal(column, value string) {
	if value != "" {
		s.where = append(s.where, column+" = "+quoteSQL(value))
	}
}

// like adds the condition that a type is the one of a name, or one that a pattern takes.
func (s *statement) like(column, name string) {
	if !strings.Contains(name, "*") {
		s.equal(column, name)
		return
	}
	// One segment is anything without a dot; two stars are the rest.
	pattern := strings.NewReplacer(`\*\*`, ".*", `\*`, "[^.]*").Replace(regexp.QuoteMeta(name))
	s.condition(column+" ~ %s", "^"+pattern+"$")
}

// condition adds a condition; %s stands for the value as a literal. None where there is no value.
func (s *statement) condition(text, value string) {
	if value != "" {
		s.where = append(s.where, strings.ReplaceAll(text, "%s", quoteSQL(value)))
	}
}

func (s *statement) String() string {
	parts := []string{"SELECT " + s.columns, "FROM " + s.from}
	for i, condition := range s.where {
		word := "  AND "
		if i == 0 {
			word = "WHERE "
		}
		parts = append(parts, word+condition)
	}
	if s.group != "" {
		parts = append(parts, "GROUP BY "+s.group)
	}
	parts = append(parts, "ORDER BY "+s.order)
	if s.limit > 0 {
		parts = append(parts, "LIMIT "+strconv.Itoa(s.limit))
	}
	return strings.Join(parts, "\n") + ";"
}

// tenantOf limits an endpoint's column to the visitor's tenant, as the API does.
func (s *statement) tenantOf(column, tenant string) {
	if tenant != "" {
		s.where = append(s.where, column+" IN (SELECT id FROM tailpost.endpoint WHERE tenant = "+quoteSQL(tenant)+")")
	}
}

// local is a time that a person wrote: RFC 3339, or a date and time of a form, in UTC.
func local(text string) (t time.Time, ok bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// writeTime says how a person writes a time.
const writeTime = "Write a time such as 2026-05-01 14:00 (UTC), or a span before now such as 24h or 7d."

// checkTimes refuses what sinceOf would take for no time at all: a filter that is not what a person
// wrote would show, or change, something else.
func checkTimes(v *visit, texts ...string) error {
	for _, text := range texts {
		if strings.TrimSpace(text) != "" && sinceOf(v, text) == "" {
			return refuse(http.StatusUnprocessableEntity, "This is no time: "+short(40, text)+". "+writeTime) //nolint:mnd // enough to know it again
		}
	}
	return nil
}

// checkType refuses a pattern where one whole type is taken: nothing would be like it.
func checkType(text string) error {
	if strings.Contains(text, "*") {
		return refuse(http.StatusUnprocessableEntity, "Write one whole type here, such as order.created. Patterns with * are for the list of events.")
	}
	return nil
}

// sinceOf reads a time, or a span before now such as 15m, 24h or 7d. Text that is neither is none.
func sinceOf(v *visit, text string) string {
	text = strings.TrimSpace(text)
	if t, ok := local(text); ok {
		return iso(t)
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n > 0 && n < 10_000 {
			return iso(v.panel.now().Add(-time.Duration(n) * 24 * time.Hour).Truncate(time.Second))
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return iso(v.panel.now().Add(-d).Truncate(time.Second))
	}
	return ""
}
