package dispatch

import (
	"time"

	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/pace"
)

// sweep finds the keys of a lane whose chains are not in memory, because they are too many: it goes
// through what is due in the order of its times, once, and remembers where it is.
//
// It finds each of them, because a chain is forgotten only if the table has a row of its key that
// is due where the sweep has not been; where it has, it goes back as far as that. A delivery that
// nothing blocks any more may still have no time: a relay was killed before it went on with that
// key, or a person discarded what was before it. It is unblocked, which sets its time, when a sweep
// begins, when somebody else has changed the table, and now and then, should anybody have changed
// it who did not say so.
type sweep struct {
	at    ledger.DuePlace // every due row up to here has been seen
	back  time.Time       // to where the sweep has to go back; zero: it need not
	again bool            // at its end it begins anew: somebody changed what it has seen

	unblocking   bool
	unblocked    ledger.DuePlace // up to where
	unblockAgain bool
	unblockAt    time.Time // not before that

	asks  pace.Backoff // between two looks whether the chains of all keys have room in memory by now
	askAt time.Time
}

// unblockPause is how long nothing is unblocked after that failed.
const unblockPause = 10 * time.Second

func newSweep(now time.Time) *sweep {
	s := &sweep{unblocking: true, asks: pace.Backoff{Least: 10 * time.Second, Most: 10 * time.Minute}}
	s.postpone(now)
	return s
}

// forgot notes that a chain was forgotten whose key has a row that is due at t.
func (s *sweep) forgot(t time.Time) {
	// As the table has it.
	s.back = pace.Sooner(s.back, t.Truncate(time.Microsecond))
}

// place returns where to look further.
func (s *sweep) place() ledger.DuePlace {
	if !s.back.IsZero() && !s.back.After(s.at.DueAt) {
		s.at = ledger.DuePlace{DueAt: s.back}
	}
	s.back = time.Time{}
	return s.at
}

// passed notes how far the sweep is. At its end it reports whether there is more to see.
func (s *sweep) passed(at ledger.DuePlace, end bool) (more bool) {
	s.at = at
	if end && s.again {
		s.at, s.again = ledger.DuePlace{}, false
		return true
	}
	return !end
}

// stir notes that somebody else changed the table.
func (s *sweep) stir() {
	s.again, s.unblockAgain = true, s.unblocking
	s.unblocking = true
}

// unblocks reports whether something is to be unblocked now, and from where on. Without a reason
// that is every so often.
func (s *sweep) unblocks(now time.Time, every time.Duration) (from ledger.DuePlace, yes bool) {
	if !s.unblocking && now.Sub(s.unblockAt) >= every {
		s.unblocking = true
	}
	return s.unblocked, s.unblocking && !now.Before(s.unblockAt)
}

// unblockedTo notes that all rows up to a place were looked at, and those that nothing blocks are
// due since t.
func (s *sweep) unblockedTo(at ledger.DuePlace, end bool, t time.Time) {
	s.forgot(t)
	if s.unblocked = at; end {
		s.unblocked, s.unblocking, s.unblockAgain, s.unblockAt = ledger.DuePlace{}, s.unblockAgain, false, t
	}
}

// postpone says that there are too many keys still, however few are found.
func (s *sweep) postpone(now time.Time) { s.askAt = now.Add(s.asks.Next()) }

// found notes that keys are found, after which there are soon fewer.
func (s *sweep) found(now time.Time) {
	s.asks.Reset()
	s.askAt = pace.Sooner(s.askAt, now.Add(s.asks.Least))
}
