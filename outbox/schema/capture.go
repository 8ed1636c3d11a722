package schema

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/template"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox"
)

// Operation is a kind of change of a row.
type Operation string

// The operations that a trigger sees row by row. TRUNCATE is not among them.
const (
	Insert Operation = "insert"
	Update Operation = "update"
	Delete Operation = "delete"
)

// Operations returns every Operation.
func Operations() []Operation { return []Operation{Insert, Update, Delete} }

// CaptureOptions say which changes of a table become events, and which events.
type CaptureOptions struct {
	// Mapping is the outbox table that the events are written to. Its columns that no event has,
	// and that must not be NULL, need a default: the id for one. Its payload column is of type
	// jsonb, json or text. The script fails where that is not so.
	Mapping outbox.Mapping
	// Table is the table whose changes become events, as schema.name; a name alone is in schema
	// public.
	Table string
	// On are the operations that become events. Empty: all.
	On []Operation
	// When is a condition over NEW and OLD, in SQL, that a change must meet; empty: every change.
	// It is put into the trigger's WHEN clause as it is, so it may name OLD only where no INSERT is
	// captured, and NEW only where no DELETE is.
	When string
	// Type is the type of the events, in which {op} stands for the operation and {table} for the
	// name of the table. Empty: {table}.{op}.
	Type string
	// Columns are those of the table that the payload has. Empty: all.
	Columns []string
	// Key and Tenant name the columns of the table whose values become the event's key and tenant.
	// Empty: none.
	Key, Tenant string
	// Name tells this capture from others of the same table, which stay as they are. Empty: the one
	// without a name.
	Name string
}

// captureQuote is what the template puts around the function's text.
const captureQuote = "$tailpost_capture$"

//go:embed capture.sql.tmpl
var captureText string

// PrintCapture writes SQL that makes each chosen change of a table insert an event, in the
// transaction of the change. Running it again replaces what it made before under the same name. An
// error says which option to correct; nothing is written then.
func PrintCapture(w io.Writer, o CaptureOptions) error {
	o.Table = withSchema(o.Table)
	if len(o.On) == 0 {
		o.On = Operations()
	}
	if o.Type == "" {
		o.Type = "{table}.{op}"
	}
	if err := o.validate(); err != nil {
		return err
	}
	quote := func(parts ...string) string { return pgx.Identifier(parts).Sanitize() }
	literal := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	tmpl, err := template.New("capture").Funcs(template.FuncMap{
		"quote": quote, "literal": literal, "upper": strings.ToUpper,
		// A line break would end the comment and begin a statement.
		"comment": func(s string) string { return strings.Join(strings.Fields(s), " ") },
	}).Parse(captureText)
	if err != nil {
		return fmt.Errorf("read the template of the trigger: %w", err)
	}
	schema, table, _ := strings.Cut(o.Table, ".")
	toSchema, to := o.Mapping.SchemaAndName()
	return tmpl.Execute(w, map[string]any{
		"Schema": schema, "Table": table, "OutboxSchema": toSchema, "Outbox": to, "Mapping": o.Mapping,
		"Operations": o.On, "When": o.When, "Columns": o.Columns, "Key": o.Key, "Tenant": o.Tenant,
		"Type": strings.ReplaceAll(o.Type, "{table}", table), "Function": o.function(schema, table), "Trigger": o.trigger(table),
		"Named": o.named(), "Others": o.others(), "Written": o.written(),
	})
}

