package dispatch_test

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/retry"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// The model is what package dispatch promises, in words that can be checked at every step. It
// shares no rule with the package: it hears of what was streamed, requested, answered, recorded and
// acknowledged, and of what people did, and says of each whether it was allowed.

// verdict is what an answer means for a delivery.
type verdict int

const (
	unanswered verdict = iota
	delivered
	again // it is tried again
	dead
)

// fate is all that the model knows of one event at one endpoint.
type fate struct {
	event string
	place int // in the stream
	key   string

	owed     bool // the relay has taken it on
	coming   bool // it had, and the stream will bring it again
	inFlight bool
	started  time.Time
	ordering config.Ordering // then
	probe    bool            // while the circuit was open
	recorded int             // attempts in the table
	answer   verdict
	invalid  bool      // the answer says nothing of the endpoint
	since    time.Time // failing since, at that answer
	notUntil time.Time // the earliest time of the next attempt
	noted    time.Time // notUntil, as it is recorded

	row  outbox.State // in the table; empty: none
	over bool         // delivered, given up by a person, or dropped

	dropped bool // its endpoint is gone

	deliverAt, expiresAt time.Time
	asked                bool // a person wants it now, whatever its times say
}

// expired reports whether it is not to be delivered any more.
func (f *fate) expired(now time.Time) bool {
	return !f.asked && !f.expiresAt.IsZero() && (!now.Before(f.expiresAt) || !f.deliverAt.Before(f.expiresAt))
}

// ended reports whether what follows in the order may go.
func (f *fate) ended(holds bool, now time.Time) bool {
	return f.over || !holds && !f.inFlight && f.answer == unanswered && f.expired(now) || !f.owed && !f.coming || f.answer == delivered || !holds && (f.answer == dead || f.row == outbox.StateDead)
}

// subject is one endpoint.
type subject struct {
	policy   config.Endpoint
	streamed bool // it comes and goes by the stream, and nothing of it stays
	present  bool
	blocked  bool
	status   string
	since    time.Time // of the last change of present, blocked or status

	inFlight   int // requests
	flying     int // events in them
	unrecorded int

	failures     int
	open         bool
	openedAt     time.Time
	reopenAt     time.Time
	probes       int
	failingSince time.Time
	unsure       bool      // of its circuit
	asking       time.Time // since when it asks to be left alone, and took nothing; zero: it does not
	pausedAt     time.Time // when it had insisted on that
	pausedTo     time.Time
	tokens       float64
	refilled     time.Time

	fates   map[string]*fate
	keys    map[string][]*fate // by ordered key, in the order of the stream, without those at the front that ended
	reorder bool               // its ordering changed once

	rowStatus string // what its row says
	rowSince  time.Time
	before    time.Time // when it got the event before the last one
	lastTaken time.Time
}

type model struct {
	mu       sync.Mutex
	clock    func() time.Time
	subjects map[string]*subject
	fates    []*fate // by place, for every endpoint
	owners   []*subject
	versions map[source.Position]bool // of endpoints: whether they are recorded
	settled  source.Position
	held     bool
	heldAt   time.Time
	problems []string
	begun    int // requests
	lapsed   int // events that expired
}

func newModel() *model {
	return &model{clock: time.Now, subjects: map[string]*subject{}, versions: map[source.Position]bool{}, held: true}
}

func (m *model) problem(format string, args ...any) {
	if len(m.problems) < 5 {
		m.problems = append(m.problems, fmt.Sprintf(format, args...))
	}
}

// found returns what was not as promised.
func (m *model) found() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.problems)
}

// end is where transaction i of the stream ends, begin where its commit record begins.
func end(i int) source.Position   { return source.Position(10*i + 10) }
func begin(i int) source.Position { return source.Position(10*i + 1) }

