package api

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/query"
	routing "github.com/tailpost/tailpost/relay/internal/route"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// Completeness says whether anything is missing, and how that is known.
type Completeness struct {
	Events      EventCounts `json:"events" doc:"What became of the newest outbox rows."`
	Unaccounted []string    `json:"unaccounted" nullable:"false" doc:"Ids of settled events that an endpoint wants and that left no trace, the newest 100."`
	Audit       AuditState  `json:"audit"`
	Gaps        []Gap       `json:"gaps" nullable:"false" doc:"The newest 20 gaps in the stream, and how they were healed."`
	GapsFound   int64       `json:"gaps_found" doc:"Gaps ever found."`
	WAL         WALState    `json:"wal"`
}

// EventCounts count what became of events.
type EventCounts struct {
	Seen        int64      `json:"seen" doc:"Committed outbox rows that were looked at."`
	Whole       bool       `json:"whole" doc:"They are all rows of the table, not only the newest."`
	From        *time.Time `json:"from,omitempty" doc:"When the oldest of them was created."`
	To          *time.Time `json:"to,omitempty" doc:"When the newest of them was created."`
	Delivered   int64      `json:"delivered"`
	Pending     int64      `json:"pending"`
	Dead        int64      `json:"dead"`
	Discarded   int64      `json:"discarded"`
	FilteredOut int64      `json:"filtered_out" doc:"No endpoint wanted them."`
	New         int64      `json:"new" doc:"The relay has not come to them."`
	Unaccounted int64      `json:"unaccounted" doc:"Settled, wanted by an endpoint, and without a trace. The next audit delivers them."`
	Note        string     `json:"note,omitempty" doc:"Why nothing could be counted."`
}

// AuditState is how the audit stands.
type AuditState struct {
	StartedAt *time.Time `json:"started_at,omitempty" doc:"When the slot was first taken; older rows are nobody's, unless outbox.start says so."`
	AuditedAt *time.Time `json:"audited_at,omitempty" doc:"Events created before it were found settled by an audit."`
	SettledAt *time.Time `json:"settled_at,omitempty" doc:"Commit time of the last settled transaction."`
	Due       string     `json:"due,omitempty" doc:"Why an audit is due; missing: only the one of every audit_interval is."`
	DueSince  *time.Time `json:"due_since,omitempty"`
}

// Gap is a gap in the stream that was healed.
type Gap struct {
	Why        string     `json:"why"`
	Since      *time.Time `json:"since,omitempty" doc:"Events created at or after it were looked at; missing: all."`
	Events     int64      `json:"events" doc:"Events found that the stream had not brought."`
	Deliveries int64      `json:"deliveries" doc:"Deliveries that were queued for them."`
	Note       string     `json:"note,omitempty" doc:"What could not be healed."`
	DetectedAt time.Time  `json:"detected_at"`
	HealedAt   time.Time  `json:"healed_at"`
}

// WALState is the write-ahead log that the server keeps for the relay.
type WALState struct {
	RetainedBytes  int64    `json:"retained_bytes"`
	SafeBytes      *int64   `json:"safe_bytes,omitempty" doc:"How much more may be written before the slot is lost (max_slot_wal_keep_size); missing: there is no limit."`
	BytesPerSecond float64  `json:"bytes_per_second" doc:"At which the server writes: since the call before this one, or on average."`
	MinutesLeft    *float64 `json:"minutes_left,omitempty" doc:"Until the slot is lost if the relay confirms nothing more."`
}

type completenessInput struct {
	Events int `query:"events" minimum:"1" maximum:"10000" default:"1000" doc:"How many of the newest outbox rows are looked at."`
}

type completenessOutput struct {
	Body Completeness
}

// walRate remembers where the write-ahead log was, so that the next call knows how fast it grows.
type walRate struct {
	mu       sync.Mutex
	at       time.Time
	position int64
	rate     float64
}

// walSample is how far apart two looks at the log must be for a rate.
const walSample = 5 * time.Second

func (w *walRate) look(now time.Time, position int64, average float64) float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	elapsed := now.Sub(w.at)
	switch {
	case w.at.IsZero() || position < w.position:
		w.at, w.position, w.rate = now, position, average
	case elapsed >= walSample:
		w.rate = float64(position-w.position) / elapsed.Seconds()
		w.at, w.position = now, position
	}
	return w.rate
}

// mostUnaccounted bounds the ids that are shown.
const mostUnaccounted = 100

