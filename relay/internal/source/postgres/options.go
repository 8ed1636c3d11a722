package postgres

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/tailpost/tailpost/outbox"
)

// DefaultEndpointTable is where endpoints live.
const DefaultEndpointTable = "tailpost.endpoint"

// endpointSuffix makes the name of the endpoint table's publication out of that of the slot.
const endpointSuffix = "_endpoint"

const (
	defaultStatusInterval = 10 * time.Second
	defaultReplyTimeout   = 60 * time.Second
	// maxIdentifier is NAMEDATALEN - 1.
	maxIdentifier = 63
)

// Options says what to stream and from where. URL and Slot are required.
type Options struct {
	// URL is the database's address, a libpq URL or keyword string. It must not lead to a
	// connection pooler.
	URL string
	// Slot names the replication slot and the outbox's publication; the endpoint table's is called
	// Slot_endpoint.
	Slot string
	// Table is the outbox table, schema.name as in the catalogue. Empty: events are logical
	// messages only.
	Table string
	// EndpointTable is the table of endpoints. Empty: DefaultEndpointTable.
	EndpointTable string
	// ApplicationName is shown in pg_stat_replication. Empty: "tailpost".
	ApplicationName string

	// Create makes the slot when it is missing; otherwise that is ErrSlotMissing.
	Create bool
	// ReplaceLost drops a lost slot and makes a new one; otherwise that is ErrSlotLost.
	ReplaceLost bool
	// Replace drops the slot, whatever Postgres says of it, unless somebody holds it, and makes a
	// new one. It is what helps after ErrWALMissing.
	Replace bool
	// SkipBacklog lets go of all WAL written so far, unread. It is what helps after ErrUnreadable.
	SkipBacklog bool

	// Admit is asked once it is known which server and database URL leads to, and before anything
	// is made there; an error of it is Open's. nil: any will do.
	Admit func(ctx context.Context, found Info) error
	// Start is where to stream from. Zero: where the slot stands.
	Start outbox.LSN
	// StatusInterval is how often Postgres hears from an idle stream, at most. Zero: 10s. A third
	// of wal_sender_timeout is taken where that is less.
	StatusInterval time.Duration
	// ReplyTimeout is how long the server may leave a request for a reply unanswered. Zero: 60s.
	ReplyTimeout time.Duration

	// Waiting is called while the creation of the slot waits for transactions that are older than
	// it, first after WaitNotice, then every minute. by says which they are and how to end them. It
	// must not block. nil: nobody wants to know.
	Waiting func(by string)
	// WaitNotice is how long the creation may take before Waiting is called. Zero: 5s.
	WaitNotice time.Duration
}

// Info reports what Open found and did.
type Info struct {
	ServerVersion int // as server_version_num: 150004 is 15.4
	SystemID      string
	Timeline      int32
	Database      string
	Encoding      string // of the database, as server_encoding has it: UTF8
	Standbys      string // that commits wait for: synchronous_standby_names
	Table         uint32 // OID of Options.Table; 0: no table is wanted
	// SlotCreated says that the slot is new: what committed before was not streamed.
	SlotCreated bool
	// Changed names the publications that were created or mended: what committed before may not be
	// in the stream.
	Changed []string
	// SkippedFrom is where the slot stood before WAL was let go unread, see Options.SkipBacklog.
	// Zero: none was.
	SkippedFrom outbox.LSN
	// ConfirmedFlush is where the stream starts unless Options.Start is later, Restart the oldest
	// WAL that the slot holds.
	ConfirmedFlush outbox.LSN
	Restart        outbox.LSN
	// Widened says that Open has the outbox table's publication publish deletes too, of which the
	// stream missed nothing.
	Widened bool
	// Advice lists settings that should be changed, and how.
	Advice []string
	// Failover says that standbys keep a copy of the slot (Postgres 17 or later).
	Failover bool
	// PID is the process that serves the stream, as pg_replication_slots.active_pid names it.
	PID int
	// Asked, Clock and Answered are a time of the server's clock and what this machine's said
	// before and after.
	Asked, Clock, Answered time.Time
	// SenderTimeout is wal_sender_timeout: how long the server keeps a silent client. Zero: for
	// ever.
	SenderTimeout time.Duration
}

// withDefaults checks the options and fills in the rest.
func (o Options) withDefaults() (Options, error) {
	if !regexp.MustCompile(`^[a-z0-9_]+$`).MatchString(o.Slot) || len(o.Slot+endpointSuffix) > maxIdentifier {
		return o, fmt.Errorf("slot %q: a name has lower-case letters, digits and underscores only, at most %d",
			o.Slot, maxIdentifier-len(endpointSuffix))
	}
	if o.EndpointTable == "" {
		o.EndpointTable = DefaultEndpointTable
	}
	if o.ApplicationName == "" {
		o.ApplicationName = "tailpost"
	}
	if o.StatusInterval == 0 {
		o.StatusInterval = defaultStatusInterval
	}
	if o.ReplyTimeout == 0 {
		o.ReplyTimeout = defaultReplyTimeout
	}
	if o.WaitNotice == 0 {
		o.WaitNotice = defaultWaitNotice
	}
	if o.StatusInterval < 0 || o.ReplyTimeout < 0 {
		return o, errors.New("StatusInterval and ReplyTimeout must not be negative")
	}
	for _, table := range []string{o.Table, o.EndpointTable} {
		if schema, name, _ := strings.Cut(table, "."); table != "" && (schema == "" || name == "") {
			return o, fmt.Errorf("table %q: want schema.name", table)
		}
	}
	return o, nil
}
