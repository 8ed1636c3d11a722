package dispatch_test

import (
	"time"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// commits judges a recording transaction that is committed now.
func (m *model) commits(b *ledger.Batch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range b.Park {
		trace("park %s %s %s %s next %s", b.Park[i].EndpointID, b.Park[i].Event.ID, b.Park[i].State, b.Park[i].Reason, b.Park[i].NextAttemptAt.Format("15:04:05.000000"))
	}
	for i := range b.Update {
		trace("update %s %s %s %s next %s", b.Update[i].EndpointID, b.Update[i].Event.ID, b.Update[i].State, b.Update[i].Reason, b.Update[i].NextAttemptAt.Format("15:04:05.000000"))
	}
	for i := range b.Attempts {
		trace("record %s %s #%d %s", b.Attempts[i].EndpointID, b.Attempts[i].EventID, b.Attempts[i].Number, b.Attempts[i].Outcome)
	}
	last := map[string]*fate{}
	for i := range b.Attempts {
		m.recordsAttempt(&b.Attempts[i], last)
	}
	m.lapses(b.Park)
	m.lapses(b.Update)
	for i := range b.Park {
		f := m.fate(&b.Park[i])
		if f == nil {
			continue
		}
		if f.row != "" {
			m.problem("%s is parked twice for %s", f.event, b.Park[i].EndpointID)
		}
		f.row = b.Park[i].State
	}
	for i := range b.Update {
		f := m.fate(&b.Update[i])
		if f == nil {
			continue
		}
		if f.row == "" {
			m.problem("%s is updated for %s without a row", f.event, b.Update[i].EndpointID)
		}
		f.row = b.Update[i].State
	}
	for _, p := range b.Remove {
		f := m.subjects[p.EndpointID].fates[p.EventID]
		if f.row == "" {
			m.problem("%s is removed for %s without a row", p.EventID, p.EndpointID)
		}
		f.row = ""
	}
	for _, c := range b.Endpoints {
		s := m.subjects[c.EndpointID]
		s.rowSince = c.FailingSince
		if c.Status != "" {
			s.rowStatus = c.Status
		}
	}
	for id, f := range last {
		if s := m.subjects[id]; !s.rowSince.Equal(f.since) {
			m.problem("the row of %s says failing since %s, its last attempt since %s", id, s.rowSince, f.since)
		}
	}
	for _, v := range b.Versions {
		m.versions[source.Position(v.CommitLSN)] = true
	}
	for _, d := range b.Dropped {
		for _, f := range m.subjects[d.EndpointID].fates {
			if begin(f.place) < source.Position(d.CommitLSN) {
				f.row, f.owed, f.dropped = "", false, f.dropped || !f.over
				f.over = true
			}
		}
	}
	m.settles(source.Position(b.Settled))
}

// lapses judges rows that say that their events expired.
func (m *model) lapses(rows []outbox.Delivery) {
	for i := range rows {
		f := m.fate(&rows[i])
		switch expired := rows[i].Reason == outbox.ReasonExpired; {
		case !expired:
		case !f.expired(m.clock()), f.inFlight, rows[i].State != outbox.StateDead, rows[i].Attempts != f.recorded:
			m.problem("%s is %s for %s after %d attempts, expired: %+v", f.event, rows[i].State, rows[i].EndpointID, rows[i].Attempts, *f)
		default:
			m.lapsed++
		}
	}
}

// fate finds what a row is about.
func (m *model) fate(d *outbox.Delivery) *fate {
	if d.EndpointID == dispatch.Everyone {
		return nil
	}
	return m.subjects[d.EndpointID].fates[d.Event.ID]
}

func (m *model) recordsAttempt(a *outbox.Attempt, last map[string]*fate) {
	s := m.subjects[a.EndpointID]
	f := s.fates[a.EventID]
	if a.Number != f.recorded+1 && f.owed {
		m.problem("attempt %d of %s at %s recorded after %d", a.Number, a.EventID, a.EndpointID, f.recorded)
	}
	want := map[verdict]outbox.Outcome{unanswered: "", delivered: outbox.Delivered, again: outbox.Retry, dead: outbox.Dead}[f.answer]
	if a.Outcome != want {
		m.problem("%s recorded for %s at %s instead of %q", a.Outcome, a.EventID, a.EndpointID, want)
	}
	// One that was away for a while begins with what its row said, which may be of before a person
	// enabled it: nothing is promised of that until it has had a success.
	if f.answer != unanswered && !f.invalid && s.present && !s.unsure {
		last[a.EndpointID] = f
	}
	f.recorded++
	if f.answer == delivered || f.answer == dead && !s.present && s.streamed {
		f.over, f.dropped = true, false
	}
	f.answer, f.noted = unanswered, f.notUntil
	s.unrecorded--
}

// settles judges a recorded position.
func (m *model) settles(p source.Position) {
	if p < m.settled {
		m.problem("the recorded position went from %s back to %s", m.settled, p)
	}
	m.settled = p
	m.passes(p, "recorded")
}

// acks judges an acknowledgement. What lies between the recorded position and it had nothing to
// record.
func (m *model) acks(p source.Position) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.passes(p, "acknowledged")
}

