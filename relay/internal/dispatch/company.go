package dispatch

import "time"

// company decides which of a lane's deliveries share a request. Its methods are called with the
// lane's lock held.
//
// What failed together is tried again in a quarter of the company, and at last alone: so an event
// that the receiver never takes fails by itself before the schedules of the others are used up.
// A failure that is not about events (429, 503, no access token, an egress proxy that refuses the
// relay) splits nobody: a receiver that asks for less would get more requests.
type company struct {
	*terms

	chosen []*delivery
	hurry  bool // something that waits expires soon
}

// joins notes that a delivery waits from now on, in the queue or behind an earlier one of its key.
// One that expires while it waits for company is not to wait.
func (c *company) joins(dl *delivery) {
	if !c.On() {
		return
	}
	dl.started = time.Now()
	if !dl.ev.ExpiresAt.IsZero() && dl.expired(dl.started.Add(2*c.Wait)) {
		c.hurry = true
	}
}

// took notes that a request was chosen.
func (c *company) took(m *memory) {
	clear(c.chosen)
	if m.size() == 0 {
		c.hurry = false
	}
}

// most returns how many deliveries may share a request with one of them.
func (c *company) most(dl *delivery) int {
	const bits = 2 // a quarter
	switch {
	case dl.attempts == 0:
		return c.Events
	case dl.attempts >= len(c.retry.Schedule):
		return 1 // it is its last attempt: nobody else is to be the reason if it fails
	case dl.spared:
		return c.Events
	}
	return max(1, c.Events>>(bits*dl.attempts))
}

// waits returns for how long the first delivery is to wait for company yet; 0: it may go. A probe
// goes alone, and at once.
func (c *company) waits(m *memory, probe bool, now time.Time) time.Duration {
	head := m.queue.peek()
	wait := head.started.Add(c.Wait).Sub(now)
	if wait <= 0 || probe || c.hurry {
		return 0
	}
	if m.size() < c.most(head) && m.weight < c.Bytes {
		return wait // whoever waits
	}
	if _, full := c.choose(m, probe, now); full {
		return 0
	}
	return wait
}

// choose returns the deliveries that may share the next request, of each chain those that wait
// behind its head among them, and whether nobody else could join them. The result is good until the
// next call.
func (c *company) choose(m *memory, probe bool, now time.Time) (chosen []*delivery, full bool) {
	p := party{company: c, now: now, most: c.Events, list: c.chosen[:0]}
	if probe {
		p.most = 1
	}
	for dl := range m.queue.all() {
		if full = !p.join(dl); full {
			break
		}
	}
	for _, head := range p.list {
		if head.chain == nil {
			continue
		}
		for _, dl := range head.chain.wait {
			if !p.join(dl) {
				full = true
				break
			}
		}
	}
	c.chosen = p.list
	return p.list, full || len(p.list) >= p.most
}

// party is a request while its deliveries are chosen.
type party struct {
	*company

	now    time.Time
	most   int
	weight int
	list   []*delivery
}

// join adds a delivery, and reports whether there was room for it.
func (p *party) join(dl *delivery) bool {
	most, weight := min(p.most, p.company.most(dl)), p.weight+dl.weight()
	if n := len(p.list); dl.expired(p.now) || n > 0 && (n >= most || weight > p.Bytes) {
		return false
	}
	p.most, p.weight, p.list = most, weight, append(p.list, dl)
	return true
}
