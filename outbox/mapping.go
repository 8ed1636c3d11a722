package outbox

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Mapping names the outbox table and its columns. An empty column name means that the table has no
// such column; ID, Type and Payload are required.
type Mapping struct {
	Table     string // schema.name, each part as it stands in the catalogue (unquoted)
	ID        string
	Type      string
	Key       string
	Tenant    string
	Payload   string
	Headers   string
	CreatedAt string
	DeliverAt string
	ExpiresAt string

	// Extra maps names to further columns, at most MaxExtra: their values are Event.Extra. Nil:
	// none.
	Extra map[string]string

	// TimeZone is that of times whose type has none (timestamp, date), a name of the IANA
	// database; empty: the database's.
	TimeZone string

	// Optional says which columns were not asked for by name: where the table lacks one, events
	// have none.
	Optional Optional
}

// Optional names the columns that a table may lack.
type Optional struct {
	Key       bool
	Tenant    bool
	Headers   bool
	CreatedAt bool
}

// Fit is the mapping without the optional columns that are not among columns.
func (m Mapping) Fit(columns []string) Mapping {
	drop := func(column *string, optional bool) {
		if optional && !slices.Contains(columns, *column) {
			*column = ""
		}
	}
	drop(&m.Key, m.Optional.Key)
	drop(&m.Tenant, m.Optional.Tenant)
	drop(&m.Headers, m.Optional.Headers)
	drop(&m.CreatedAt, m.Optional.CreatedAt)
	return m
}

// Without is the mapping without these columns, as Lacks returns them.
func (m Mapping) Without(lacks []string) Mapping {
	return m.Fit(slices.DeleteFunc(m.Columns(), func(c string) bool { return slices.Contains(lacks, c) }))
}

// Lacks returns the optional columns that are not among columns: events have none of them.
func (m Mapping) Lacks(columns []string) []string {
	all := m.Columns()
	for _, column := range m.Fit(columns).Columns() {
		all = slices.DeleteFunc(all, func(c string) bool { return c == column })
	}
	return all
}

// Columns are the columns that are named, each once.
func (m Mapping) Columns() []string {
	var columns []string
	for _, f := range m.fields() {
		if f.column != "" && !slices.Contains(columns, f.column) {
			columns = append(columns, f.column)
		}
	}
	for _, name := range m.extraNames() {
		if column := m.Extra[name]; column != "" && !slices.Contains(columns, column) {
			columns = append(columns, column)
		}
	}
	return columns
}

// IsZero reports whether m is the zero Mapping, which stands for no table.
func (m Mapping) IsZero() bool { return m.Equal(Mapping{}) }

// Equal reports whether two mappings say the same.
func (m Mapping) Equal(o Mapping) bool {
	return m.fields() == o.fields() && m.Table == o.Table && m.TimeZone == o.TimeZone && m.Optional == o.Optional && maps.Equal(m.Extra, o.Extra)
}

// DefaultMapping is the table that schema.Migrate creates.
func DefaultMapping() Mapping {
	return Mapping{
		Table: "public.outbox", ID: "id", Type: "type", Key: "key", Tenant: "tenant",
		Payload: "payload", Headers: "headers", CreatedAt: "created_at",
	}
}

// Validate checks what can be checked without a database: the table is named with its schema, and
// the required columns are named. All problems are reported at once.
func (m Mapping) Validate() error {
	var problems []error
	schema, name := m.SchemaAndName()
	if schema == "" || name == "" {
		problems = append(problems, fmt.Errorf("outbox table %q: write it with its schema, for example \"public.outbox\"", m.Table))
	}
	if strings.ContainsRune(m.Table, 0) {
		problems = append(problems, errors.New("outbox table: the name holds a NUL character"))
	}
	if _, err := m.Location(); err != nil {
		problems = append(problems, err)
	}
	for _, f := range m.fields() {
		if f.required && f.column == "" {
			problems = append(problems, fmt.Errorf("outbox table %s: no column is named for %q, which every event needs", m.Table, f.name))
		}
		if strings.ContainsRune(f.column, 0) {
			problems = append(problems, fmt.Errorf("outbox table %s: the column for %q holds a NUL character", m.Table, f.name))
		}
	}
	if err := m.CheckExtra(); err != nil {
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// Location returns the time zone that is named; nil: none is.
func (m Mapping) Location() (*time.Location, error) {
	if m.TimeZone == "" {
		return nil, nil //nolint:nilnil // no zone is named
	}
	location, err := time.LoadLocation(m.TimeZone)
	if err != nil || m.TimeZone == "Local" || strings.ContainsAny(m.TimeZone, "'\\\x00") {
		return nil, fmt.Errorf("outbox table %s: there is no time zone %q: write a name such as Europe/Berlin", m.Table, m.TimeZone)
	}
	return location, nil
}

// SchemaAndName splits Table at its first dot. A part that is missing is empty.
func (m Mapping) SchemaAndName() (schema, name string) {
	schema, name, ok := strings.Cut(m.Table, ".")
	if !ok {
		return "", schema
	}
	return schema, name
}

// QuotedTable returns Table for use in SQL.
func (m Mapping) QuotedTable() string {
	schema, name := m.SchemaAndName()
	return pgx.Identifier{schema, name}.Sanitize()
}

// The fields of an event that a column can hold, in the order of Mapping.fields.
const (
	fieldID = iota
	fieldType
	fieldKey
	fieldTenant
	fieldPayload
	fieldHeaders
	fieldCreatedAt
	fieldDeliverAt
	fieldExpiresAt
	fieldCount
)

// field is one entry of a Mapping: what the configuration calls it, and the column that holds it.
type field struct {
	name     string
	column   string
	required bool
}

func (m Mapping) fields() [fieldCount]field {
	return [fieldCount]field{
		fieldID:        {name: "id", column: m.ID, required: true},
		fieldType:      {name: "type", column: m.Type, required: true},
		fieldKey:       {name: "key", column: m.Key},
		fieldTenant:    {name: "tenant", column: m.Tenant},
		fieldPayload:   {name: "payload", column: m.Payload, required: true},
		fieldHeaders:   {name: "headers", column: m.Headers},
		fieldCreatedAt: {name: "created_at", column: m.CreatedAt},
		fieldDeliverAt: {name: "deliver_at", column: m.DeliverAt},
		fieldExpiresAt: {name: "expires_at", column: m.ExpiresAt},
	}
}

// Column describes a column of a table, or of a row of it.
type Column struct {
	Name     string
	TypeOID  uint32
	BaseOID  uint32 // the type that a domain is made of, TypeOID where it is none; 0: not known
	TypeName string // for people; empty: not known
}

// base returns the type that says how a column's values look.
func (c Column) base() uint32 {
	if c.BaseOID != 0 {
		return c.BaseOID
	}
	return c.TypeOID
}

// ValueKind is how pgoutput sent a column (the Postgres manual, "Logical Replication Message
// Formats", TupleData).
type ValueKind byte

// The kinds of a value.
const (
	NullValue      ValueKind = 'n'
	UnchangedTOAST ValueKind = 'u' // an UPDATE left a toasted column alone; the bytes are not sent
	TextValue      ValueKind = 't'
)

// Value is one column of a streamed row. Data aliases a read buffer: whoever keeps it copies it.
type Value struct {
	Kind ValueKind
	Data []byte
}
