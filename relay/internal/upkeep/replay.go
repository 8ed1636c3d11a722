package upkeep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/scan"
)

const (
	// replayPending is how many pending deliveries an endpoint may have for a replay to add more.
	replayPending = 1000
	replayRows    = 1000 // rows of the outbox table that are looked at in one go
	// pageRows and pageBytes bound the events that are read and queued at once.
	pageRows  = 256
	pageBytes = 1 << 20
	// Without an index of created_at every look in its order reads the whole table, so it takes in
	// more.
	orderedRows = 10_000
	slowPages   = 3 // a page that takes too long is tried as often
)

// replayer carries out the replays that people asked for, the first one of every endpoint at a
// time, in pages: what is queued and how far that is are one transaction, so that any relay goes on
// where another one stopped.
type replayer struct {
	ledger     *ledger.Ledger
	dispatcher *dispatch.Dispatcher
	hold       ledger.Hold
	mapping    outbox.Mapping
	terms      func(ev *outbox.Event) []string // see Options.Terms
	slow       map[string]int                  // how often in a row a page of a replay took too long, by its id
	log        zerolog.Logger
}

// replays is the task that carries them out.
func replays(o *Options, wake Signal) Task {
	p := &replayer{ledger: o.Ledger, dispatcher: o.Dispatcher, hold: o.Hold, mapping: o.Outbox.Mapping, terms: o.Terms, slow: make(map[string]int), log: o.Logger}
	all := &operations{what: "replays", wake: wake, find: p.find, log: o.Logger}
	return Task{Name: all.what, Wake: wake, Run: all.run}
}

func (p *replayer) find(ctx context.Context) ([]operation, error) {
	replays, err := p.ledger.Replays(ctx)
	return operationsOf(replays, func(r *ledger.Replay) string { return r.ID }, p.step), err
}

// step moves a replay by a page; false: its endpoint has enough to do.
func (p *replayer) step(ctx context.Context, r *ledger.Replay) (bool, error) {
	tenant, known := p.dispatcher.Tenant(r.EndpointID)
	switch {
	case !known:
		return true, p.fail(ctx, r, "the endpoint is gone")
	case p.mapping.Table == "":
		return true, p.fail(ctx, r, "there is no outbox table to replay from: events are logical messages")
	}
	patterns, problem := parsePatterns(r.Types)
	if problem != "" {
		return true, p.fail(ctx, r, problem)
	}
	if n, err := p.ledger.PendingUpTo(ctx, r.EndpointID, replayPending); err != nil || n >= replayPending {
		return false, err
	}
	sweep, err := p.ledger.NewSweep(ctx, p.mapping, scan.Scope{})
	if err != nil {
		return false, err
	}
	if !r.Since.IsZero() && !sweep.Timed() {
		return true, p.fail(ctx, r, "the outbox table has no column for the time of events, and the server does not track commit times")
	}
	rg := scan.Range{
		EndpointID: r.EndpointID, Tenant: tenant, Since: r.Since, Until: r.Until,
		Wants: func(eventType string) bool {
			return len(patterns) == 0 || slices.ContainsFunc(patterns, func(x config.Pattern) bool { return x.Match(eventType) })
		},
	}
	if !r.Running {
		// An endpoint with an order gets the events in that of their times; keys may be random.
		r.InOrder = p.dispatcher.Ordered(r.EndpointID) && sweep.Timed()
		if err := p.ledger.BeginReplay(ctx, p.hold, &sweep.Table, r, rg, time.Now()); err != nil {
			return false, err
		}
		p.log.Info().Str("replay", r.ID).Str("endpoint", r.EndpointID).Msg("replay begins")
	}
	// What is missing is searched for before anything is queued: retention goes on.
	if !r.Searched {
		return true, p.ledger.SearchReplay(ctx, p.hold, &sweep.Table, r, rg, time.Now())
	}
	return true, p.page(ctx, sweep, r, rg)
}

func (p *replayer) fail(ctx context.Context, r *ledger.Replay, problem string) error {
	p.log.Warn().Str("replay", r.ID).Str("endpoint", r.EndpointID).Str("why", problem).Msg("replay failed")
	return p.ledger.EndReplay(ctx, p.hold, r.ID, problem, time.Now())
}

func parsePatterns(types []string) (patterns []config.Pattern, problem string) {
	for _, text := range types {
		pattern, err := config.ParsePattern(text)
		if err != nil {
			return nil, fmt.Sprintf("event type %q: %v", text, err)
		}
		patterns = append(patterns, pattern)
	}
	return patterns, ""
}