// takes notes that an event is about to be taken, for the endpoints that it is for.
func (m *model) takes(place int, e *outbox.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.subjects {
		if f := s.fates[e.ID]; f != nil {
			f.coming = false
		}
		if !s.present || !wants(&s.policy, e) {
			continue
		}
		f := s.fates[e.ID]
		if f == nil || f.recorded == 0 && f.row == "" && !f.over { // else the stream brings it in vain
			s.before, s.lastTaken = s.lastTaken, m.clock()
		}
		if f == nil {
			f = &fate{event: e.ID, place: place, key: e.Key, deliverAt: e.DeliverAt, expiresAt: e.ExpiresAt}
			s.fates[e.ID] = f
			m.fates, m.owners = append(m.fates, f), append(m.owners, s)
			if key, ok := orderKey(s.policy.Ordering, f.key); ok {
				// It may come late: when it was there before, the endpoint was not.
				fates := s.keys[key]
				at, _ := slices.BinarySearchFunc(fates, place, func(f *fate, place int) int { return f.place - place })
				s.keys[key] = slices.Insert(fates, at, f)
			}
		}
		if f.dropped {
			// A restart has brought its endpoint back for a while.
			f.dropped, f.over, f.recorded = false, false, 0
		}
		f.owed = true
	}
}

func wants(p *config.Endpoint, e *outbox.Event) bool {
	events := p.Subscriptions[0].Events
	return len(events) == 0 || e.Type[:2] == events[0][:2]
}

func orderKey(o config.Ordering, key string) (string, bool) {
	switch o {
	case config.OrderingKey:
		return key, key != ""
	case config.OrderingStrict:
		return "", true
	case config.OrderingNone:
	}
	return "", false
}

// requests judges the start of a request with events.
func (m *model) requests(id string, qs []webhook.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.begun++
	s, now := m.subjects[id], qs[0].Now
	together := map[*fate]bool{}
	place := -1
	for i := range qs {
		f := s.fates[qs[i].Event.ID]
		if f == nil {
			m.problem("%s got %s, which is not for it", id, qs[i].Event.ID)
			return
		}
		m.begins(id, s, f, qs[i].Number, now)
		m.follows(id, s, f, together, now)
		if s.policy.Ordering != config.OrderingNone && f.place < place && !s.reorder {
			m.problem("%s got %s behind a later event", id, f.event)
		}
		together[f], place = true, f.place
		f.inFlight, f.started, f.ordering = true, now, s.policy.Ordering
	}
	if n := max(1, s.policy.Batch.Events); len(qs) > n {
		m.problem("%s got %d events in a request, its most is %d", id, len(qs), n)
	}
	m.allowed(id, s, s.fates[qs[0].Event.ID], now)
	s.inFlight++
	s.flying += len(qs)
	if s.inFlight > s.policy.Concurrency {
		m.problem("%s has %d requests at once", id, s.inFlight)
	}
	n := max(32, 3*s.policy.Concurrency) + s.policy.Concurrency
	if b := s.policy.Batch; b.On() {
		n = max(n, 2048) + b.Events*(1+s.policy.Concurrency)
	}
	if s.flying+s.unrecorded > n {
		m.problem("%s would get %d events again after a crash", id, s.flying+s.unrecorded)
	}
}

// begins judges the start of an attempt, which was decided on at now.
func (m *model) begins(id string, s *subject, f *fate, number int, now time.Time) {
	event := f.event
	trace("send %s %s #%d", id, event, number)
	if !f.owed && now.After(s.since) {
		m.problem("%s got %s, which is not for it", id, event)
		return
	}
	switch {
	case f.over, f.row == outbox.StateDead, f.answer == delivered, f.answer == dead:
		m.problem("%s got %s again after its end (over %t, row %q, answer %d)", id, event, f.over, f.row, f.answer)
	case f.inFlight:
		m.problem("%s gets %s twice at once", id, event)
	case f.answer != unanswered:
		m.problem("%s got %s again before its outcome was recorded", id, event)
	case number != f.recorded+1:
		m.problem("%s got %s with number %d after %d attempts", id, event, number, f.recorded)
	case now.Before(f.notUntil) && !s.reorder:
		m.problem("%s got %s %s early", id, event, f.notUntil.Sub(now))
	case !f.asked && now.Before(f.deliverAt):
		m.problem("%s got %s %s before its time", id, event, f.deliverAt.Sub(now))
	case f.expired(now):
		m.problem("%s got %s %s after it expired", id, event, now.Sub(f.expiresAt))
	}
}

