package dispatch

// LaneView is what a lane has in memory, for tests that hold it to its bounds.
type LaneView struct {
	Queued     int // waits for a worker
	Fresh      int // of these, without a row
	Loaded     int // of rows in the table
	InFlight   int
	Unrecorded int // answered, not committed
	Chains     int // keys that anything is known of
	Capacity   int // the bound of Queued while other lanes have work
}

func chainsOf(l *lane) int {
	if l.chains == nil {
		return 0
	}
	return len(l.chains.byKey)
}

// View looks into the lane of an endpoint; false: there is none.
func View(d *Dispatcher, id string) (LaneView, bool) {
	l := d.lane(id)
	if l == nil {
		return LaneView{}, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh := 0
	for dl := l.memory.fresh.head; dl != nil; dl = dl.next {
		if dl.phase == queued || dl.phase == waiting {
			fresh++
		}
	}
	return LaneView{
		Queued: l.memory.queue.live, Fresh: fresh, Loaded: len(l.memory.loaded), InFlight: l.inFlight, Unrecorded: l.answered,
		Chains: chainsOf(l), Capacity: l.capacity(),
	}, true
}

// Flying is how many deliveries the dispatcher believes in flight.
func Flying(d *Dispatcher) int { return int(d.inFlight.Load()) }

// Nudge asks every lane to look for a request that may start, and for rows that are due. Nothing
// comes of it, unless somebody forgot to look before. Lanes that let some requests gather, rather
// than set a timer for each, are left alone.
func Nudge(d *Dispatcher) {
	for l := range d.routing.Load().all() {
		l.mu.Lock()
		gathers := l.health.admission.limit*burstTime.Seconds() > 1
		l.mu.Unlock()
		if !gathers {
			l.resume()
		}
	}
}