// page looks at some rows and queues what the endpoint wants of them.
func (p *replayer) page(ctx context.Context, sweep *scan.Sweep, r *ledger.Replay, rg scan.Range) error {
	limit := replayRows
	if r.InOrder {
		limit = orderedRows
	}
	rows, err := sweep.RowsAfter(ctx, &r.Reading, limit)
	switch {
	case errors.Is(err, scan.ErrSlow):
		return p.tooSlow(ctx, r, err)
	case err != nil:
		return err
	}
	delete(p.slow, r.ID)
	if len(rows) == 0 {
		if again, err := p.ledger.SearchAgain(ctx, p.hold, r, time.Now()); again || err != nil {
			return err
		}
		p.log.Info().Str("replay", r.ID).Str("endpoint", r.EndpointID).Int64("events", r.Done).Msg("replay done")
		return p.ledger.EndReplay(ctx, p.hold, r.ID, "", time.Now())
	}
	for len(rows) > 0 {
		chunk, places, wanted := cut(rows, rg)
		found, err := sweep.Events(ctx, places)
		if err != nil {
			return err
		}
		st, last := p.deliveries(r, found, chunk, wanted), &chunk[len(chunk)-1]
		st.Cursor, st.Done = scan.Cursor{Key: last.ID, At: last.At}, int64(len(places))
		if err := p.queue(ctx, r, st); err != nil {
			return err
		}
		rows = rows[len(chunk):]
	}
	return nil
}

// tooSlow ends a replay whose next page took too long for the last time that it is tried: so it
// would for ever.
func (p *replayer) tooSlow(ctx context.Context, r *ledger.Replay, err error) error {
	if p.slow[r.ID]++; p.slow[r.ID] < slowPages {
		return err
	}
	delete(p.slow, r.ID)
	column := "its primary key"
	if r.InOrder {
		column = p.mapping.CreatedAt + ", its order"
	}
	return p.fail(ctx, r, fmt.Sprintf("a page of %s takes longer than a statement may take: make an index of %s "+
		"(CREATE INDEX CONCURRENTLY) and ask again; what it has queued so far stays", p.mapping.Table, column))
}

// cut returns the first rows, as many as are to be queued at once; where those of them are that a
// range wants; and which they are, by their ids.
func cut(rows []scan.Row, rg scan.Range) (chunk []scan.Row, places []scan.RowPlace, wanted map[string]int) {
	wanted = make(map[string]int)
	n, size := 0, 0
	for ; n < len(rows) && len(places) < pageRows && size < pageBytes; n++ {
		if row := &rows[n]; inRange(row, rg) && rg.Wants(row.Type) {
			places = append(places, row.RowPlace)
			wanted[row.ID] = n
			size += row.Size
		}
	}
	return rows[:n], places, wanted
}

func inRange(row *scan.Row, rg scan.Range) bool {
	switch {
	case rg.Tenant != "" && row.Tenant != rg.Tenant:
		return false
	case row.Later: // also where nobody can write its time, such as infinity
		return false
	}
	return !row.CreatedAt.Before(rg.Since)
}

func orNow(t, now time.Time) time.Time {
	if t.IsZero() {
		return now
	}
	return t
}

// deliveries makes the deliveries of events that were found for wanted rows, in the order of those.
func (p *replayer) deliveries(r *ledger.Replay, found []scan.Found, rows []scan.Row, wanted map[string]int) (st ledger.Step) {
	now := time.Now()
	// Places come in no order.
	slices.SortFunc(found, func(a, b scan.Found) int { return cmp.Compare(wanted[a.Event.ID], wanted[b.Event.ID]) })
	for i := range found {
		ev := &found[i].Event
		at, ok := wanted[ev.ID]
		switch {
		case found[i].Err != nil:
			st.Unreadable++
			continue
		case !ok || !slices.Contains(p.dispatcher.Route(nil, ev), r.EndpointID):
			continue
		}
		if ev.CreatedAt.IsZero() {
			ev.CreatedAt = orNow(rows[at].CreatedAt, now) // the table has no time: that of the commit, if the server remembers it
		}
		ev.CommitLSN, ev.Seq = r.Place, r.Done+int64(len(st.Deliveries))
		terms := p.terms(ev)
		d := outbox.Delivery{Event: *ev, EndpointID: r.EndpointID, State: outbox.Pending, Reason: outbox.ReasonReplay, NextAttemptAt: now, Search: terms}
		d.Schedule()
		st.Deliveries = append(st.Deliveries, d)
	}
	return st
}

// queue queues deliveries and moves the replay on.
func (p *replayer) queue(ctx context.Context, r *ledger.Replay, st ledger.Step) error {
	_, err := p.ledger.QueueReplay(ctx, p.hold, r, st, time.Now())
	if len(st.Deliveries) > 0 {
		// After an error too: the commit may have been made and not heard of.
		p.dispatcher.Due(r.EndpointID)
	}
	return err
}