// allowed judges whether an endpoint may get a request.
func (m *model) allowed(id string, s *subject, f *fate, now time.Time) {
	switch {
	case now.After(s.since) && (!s.present || s.blocked || s.status != ledger.StatusActive):
		m.problem("%s got %s although it is there %t, blocked %t, %s", id, f.event, s.present, s.blocked, s.status)
	case !m.held && now.After(m.heldAt):
		m.problem("%s got %s although the slot is not held", id, f.event)
	case s.unsure:
	case s.open && now.After(s.openedAt) && now.Before(s.reopenAt):
		m.problem("%s got %s although its circuit is open", id, f.event)
	case s.open && !now.Before(s.reopenAt) && s.probes > 0:
		m.problem("%s gets a second probe, %s", id, f.event)
	case now.After(s.pausedAt) && now.Before(s.pausedTo):
		m.problem("%s got %s although it asked twice to be left alone", id, f.event)
	}
	if s.open {
		f.probe = true
		s.probes++
	}
	if rate := s.policy.Rate; rate > 0 {
		burst := max(1, float64(int(rate/10)))
		s.tokens = min(burst, s.tokens+now.Sub(s.refilled).Seconds()*rate) - 1
		s.refilled = now
		if s.tokens < -0.01 {
			m.problem("%s gets more than %g requests a second", id, rate)
			s.tokens = 0
		}
	}
}

// follows judges the place of an event in its order; together are those before it in its request.
func (m *model) follows(id string, s *subject, f *fate, together map[*fate]bool, now time.Time) {
	key, ok := orderKey(s.policy.Ordering, f.key)
	if !ok {
		return
	}
	for len(s.keys[key]) > 0 && s.keys[key][0].over {
		s.keys[key] = s.keys[key][1:]
	}
	for _, earlier := range s.keys[key] {
		if earlier == f {
			return
		}
		if !together[earlier] && !earlier.ended(s.policy.OnDead == config.OnDeadHold, now) && now.After(s.since) {
			m.problem("%s got %s before %s", id, f.event, earlier.event)
		}
	}
}

// broken notes that a request ended without an outcome.
func (m *model) broken(id string, qs []webhook.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.subjects[id]
	for i := range qs {
		s.fates[qs[i].Event.ID].inFlight = false
	}
	m.returns(s, s.fates[qs[0].Event.ID], len(qs))
}

// returns notes the end of a request with n events, of which f is the first.
func (m *model) returns(s *subject, f *fate, n int) {
	s.inFlight--
	s.flying -= n
	if f.probe {
		f.probe = false
		s.probes = max(0, s.probes-1)
	}
}

// answers notes the outcome of a request.
func (m *model) answers(id string, results []webhook.Result, hint time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, now := m.subjects[id], m.clock()
	whole := &results[0]
	unwanted := whole.Word == string(retry.WordAbort)
	refused := unwanted && len(results) == 1                             // of several it may be one
	silent := whole.Permanent || whole.Local || whole.Barred || unwanted // of the endpoint
	first := s.fates[results[0].Attempt.EventID]
	probe := first.probe
	m.returns(s, first, len(results))
	s.unrecorded += len(results)
	gone := !s.present && s.streamed
	took := false
	waits := map[string]bool{} // by key: one of it failed
	for i := range results {
		a := &results[i].Attempt
		f := s.fates[a.EventID]
		f.inFlight, f.invalid = false, silent
		trace("answer %s %s #%d: %d %s hint %s", id, a.EventID, a.Number, a.StatusCode, a.Error, hint)
		key, ordered := orderKey(f.ordering, f.key)
		delivered := m.outcome(s, f, &results[i], refused, hint, now)
		took = took || delivered
		switch {
		case !ordered || gone:
		case waits[key]:
			f.answer, f.notUntil = again, time.Time{} // it comes after the one before it
		case f.answer == again || f.answer == dead && s.policy.OnDead == config.OnDeadHold:
			waits[key] = true
		}
	}
	switch {
	case silent:
		return
	case took:
		s.failures, s.open, s.probes, s.asking, s.unsure = 0, false, 0, time.Time{}, false
		s.failingSince, s.pausedTo = time.Time{}, time.Time{}
		if whole.Word == string(retry.WordDisable) && !gone {
			s.status, s.since = ledger.StatusDisabled, now
		}
	case !gone: // nothing is kept of its health
		m.fails(s, first, results[0].Attempt.StatusCode, hint, probe)
	}
	for i := range results {
		s.fates[results[i].Attempt.EventID].since = s.failingSince
	}
}

