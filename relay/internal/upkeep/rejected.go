package upkeep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/pglink"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/scan"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// rejectedRows are looked at in one go.
const rejectedRows = 100

// rereader reads once more what could not be made an event of, once a person resends it: the
// mapping fits again, or the row was corrected. It is then routed as the stream would have. What
// still is no event is dead again, with the reason.
type rereader struct {
	ledger     *ledger.Ledger
	dispatcher *dispatch.Dispatcher
	hold       ledger.Hold
	mapping    outbox.Mapping
	terms      func(ev *outbox.Event) []string // see Options.Terms
	log        zerolog.Logger
}

// rejected is the task that does it.
func rejected(o *Options, wake Signal) Task {
	p := &rereader{ledger: o.Ledger, dispatcher: o.Dispatcher, hold: o.Hold, mapping: o.Outbox.Mapping, terms: o.Terms, log: o.Logger}
	all := &operations{what: "rejected events", wake: wake, find: p.find, log: o.Logger}
	return Task{Name: all.what, Wake: wake, Run: all.run}
}

func (p *rereader) find(ctx context.Context) ([]operation, error) {
	events, err := p.ledger.Rejected(ctx, rejectedRows)
	return operationsOf(events, func(r *ledger.Rejected) string { return r.EventID }, p.step), err
}

// step reads one event again.
func (p *rereader) step(ctx context.Context, r *ledger.Rejected) (bool, error) {
	now := time.Now()
	ds, problem, err := p.read(ctx, r, now)
	switch {
	case err == nil:
	case ctx.Err() != nil, errors.Is(err, ledger.ErrDeposed), pglink.Passes(err):
		return false, err
	default:
		problem = err.Error()
	}
	if err := p.ledger.Reroute(ctx, p.hold, r.EventID, ds, problem, now); err != nil {
		return false, err
	}
	if problem != "" {
		p.log.Warn().Str("event_id", r.EventID).Str("why", problem).Msg("event still cannot be read, dead again")
		return true, nil
	}
	p.log.Info().Str("event_id", r.EventID).Int("endpoints", len(ds)).Msg("event read again and routed")
	for i := range ds {
		p.dispatcher.Due(ds[i].EndpointID)
	}
	return true, nil
}

// stillGone says that there is no row to read again, and keeps why it was dead before.
func stillGone(before string) string {
	const gone = "its row is gone, or has no id that can be on record, or it was a logical message, so it cannot be read again"
	if before == "" || strings.HasPrefix(before, gone) {
		return cmp.Or(before, gone)
	}
	return gone + "; the first time: " + before
}

// read returns the deliveries of an event, at its place in the stream, or why it is none.
func (p *rereader) read(ctx context.Context, r *ledger.Rejected, now time.Time) (ds []outbox.Delivery, problem string, err error) {
	if p.mapping.Table == "" {
		return nil, "it was a logical message, which cannot be read again", nil
	}
	sweep, err := p.ledger.NewSweep(ctx, p.mapping, scan.Scope{})
	if err != nil {
		return nil, "", err
	}
	found, err := sweep.Find(ctx, r.EventID)
	switch {
	case err != nil:
		return nil, "", err
	case found == nil:
		return nil, stillGone(r.LastError), nil
	case found.Err != nil:
		return nil, fmt.Sprintf("decode: %v", found.Err), nil //nolint:nilerr // it is the reason
	}
	ev := found.Event
	if err := source.Unrecordable(&ev); err != nil {
		return nil, err.Error(), nil //nolint:nilerr // it is the reason
	}
	ev.CommitLSN, ev.Seq = r.CommitLSN, r.Seq
	if ev.CreatedAt.IsZero() {
		ev.CreatedAt = now
	}
	terms := p.terms(&ev)
	for _, id := range p.dispatcher.Route(nil, &ev) {
		if slices.Contains(found.Recorded, id) {
			continue
		}
		d := outbox.Delivery{Event: ev, EndpointID: id, State: outbox.Pending, Reason: outbox.ReasonReplay, NextAttemptAt: now, Search: terms}
		d.Schedule()
		ds = append(ds, d)
	}
	return ds, "", nil
}
