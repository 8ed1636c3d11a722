package schema

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/template"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox"
)

// PrintOptions says what Print prints. An empty role name takes its default.
type PrintOptions struct {
	Mapping      outbox.Mapping // the outbox table; the zero Mapping: none is used
	Slot         string         // name of the relay's slot and publication
	AfterVersion int            // only migrations later than this; 0: all
	Relay        string         // role of the relay, "tailpost_relay"
	Application  string         // role that writes events, "tailpost_application"
	Reader       string         // role for people, "tailpost_reader"
}

// printData is the data of the SQL templates.
type printData struct {
	QuotedTable, Schema        string
	Relay, Application, Reader string
	Slot, EndpointPublication  string
	RelayGrants                []grant
	RelayFunctions             []string
}

// Print writes what Migrate does as one script for the user's own migration tool, followed by roles
// with the least privileges and the publications, which the relay's role cannot make itself.
func Print(w io.Writer, o PrintOptions) error {
	if o.Slot == "" || strings.Trim(o.Slot, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return fmt.Errorf("slot %q: a slot's name consists of lower-case letters, digits and underscores", o.Slot)
	}
	data := printData{
		Relay:               cmp.Or(o.Relay, "tailpost_relay"),
		Application:         cmp.Or(o.Application, "tailpost_application"),
		Reader:              cmp.Or(o.Reader, "tailpost_reader"),
		Slot:                o.Slot,
		EndpointPublication: outbox.EndpointPublication(o.Slot),
		RelayGrants:         relayGrants(),
		RelayFunctions:      relayFunctions(),
	}
	if !o.Mapping.IsZero() {
		if err := o.Mapping.Validate(); err != nil {
			return err
		}
		data.QuotedTable = o.Mapping.QuotedTable()
		data.Schema, _ = o.Mapping.SchemaAndName()
	}
	script, err := printScript(o, data)
	if err != nil {
		return err
	}
	if _, err := w.Write(script); err != nil {
		return fmt.Errorf("write SQL: %w", err)
	}
	return nil
}

// printedMigration is one step of the script. A script that is run again, or that a tool without a
// transaction around it goes on with after an error, does no step twice.
const printedMigration = `
-- Migration %d: %s

DO $tailpost_step$
BEGIN
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    IF pg_catalog.to_regclass('tailpost.migration') IS NOT NULL THEN
        IF EXISTS (SELECT FROM tailpost.migration AS m WHERE m.version = %d) THEN
            RETURN;
        END IF;
    END IF;
    EXECUTE $tailpost_sql$
%s
$tailpost_sql$;
    INSERT INTO tailpost.migration (version, name) VALUES (%d, %s);
END
$tailpost_step$;
`

func printScript(o PrintOptions, data printData) ([]byte, error) {
	steps, err := migrations()
	if err != nil {
		return nil, err
	}
	if o.AfterVersion < 0 || o.AfterVersion > len(steps) {
		return nil, fmt.Errorf("print migrations after version %d: this tailpost knows versions up to %d", o.AfterVersion, len(steps))
	}
	var b bytes.Buffer
	b.WriteString("-- Tailpost: schema, roles and publications. Run it once in the application's database, as the owner of the outbox\n" +
		"-- table, in one transaction, for example: psql --single-transaction --set ON_ERROR_STOP=1 --file this.sql\n\n" +
		"-- Nothing that somebody else defined in a schema of the path is found by what follows.\n" +
		"SELECT pg_catalog.set_config('tailpost.search_path', pg_catalog.current_setting('search_path'), true);\n" +
		"SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);\n")
	for _, step := range steps[o.AfterVersion:] {
		fmt.Fprintf(&b, printedMigration, step.Version, step.Name, step.Version, step.sql, step.Version, quoteLiteral(step.Name))
	}
	fmt.Fprintf(&b, "\n-- Partitions for the first days; the relay makes those of later days.\n"+
		"SELECT tailpost.ensure_attempt_partitions((now() AT TIME ZONE 'UTC')::date, %d);\n", partitionDays)

	var parts []string
	if isDefault(o.Mapping) {
		parts = append(parts, "outbox.sql.tmpl")
	}
	for _, name := range append(parts, "roles.sql.tmpl", "publications.sql.tmpl") {
		text, err := render(name, data)
		if err != nil {
			return nil, err
		}
		b.WriteString("\n" + text)
	}
	b.WriteString("\n-- What runs next in this transaction has its own path again.\n" +
		"SELECT pg_catalog.set_config('search_path', pg_catalog.current_setting('tailpost.search_path'), true);\n")
	return b.Bytes(), nil
}

// render fills in an SQL template, with every name quoted.
func render(name string, data printData) (string, error) {
	t, err := template.New(name).Funcs(template.FuncMap{
		"ident":   func(s string) string { return pgx.Identifier{s}.Sanitize() },
		"literal": quoteLiteral,
	}).ParseFS(migrationFiles, "migrations/"+name)
	if err != nil {
		return "", fmt.Errorf("parse %s: %w", name, err)
	}
	var b strings.Builder
	if err := t.Execute(&b, data); err != nil {
		return "", fmt.Errorf("fill in %s: %w", name, err)
	}
	if strings.ContainsRune(b.String(), 0) {
		return "", errors.New("a name holds a NUL character")
	}
	return b.String(), nil
}

// quoteLiteral quotes s as an SQL string, whatever standard_conforming_strings is.
func quoteLiteral(s string) string {
	quoted := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return " E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}