// outcome notes what an answer means for one event, and reports whether it was taken.
func (m *model) outcome(s *subject, f *fate, res *webhook.Result, refused bool, hint time.Duration, now time.Time) bool {
	a := &res.Attempt
	schedule := s.policy.Retry.Schedule
	switch {
	case res.Permanent, refused:
		f.answer = dead
	case res.Delivered:
		f.answer = delivered
		return true
	case !s.present && s.streamed:
		f.answer = dead // nobody will try again
	case res.Local:
		f.answer, f.notUntil = again, now
	case a.StatusCode == http.StatusGone, res.Word == string(retry.WordDisable):
		f.answer = again
	case a.Number > len(schedule):
		f.answer = dead
	default:
		f.answer, f.notUntil = again, now.Add(max(schedule[a.Number-1], hint))
	}
	return false
}

// fails notes what a failure means for the endpoint.
func (m *model) fails(s *subject, f *fate, status int, hint time.Duration, probe bool) {
	now := m.clock()
	if s.failingSince.IsZero() {
		s.failingSince = now
	}
	busy := status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable
	switch {
	case !busy:
		s.asking = time.Time{}
	case hint == 0:
	case s.asking.IsZero():
		s.asking = now
	case !f.started.Before(s.asking) && now.Sub(s.asking) >= 10*time.Second:
		// It has insisted on it for longer than any answer takes.
		if now.Add(hint).After(s.pausedTo) {
			s.pausedAt, s.pausedTo = now, now.Add(hint)
		}
	}
	// A receiver that is busy works; only a probe has to succeed.
	c := s.policy.Circuit
	if !busy {
		s.failures++
	}
	if probe && s.open || !busy && c.Failures > 0 && s.failures >= c.Failures && !s.open {
		s.open, s.openedAt, s.reopenAt = true, now, now.Add(c.Reopen)
	}
	after := s.policy.DisableAfter
	if status == http.StatusGone || after > 0 && now.Sub(s.failingSince) >= after {
		s.status, s.since = ledger.StatusDisabled, now
	}
}

// setStatus notes what a person made of an endpoint.
func (m *model) setStatus(id, status string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.subjects[id]
	trace("status %s %s (was %s)", id, status, s.status)
	if s.status != status && status == ledger.StatusActive {
		s.reopenAt, s.asking, s.pausedTo = time.Time{}, time.Time{}, time.Time{}
		if s.status == ledger.StatusDisabled {
			s.failures, s.open, s.probes, s.failingSince = 0, false, 0, time.Time{}
		}
	}
	if s.status != status {
		s.since = m.clock()
	}
	s.status, s.rowStatus = status, status
}

// configure notes a new or changed endpoint, or that it is gone (nil).
func (m *model) configure(id string, policy *config.Endpoint, blocked bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.subjects[id]
	if s == nil {
		s = &subject{status: ledger.StatusActive, rowStatus: ledger.StatusActive, fates: map[string]*fate{}, keys: map[string][]*fate{}}
		m.subjects[id] = s
	}
	trace("configure %s there %t blocked %t", id, policy != nil, blocked)
	s.since = m.clock()
	if s.present != (policy != nil) {
		// One that is back may know of its circuit or not: nothing is promised of that until it has
		// an answer again.
		s.failures, s.open, s.probes, s.asking, s.pausedTo, s.unsure = 0, false, 0, time.Time{}, time.Time{}, true
		s.before, s.lastTaken, s.tokens = time.Time{}, time.Time{}, s.policy.Rate
	}
	s.present, s.blocked = policy != nil, blocked
	if policy == nil {
		return
	}
	if s.policy.Ordering != policy.Ordering {
		s.reorder = s.reorder || s.policy.ID != ""
		clear(s.keys)
		for i, f := range m.fates {
			if key, ok := orderKey(policy.Ordering, f.key); ok && m.owners[i] == s && !f.over {
				s.keys[key] = append(s.keys[key], f)
			}
		}
		for _, fates := range s.keys {
			slices.SortFunc(fates, func(a, b *fate) int { return a.place - b.place })
		}
	}
	if s.policy.ID == "" {
		s.tokens = policy.Rate
	}
	s.policy = *policy
}

// forsakes notes that an endpoint of the stream is gone: nothing more of it is owed.
func (m *model) forsakes(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.subjects[id].fates {
		f.owed, f.coming = false, false // what is in flight is recorded, but nothing waits for that
	}
}