// named returns the columns of the table that the options name.
func (o *CaptureOptions) named() []string {
	names := slices.Clone(o.Columns)
	for _, name := range []string{o.Key, o.Tenant} {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// others returns the operations that make no events.
func (o *CaptureOptions) others() []Operation {
	return slices.DeleteFunc(Operations(), func(op Operation) bool { return slices.Contains(o.On, op) })
}

// written returns the columns of the outbox that the triggers write.
func (o *CaptureOptions) written() []string {
	columns := []string{o.Mapping.Type}
	if o.Key != "" {
		columns = append(columns, o.Mapping.Key)
	}
	if o.Tenant != "" {
		columns = append(columns, o.Mapping.Tenant)
	}
	return append(columns, o.Mapping.Payload)
}

// captureName is what the names of functions and triggers begin with.
const captureName = "tailpost_capture_"

// function returns the name of the function. The functions of all captured tables are in the
// outbox's schema, so that each has a name that no other table's has.
func (o *CaptureOptions) function(schema, table string) string {
	parts := []string{table}
	if schema != "public" {
		parts = []string{schema, table}
	}
	return captureName + distinct(maxCaptureName, parts, o.Name)
}

// trigger returns what the names of the triggers begin with. Two tables may have triggers of the
// same name.
func (o *CaptureOptions) trigger(table string) string {
	if o.Name == "" {
		return captureName + cut(table, maxCaptureName)
	}
	return captureName + distinct(maxCaptureName, []string{table}, o.Name)
}

// maxCaptureName is how much of a name (63 bytes) a table and a capture have.
const maxCaptureName = 63 - len(captureName+"_delete")

// distinct makes a name of at most so many bytes out of names. It is that of no others: where the
// names themselves do not tell, a checksum does.
func distinct(most int, parts []string, name string) string {
	readable := strings.Join(parts, ".")
	if name != "" {
		readable += ":" + name
	}
	plain := !slices.ContainsFunc(append(parts, name), func(part string) bool { return strings.ContainsAny(part, ".:") })
	if plain && len(readable) <= most {
		return readable
	}
	sum := sha256.Sum256([]byte(strings.Join(append(slices.Clone(parts), ":", name), "\x00")))
	checksum := "_" + hex.EncodeToString(sum[:4])
	return cut(readable, most-len(checksum)) + checksum
}

// cut returns the first bytes of a text, without a part of a character.
func cut(text string, most int) string {
	return strings.ToValidUTF8(text[:min(len(text), most)], "")
}

func withSchema(table string) string {
	if strings.Contains(table, ".") {
		return table
	}
	return "public." + table
}

func (o *CaptureOptions) validate() error {
	var problems []error
	if err := o.Mapping.Validate(); err != nil {
		problems = append(problems, err)
	}
	schema, table, _ := strings.Cut(o.Table, ".")
	switch {
	case schema == "" || table == "":
		problems = append(problems, fmt.Errorf("table %q: write it as schema.name", o.Table))
	case o.Table == o.Mapping.Table:
		problems = append(problems, fmt.Errorf("table %s is the outbox: its rows are events already", o.Table))
	}
	for i, op := range o.On {
		if !slices.Contains(Operations(), op) {
			problems = append(problems, fmt.Errorf("operation %q: want insert, update or delete", op))
		}
		if slices.Contains(o.On[:i], op) {
			problems = append(problems, fmt.Errorf("operation %q is named twice", op))
		}
	}
	if o.Key != "" && o.Mapping.Key == "" {
		problems = append(problems, fmt.Errorf("the outbox %s has no column for a key: map one, or name no key", o.Mapping.Table))
	}
	if o.Tenant != "" && o.Mapping.Tenant == "" {
		problems = append(problems, fmt.Errorf("the outbox %s has no column for a tenant: map one, or name no tenant", o.Mapping.Table))
	}
	for _, name := range append([]string{o.Table, o.Type, o.When, o.Key, o.Tenant, o.Name}, o.Columns...) {
		if strings.ContainsRune(name, 0) {
			problems = append(problems, errors.New("a name or the condition holds a NUL character"))
		}
		if strings.Contains(name, captureQuote) {
			problems = append(problems, errors.New("a name or the condition holds "+captureQuote+", which ends the function's text"))
		}
	}
	if slices.Contains(o.Columns, "") {
		problems = append(problems, errors.New("a column has an empty name"))
	}
	return errors.Join(problems...)
}