// passes judges a position that the stream does not come back to: nothing below it may be without a
// record.
func (m *model) passes(p source.Position, how string) {
	for i, f := range m.fates {
		if end(f.place) <= p && f.owed && !f.over && f.row == "" {
			m.problem("%s %s, and %s has neither an outcome nor a row for %s", p, how, f.event, m.owners[i].policy.ID)
		}
	}
	for at, recorded := range m.versions {
		if !recorded && at < p {
			m.problem("%s %s, and the change of an endpoint at %s is not recorded", p, how, at)
		}
	}
}

// stops notes the end of a relay, after which only the tables count. One that could finish has
// recorded every outcome.
func (m *model) stops(finished bool, from int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	trace("stops %t from %d", finished, from)
	for i, f := range m.fates {
		if finished && f.answer != unanswered {
			m.problem("the outcome of %s at %s is not recorded at the end", f.event, m.owners[i].policy.ID)
		}
		if finished && f.owed && !f.over && f.row == "" {
			m.problem("%s has neither an outcome nor a row for %s at the end", f.event, m.owners[i].policy.ID)
		}
		f.answer, f.inFlight, f.probe = unanswered, false, false
		if f.place >= from && !f.over && f.row == "" {
			f.owed, f.coming = false, f.owed // until the stream brings it again
		}
		if f.row != "" && !f.over {
			f.owed = true // if its endpoint was removed, that is not recorded
		}
		f.notUntil = f.noted
	}
	for _, s := range m.subjects {
		s.inFlight, s.flying, s.unrecorded, s.before, s.lastTaken = 0, 0, 0, time.Time{}, time.Time{}
		s.failures, s.open, s.probes, s.asking, s.pausedTo, s.unsure = 0, false, 0, time.Time{}, time.Time{}, false
		s.status, s.failingSince, s.since = s.rowStatus, s.rowSince, m.clock()
		s.tokens = s.policy.Rate
	}
	m.held = true
}

// unfinished counts what is owed and has not ended.
func (m *model) unfinished() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, f := range m.fates {
		if f.owed && !f.over && f.row != outbox.StateDead {
			n++
		}
	}
	return n
}

// state is what the endpoint's row says.
func (m *model) state(id string) ledger.EndpointState {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.subjects[id]
	return ledger.EndpointState{Status: s.rowStatus, FailingSince: s.rowSince}
}

// revisits notes what a person did with a dead delivery: it is sent again, or given up.
func (m *model) revisits(p outbox.Pair, resend bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.subjects[p.EndpointID].fates[p.EventID]
	f.row, f.notUntil, f.noted, f.asked = outbox.Pending, time.Time{}, time.Time{}, true
	if !resend {
		f.row, f.over = "", true
	}
}

// bounded judges what the dispatcher has in memory after an event was taken by n endpoints. before
// is what the lane had.
func (m *model) bounded(id string, before, after dispatch.LaneView) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.clock()
	busy := false
	for other, s := range m.subjects {
		// One that got an event lately has traffic. The event that is being taken may reach it
		// after this one.
		taken := s.lastTaken
		if taken.Equal(now) {
			taken = s.before
		}
		busy = busy || other != id && s.present && now.Sub(taken) < s.policy.ParkAfter
	}
	s := m.subjects[id]
	// What a batch had no room for comes back to a lane that may be full by now.
	if back := s.policy.Batch.Events; busy && after.Fresh > max(before.Fresh, after.Capacity)+back {
		m.problem("%s has %d deliveries queued, beyond its %d, while others have work", id, after.Fresh, after.Capacity)
	}
	if most := after.Capacity + 2*s.policy.Concurrency*max(1, s.policy.Batch.Events) + after.Chains; after.Loaded > most {
		m.problem("%s has %d rows in memory, its bound is %d: %+v %s", id, after.Loaded, most, after, s.policy.Ordering)
	}
}

// requested returns how many requests began, and for how long the slot is held.
func (m *model) requested() (begun int, held time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held {
		held = m.clock().Sub(m.heldAt)
	}
	return m.begun, held
}

// closed reports whether an endpoint is there and gets nothing, until somebody changes that.
func (m *model) closed(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.subjects[id]
	return s.present && (s.blocked || s.status != ledger.StatusActive)
}

// setHeld notes whether the slot is held.
func (m *model) setHeld(held bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held, m.heldAt = held, m.clock()
}
