package outbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tailpost/tailpost/outbox/payload"
)

// MaxExtra is how many columns Mapping.Extra may have.
const MaxExtra = 16

// maxExtraName bounds the names of Mapping.Extra, as Postgres bounds those of columns.
const maxExtraName = 63

// extraNames returns the names of the extra columns in order.
func (m Mapping) extraNames() []string { return slices.Sorted(maps.Keys(m.Extra)) }

// CheckExtra checks the names of the extra columns without a database. All problems are reported at
// once.
func (m Mapping) CheckExtra() error {
	var problems []error
	problem := func(text string, args ...any) {
		problems = append(problems, fmt.Errorf("outbox table %s: "+text, append([]any{m.Table}, args...)...))
	}
	if len(m.Extra) > MaxExtra {
		problem("%d extra columns are named: name at most %d", len(m.Extra), MaxExtra)
	}
	for _, name := range m.extraNames() {
		switch column := m.Extra[name]; {
		case !isExtraName(name):
			problem("the extra column %q has a name that event.extra cannot have: write up to %d letters, digits, _ and -, beginning with a letter or _", name, maxExtraName)
		case column == "":
			problem("no column is named for extra %q: name one, or leave it out", name)
		case strings.ContainsRune(column, 0):
			problem("the column for extra %q holds a NUL character", name)
		}
	}
	return errors.Join(problems...)
}

// isExtraName reports whether an expression can name it behind event.extra.
func isExtraName(name string) bool {
	for i, r := range name {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_'
		if !letter && (i == 0 || r != '-' && (r < '0' || r > '9')) {
			return false
		}
	}
	return name != "" && len(name) <= maxExtraName
}

// extraProblem says what an extra column must be, if its type is not that. Empty: it fits.
func extraProblem(c Column) string {
	if c.base() == pgtype.ByteaOID {
		return "want text, a number, a bool, a time, json or another type that has a readable text; bytea has none"
	}
	return ""
}

// missingExtra says that the table has no such column.
func missingExtra(m *Mapping, name string, names []string) error {
	return missingColumn(m.Table, field{name: "extra." + name, column: m.Extra[name], required: true}, names)
}

// extraSource is where an extra column is found in a row.
type extraSource struct {
	source

	member []byte // its name as JSON, with its colon
}

// extraSources finds the extra columns among those of a row.
func (m Mapping) extraSources(columns []Column) []extraSource {
	var found []extraSource
	for _, name := range m.extraNames() {
		for at, c := range columns {
			if c.Name == m.Extra[name] {
				member := append(payload.AppendString(nil, name), ':')
				found = append(found, extraSource{source{index: at, column: c.Name, oid: c.base()}, member})
			}
		}
	}
	return found
}

// extra returns the extra columns of a row as a JSON object; nil: there are none.
func (d *Decoder) extra(row []Value) (json.RawMessage, error) {
	if len(d.extras) == 0 {
		return nil, nil
	}
	object := []byte{'{'}
	for i := range d.extras {
		at := &d.extras[i]
		data, ok, err := d.read(row, &at.source)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			object = append(object, ',')
		}
		object = append(object, at.member...)
		if !ok {
			object = append(object, "null"...)
			continue
		}
		object = appendExtra(object, at.oid, data)
	}
	return append(object, '}'), nil
}

// appendExtra appends a value in its text form as JSON: what Decoder.Decode documents.
func appendExtra(dst []byte, oid uint32, data []byte) []byte {
	switch oid {
	case pgtype.BoolOID:
		if string(data) == "t" {
			return append(dst, "true"...)
		}
		return append(dst, "false"...)
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.OIDOID, pgtype.NumericOID, pgtype.Float4OID, pgtype.Float8OID,
		pgtype.JSONOID, pgtype.JSONBOID:
		if payload.Valid(data) { // NaN and Infinity are not
			return append(dst, data...)
		}
	case pgtype.TimestamptzOID:
		// Without the zone of the session, which need not be the same everywhere.
		if t, ok := parseTimestamp(data); ok && !t.IsZero() {
			return payload.AppendString(dst, t.UTC().Format(time.RFC3339Nano))
		}
	}
	return payload.AppendString(dst, string(data))
}

// extraText returns the member of an event's extra values as the text that its column takes; nil:
// it has none, or null.
func (e *Event) extraText(name string) (any, error) {
	at := payload.Path{payload.Member(name)}.Find(e.Extra)
	if at == payload.Absent {
		return nil, nil //nolint:nilnil // the column's default
	}
	raw := e.Extra[at:payload.End(e.Extra, at)]
	switch {
	case string(raw) == "null":
		return nil, nil //nolint:nilnil // the column's default
	case raw[0] != '"':
		return string(raw), nil
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return nil, fmt.Errorf("read extra %q: %w", name, err)
	}
	return text, nil
}

// extraProblem says why the extra values cannot be written. Empty: they can.
func (e *Event) extraProblem() string {
	if e.Extra == nil {
		return ""
	}
	var members map[string]json.RawMessage
	if !payload.Valid(e.Extra) || json.Unmarshal(e.Extra, &members) != nil || members == nil {
		return "its extra is not a JSON object"
	}
	if problem := textProblem(string(e.Extra)); problem != "" {
		return "its extra " + problem
	}
	return ""
}

// unmappedExtra returns the name of an extra value that the mapping has no column for; empty: there
// is none.
func (m Mapping) unmappedExtra(e *Event) string {
	if e.Extra == nil {
		return ""
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(e.Extra, &members) != nil {
		return "" // prepare says so
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if _, mapped := m.Extra[name]; !mapped {
			return name
		}
	}
	return ""
}
