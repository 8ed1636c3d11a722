package outbox

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tailpost/tailpost/outbox/suggest"
)

// CheckColumns reports what keeps the columns of a table from being those of the mapping: one that
// is missing, unless it is optional, or one of a type that its field cannot have. All problems are
// reported at once, each with what to do.
func (m Mapping) CheckColumns(columns []Column) error {
	all := names(columns)
	var problems []error
	for i, f := range m.Fit(all).fields() {
		if f.column == "" {
			continue
		}
		at := slices.Index(all, f.column)
		if at < 0 {
			problems = append(problems, missingColumn(m.Table, f, all))
			continue
		}
		want := typeProblem(i, columns[at])
		if want != "" {
			problems = append(problems, wrongType(m.Table, f, columns[at], want))
		}
	}
	for _, name := range m.extraNames() {
		at := slices.Index(all, m.Extra[name])
		if at < 0 {
			problems = append(problems, missingExtra(&m, name, all))
		} else if want := extraProblem(columns[at]); want != "" {
			problems = append(problems, wrongType(m.Table, field{name: "extra." + name, column: m.Extra[name]}, columns[at], want))
		}
	}
	return errors.Join(problems...)
}

func wrongType(table string, f field, c Column, want string) error {
	if c.TypeName != "" {
		want = "it is " + c.TypeName + ", " + want
	}
	return fmt.Errorf("outbox table %s: column %q cannot be the %s of events: %s", table, f.column, f.name, want)
}

func names(columns []Column) []string {
	all := make([]string, len(columns))
	for i, c := range columns {
		all[i] = c.Name
	}
	return all
}

func missingColumn(table string, f field, names []string) error {
	hint := ""
	if guess := suggest.Closest(f.column, names); guess != "" {
		hint = fmt.Sprintf("; did you mean %q?", guess)
	}
	if !f.required {
		hint += fmt.Sprintf("; write %s = null in outbox.columns if events have none", f.name)
	}
	return fmt.Errorf("outbox table %s has no column %q (mapped to %s): its columns are %s%s", table, f.column, f.name, strings.Join(names, ", "), hint)
}

// firstUserOID is the first OID of types that are not Postgres' own: domains, enums, extensions.
// The stream does not say what they are made of.
const firstUserOID = 16384

// typeProblem says what a column for the field must be, if its type is not that. Empty: it fits, or
// nobody knows better.
func typeProblem(f int, c Column) string {
	if c.BaseOID == 0 && c.TypeOID >= firstUserOID {
		return ""
	}
	oid := c.base()
	var want string
	var oids []uint32
	switch f {
	case fieldID:
		return "" // any type has a text form
	case fieldType:
		if oid >= firstUserOID {
			return "" // an enum or citext
		}
		want, oids = "text, varchar, char, name or an enum", []uint32{pgtype.TextOID, pgtype.VarcharOID, pgtype.BPCharOID, pgtype.NameOID}
	case fieldKey, fieldTenant:
		if oid == pgtype.JSONOID || oid == pgtype.JSONBOID || oid == pgtype.ByteaOID {
			return "want text, a number or a uuid"
		}
		return ""
	case fieldPayload:
		want, oids = "json, jsonb, text or bytea", []uint32{pgtype.JSONOID, pgtype.JSONBOID, pgtype.TextOID, pgtype.VarcharOID, pgtype.ByteaOID}
	case fieldHeaders:
		want, oids = "json, jsonb or text with a JSON object", []uint32{pgtype.JSONOID, pgtype.JSONBOID, pgtype.TextOID, pgtype.VarcharOID}
	default:
		want, oids = "timestamptz, timestamp or date", []uint32{pgtype.TimestamptzOID, pgtype.TimestampOID, pgtype.DateOID}
	}
	if slices.Contains(oids, oid) {
		return ""
	}
	return "want " + want
}
