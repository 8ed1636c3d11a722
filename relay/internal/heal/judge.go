package heal

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/scan"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// suspicious reports whether somebody who may want the row's event has neither an attempt nor a
// delivery of it. Rows of which that cannot be told are counted.
func (s *sweep) suspicious(r *scan.Row) bool {
	unread := len(r.Recorded) == 0
	noEvent := r.Type == "" // dead as such, whoever wants it
	s.ids = s.Dispatcher.Wanting(s.ids[:0], &outbox.Event{ID: r.ID, Type: r.Type, Tenant: r.Tenant})
	wanted := noEvent || len(s.ids) > 0
	if r.Doubtful && wanted {
		s.again++
	}
	switch {
	case slices.Contains(r.Recorded, dispatch.Everyone):
		return false
	case unread && wanted && s.tellsNothing(r):
		s.unjudged++
		return false
	case unread && wanted && s.timeless(r.CreatedAt):
		return s.unjudged < mostUnjudged // counted once it is known that somebody should have it
	}
	if noEvent {
		return unread && (s.due || !r.CreatedAt.Before(s.floor))
	}
	return slices.ContainsFunc(s.ids, func(id string) bool {
		return !slices.Contains(r.Recorded, id) && s.entitled(id, r.CreatedAt, unread)
	})
}

// tellsNothing reports whether the table does not tell if a row that nobody has an attempt of was
// lost in the gap: it has no identity, or it may be an old row that somebody has updated.
func (s *sweep) tellsNothing(r *scan.Row) bool {
	if !s.isGap() {
		return false
	}
	if source.Unrecordable(&outbox.Event{ID: r.ID}) != nil || r.ID == "" {
		return true
	}
	if s.backfill() {
		return false
	}
	if s.scope.Horizon.XID == 0 {
		return r.CreatedAt.IsZero()
	}
	return !r.CreatedAt.IsZero() && r.CreatedAt.Before(s.floor)
}

// timeless reports whether a row that nobody has, and that was written since the horizon, is no
// gap's and does not say when it was created: it was lost, or it is an old one that somebody has
// updated.
func (s *sweep) timeless(created time.Time) bool {
	return !s.due && s.scope.Horizon.XID != 0 && created.IsZero()
}

// noteUnjudged says in the gap's note, or where no gap is known in the log, how many rows could not
// be judged.
func (s *sweep) noteUnjudged() {
	if s.unjudged == 0 {
		return
	}
	if !s.due {
		s.log.Warn().Int64("rows", s.unjudged).Msg("rows of the outbox table have neither an attempt nor a delivery, and no created_at: they are new ones that the " +
			"stream did not bring, or old ones that were updated. Replay them if they are new, and give created_at a default and NOT NULL")
		return
	}
	s.gap.Add(fmt.Sprintf("%d rows could not be judged and were not delivered: they have no id, or do not say when they were created, or say that it "+
		"was before the slot or before the attempts that are kept, and may be old ones that were updated; replay them if they are new", s.unjudged))
}

// noteAgain says in the gap's note of how many rows it is not known whether they are new events
// with ids of old ones.
func (s *sweep) noteAgain() {
	if s.again > 0 {
		s.gap.Add(fmt.Sprintf("%d rows have ids that were delivered or parked before the gap, and do not say that they were created in it: they were taken "+
			"for those events, which somebody updated; if the application used the ids again, replay them", s.again))
	}
}

// entitled reports whether an endpoint should have got an event of a time, of which nobody has
// anything if it is unread. For the endpoints of a configuration an event is routed when it is
// read, so of what was unread in the gap they get what they want now, as from the stream.
func (s *sweep) entitled(id string, created time.Time, unread bool) bool {
	r, ok := s.routed[id]
	known := !created.IsZero()
	switch {
	case !ok:
		return false
	case s.backfill() && (!known || created.Before(s.Position.StartedAt)):
		return !r.CreatedAt.After(s.Position.StartedAt)
	case known && created.Before(s.floor):
		return false
	case s.isGap() && s.scope.Horizon.XID != 0:
		// It was written behind the horizon, whatever it says. One that somebody has may have been
		// there before, and updated.
		existed := !r.Since.After(s.scope.Horizon.At)
		if unread {
			return r.Config || existed || !known || !created.Before(r.Since)
		}
		return known && !created.Before(r.Since) || !known && existed
	case !known:
		return false
	case r.Config && unread && !s.gapFrom.IsZero() && created.After(s.gapFrom):
		return true
	}
	return !created.Before(r.Since)
}

// deliveries returns the deliveries that are missing of an event, created when its row says at the
// latest. Their place in the order is before all that the stream brings after the gap, and among
// each other by time.
func (s *sweep) deliveries(f *scan.Found, created, now time.Time) (ds []outbox.Delivery) {
	if slices.Contains(f.Recorded, dispatch.Everyone) {
		return nil
	}
	if len(f.Recorded) == 0 && s.timeless(created) {
		if ev := f.Event; f.Err != nil || len(s.Dispatcher.Route(s.ids[:0], &ev)) > 0 {
			s.unjudged++
		}
		return nil
	}
	ev := f.Event
	ev.CommitLSN, ev.Seq = s.From, s.place(ev.CreatedAt)
	if ev.CreatedAt.IsZero() {
		ev.CreatedAt = now
	}
	problem := source.Fit(&ev)
	if f.Err != nil {
		problem = fmt.Errorf("decode: %w", f.Err)
	}
	if problem != nil {
		if ev.ID == "" {
			return nil // it has no identity, so that each audit would find it anew
		}
		return []outbox.Delivery{{
			Event: ev, EndpointID: dispatch.Everyone, State: outbox.StateDead, Reason: outbox.ReasonInvalid, LastError: problem.Error(),
		}}
	}
	terms := s.Terms(&ev)
	s.ids = s.Dispatcher.Route(s.ids[:0], &ev)
	for _, id := range s.ids {
		if slices.Contains(f.Recorded, id) || !s.entitled(id, created, len(f.Recorded) == 0) {
			continue
		}
		d := outbox.Delivery{Event: ev, EndpointID: id, State: outbox.Pending, Reason: outbox.ReasonAudit, NextAttemptAt: now, Search: terms}
		d.Schedule()
		ds = append(ds, d)
	}
	return ds
}

// place orders events by time, and those of one time as the table has them. Times that are too far
// away for that come first or last.
func (s *sweep) place(created time.Time) int64 {
	const most = 1<<12 - 1
	if created.Equal(s.last) {
		s.ties = min(s.ties+1, most)
	} else {
		s.last, s.ties = created, 0
	}
	if created.IsZero() {
		return s.ties
	}
	epoch := time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)
	micros := created.Unix()*1_000_000 + int64(created.Nanosecond())/1000 - epoch.UnixMicro()
	const far = math.MaxInt64 >> 12
	return min(max(micros, -far), far)<<12 | s.ties
}
