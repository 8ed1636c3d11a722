package outbox

import "time"

// moment is a time as a row or a logical message has it.
type moment struct {
	time.Time

	era int // -1: before all times that anybody can mean; 1: after them; 0: neither
}

// firstYear and lastYear bound the times that anybody can mean. Beyond them some have no form in
// JSON.
const firstYear, lastYear = 2, 9998

// longAgo returns a time that is over, whatever time it is.
func longAgo() time.Time { return time.Date(firstYear, time.January, 1, 0, 0, 0, 0, time.UTC) }

// parseMoment reads what parseTimestamp does, and tells infinite times apart.
func parseMoment(text []byte) (m moment, ok bool) {
	m.Time, ok = parseTimestamp(text)
	switch {
	case string(text) == "infinity", m.Year() > lastYear:
		m.era = 1
	case m.Year() < firstYear:
		m.era = -1
	}
	return m, ok
}

// setTime sets the time that a field holds. It returns why the field cannot hold it; empty: it can.
func (e *Event) setTime(f int, m moment) (problem string) {
	switch {
	case f == fieldCreatedAt && m.era == 0:
		e.CreatedAt = m.Time
	case f == fieldDeliverAt && m.era == 0:
		e.DeliverAt = m.Time
	case f == fieldDeliverAt && m.era > 0:
		return "is infinite, so the event would never be delivered: write a time, or NULL to deliver at once"
	case f == fieldExpiresAt && m.era == 0:
		e.ExpiresAt = m.Time
	case f == fieldExpiresAt && m.era < 0:
		e.ExpiresAt = longAgo()
	}
	return ""
}

// Expired reports whether an event is not to be delivered any more at a time. One that expires
// before it may be delivered never is.
func (e *Event) Expired(now time.Time) bool {
	return !e.ExpiresAt.IsZero() && (!now.Before(e.ExpiresAt) || !e.DeliverAt.Before(e.ExpiresAt))
}

// NotBefore returns the time before which an event is not to be delivered; zero: there is none. One
// that expires before that has nothing to wait for.
func (e *Event) NotBefore() time.Time {
	if !e.ExpiresAt.IsZero() && !e.DeliverAt.Before(e.ExpiresAt) {
		return time.Time{}
	}
	return e.DeliverAt
}