func checkCompleteness(ctx context.Context, s *Server, p *principal, in *completenessInput) (*completenessOutput, error) {
	if p.tenant() != "" {
		return nil, query.ErrNotFound
	}
	decode := func(row *ledger.EndpointRow) config.Endpoint { return decodeRow(s, row) }
	c, err := s.store.Completeness(ctx, s.status().Slot, in.Events, wantingBy(decode))
	if err != nil {
		return nil, err
	}
	out := &completenessOutput{Body: Completeness{
		Events:      countEvents(&c),
		Unaccounted: append([]string{}, c.Unaccounted[:min(len(c.Unaccounted), mostUnaccounted)]...),
		Audit:       AuditState{StartedAt: c.Audit.StartedAt, AuditedAt: c.Audit.AuditedAt, SettledAt: c.Audit.SettledAt, Due: c.Audit.Due, DueSince: c.Audit.DueSince},
		Gaps:        make([]Gap, 0, len(c.Gaps)), GapsFound: c.Found,
		WAL: WALState{RetainedBytes: c.WAL.Retained, SafeBytes: c.WAL.Safe, BytesPerSecond: s.wal.look(s.now(), c.WAL.Position, c.WAL.Average)},
	}}
	for i := range c.Gaps {
		g := &c.Gaps[i]
		out.Body.Gaps = append(out.Body.Gaps, Gap{
			Why: g.Why, Since: g.Since, Events: g.Events, Deliveries: g.Deliveries, Note: g.Note, DetectedAt: g.DetectedAt.UTC(), HealedAt: g.At.UTC(),
		})
	}
	out.Body.WAL.estimate()
	return out, nil
}

// estimate fills in the minutes that are left, where there is a limit and something is written.
func (w *WALState) estimate() {
	if w.SafeBytes == nil || w.BytesPerSecond <= 0 {
		return
	}
	left := max(float64(*w.SafeBytes), 0) / w.BytesPerSecond / time.Minute.Seconds()
	w.MinutesLeft = &left
}

// unaccountedRows are how many of the newest outbox rows Unaccounted looks at.
const unaccountedRows = 200

// Unaccounted returns how many of the newest settled events of a slot left no trace although an
// endpoint wants them, by filters that see the versions that endpoints pin. Where the outbox table
// cannot be listed that is an error.
func Unaccounted(ctx context.Context, store *query.Store, slot string, versions config.Versions) (int, error) {
	c, err := store.Completeness(ctx, slot, unaccountedRows, wantingBy(func(row *ledger.EndpointRow) config.Endpoint {
		e, _ := ledger.DecodeEndpoint(*row) // what cannot be read whole is logged when it is routed
		ledger.Pin(&e, row, versions)
		return e
	}))
	if err == nil && !c.Listed {
		err = errors.New("there is no outbox table that can be listed")
	}
	return len(c.Unaccounted), err
}

func countEvents(c *query.Completeness) EventCounts {
	n := EventCounts{Seen: int64(len(c.Events)), Whole: c.Whole && c.Listed, Unaccounted: int64(len(c.Unaccounted))}
	if !c.Listed {
		n.Note = "There is no outbox table that can be listed: events come as logical messages, or no index begins with its id."
	}
	lost := make(map[string]bool, len(c.Unaccounted))
	for _, id := range c.Unaccounted {
		lost[id] = true
	}
	for i := range c.Events {
		e := &c.Events[i]
		widen(&n.From, &n.To, e.CreatedAt)
		switch {
		case lost[e.ID]:
		case e.State == query.EventDelivered:
			n.Delivered++
		case e.State == query.EventPending:
			n.Pending++
		case e.State == query.EventDead:
			n.Dead++
		case e.State == query.EventDiscarded:
			n.Discarded++
		case e.State == query.EventUnmatched:
			n.FilteredOut++
		default:
			n.New++
		}
	}
	return n
}

// wantingBy makes, of how an endpoint's row is read, what tells whether one of the endpoints wants
// an event, and wanted such ones when it was created.
func wantingBy(decode func(*ledger.EndpointRow) config.Endpoint) query.Wanting {
	return func(rows []ledger.EndpointRow, since map[string]time.Time) func(*outbox.Event) bool {
		endpoints := make([]config.Endpoint, len(rows))
		for i := range rows {
			endpoints[i] = decode(&rows[i])
		}
		table := routing.New(endpoints)
		return func(ev *outbox.Event) bool {
			if source.Unrecordable(&outbox.Event{ID: ev.ID}) != nil {
				return false // it is on record under an id of Tailpost's
			}
			return slices.ContainsFunc(table.Match(nil, ev), func(m routing.Match) bool {
				return ev.CreatedAt.IsZero() || !ev.CreatedAt.Before(since[rows[m.Index].ID])
			})
		}
	}
}
