package schema

import (
	_ "embed"
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
	// Mapping is the outbox table that the events are written to. Its id column needs a default,
	// and its payload column is of type jsonb, json or text.
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
}

// captureQuote is what the template puts around the function's text.
const captureQuote = "$tailpost_capture$"

//go:embed capture.sql.tmpl
var captureText string

// PrintCapture writes SQL that makes each chosen change of a table insert an event, in the
// transaction of the change. Running it again replaces what it made before. An error says which
// option to correct; nothing is written then.
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
		"Type": strings.ReplaceAll(o.Type, "{table}", table), "Name": captureName(table),
		"Named": o.named(), "Others": o.others(),
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

// captureName returns the name of the function and of the triggers, within what Postgres keeps of a
// name (63 bytes).
func captureName(table string) string {
	const most = 63 - len("tailpost_capture__delete")
	for len(table) > most {
		table = table[:len(table)-1]
	}
	return "tailpost_capture_" + strings.ToValidUTF8(table, "")
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
	for _, name := range append([]string{o.Table, o.Type, o.When, o.Key, o.Tenant}, o.Columns...) {
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
