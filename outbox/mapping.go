package outbox

// Mapping names the outbox table and its columns. An empty column name means that the table has no such column; ID,
// Type and Payload are required.
type Mapping struct {
	Table     string // schema.name, each part as it stands in the catalogue (unquoted)
	ID        string
	Type      string
	Key       string
	Tenant    string
	Payload   string
	Headers   string
	CreatedAt string
}

// DefaultMapping is the table that Migrate creates.
func DefaultMapping() Mapping {
	return Mapping{
		Table: "public.outbox", ID: "id", Type: "type", Key: "key", Tenant: "tenant",
		Payload: "payload", Headers: "headers", CreatedAt: "created_at",
	}
}

// Column describes a column of a streamed row.
type Column struct {
	Name    string
	TypeOID uint32
}

// ValueKind is how pgoutput sent a column (the Postgres manual, "Logical Replication Message Formats", TupleData).
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
