package ledger

import (
	"slices"
	"time"

	"github.com/tailpost/tailpost/outbox"
)

const (
	copyChunk = 64 << 10 // bytes of one CopyData
	parkRows  = 1024     // rows of one INSERT
	parkBytes = 4 << 20  // payload bytes of one INSERT, beyond its first row
)

// entry is a batch with what the guard needs.
type entry struct {
	*Batch

	slot  string
	epoch int64
	batch int64 // as the row has it before
	place place // where the row is
	now   time.Time
	// released is how far the slot may stand.
	released outbox.LSN
}

// encoder writes batches as pipelines.
type encoder struct {
	pgwire

	counters counters
	seen     map[QueueRow]struct{}
	updates  []outbox.Delivery
}

// encode writes e as one pipeline.
func (w *encoder) encode(e *entry) {
	w.guard(e)
	if len(e.Attempts) > 0 {
		w.copyAttempts(e.Attempts)
	}
	for rest := e.Park; len(rest) > 0; {
		n := w.parkChunk(rest)
		w.park(rest[:n], e.now)
		rest = rest[n:]
	}
	if len(e.Update) > 0 {
		w.update(w.lastChanges(e.Update), e.now)
	}
	if len(e.Remove) > 0 {
		w.remove(e.Remove)
	}
	if len(e.Attempts) > 0 {
		w.stats(w.counters.count(e.Attempts))
		w.counters.types.raw = w.raw
		w.types(w.counters.types.count(e.Attempts))
	}
	if len(e.Endpoints) > 0 {
		w.change(mergeChanges(e.Endpoints), e.now)
	}
	if len(e.Versions) > 0 {
		w.versions(lastVersions(e.Versions), e.Settled)
	}
	if len(e.Dropped) > 0 {
		w.drop(e.Dropped)
	}
	if len(e.Emit) > 0 {
		w.emit(e.Emit)
	}
	w.sync()
}

func (w *encoder) emit(contents [][]byte) {
	w.bind(emitStatement, 1)
	column(w, oidBytea, contents, func(content *[]byte) { w.bytes(*content) })
	w.run()
}

func (w *encoder) guard(e *entry) {
	w.bind(guardStatement, 8)
	w.text(e.slot)
	w.int8(e.epoch)
	w.int8(e.batch)
	w.lsn(e.Settled)
	w.timeOrNull(e.SettledAt)
	w.time(e.now)
	w.place(e.place)
	w.lsn(e.released)
	w.run()
}

func (w *encoder) copyAttempts(attempts []outbox.Attempt) {
	w.bind(copyStatement, 0)
	w.run()
	w.begin('d')
	w.buf = append(w.buf, "PGCOPY\n\xff\r\n\x00"...)
	w.int32(0) // flags
	w.int32(0) // header extension
	for i := range attempts {
		w.attempt(&attempts[i])
		if len(w.buf)-w.msg >= copyChunk {
			w.end()
			w.begin('d')
		}
	}
	w.int16(-1)
	w.end()
	w.begin('c')
	w.end()
}

func (w *encoder) attempt(a *outbox.Attempt) {
	w.int16(19)
	w.text(a.EventID)
	w.text(a.EventType)
	w.textOrNull(a.Tenant)
	w.text(a.EndpointID)
	w.int4(a.Number)
	w.text(string(a.Trigger))
	w.text(a.URL)
	w.text(string(a.Outcome))
	w.int4OrNull(a.StatusCode)
	w.free(a.Error)
	w.float8(milliseconds(a.Duration))
	w.freeBytes(a.ResponseBody)
	w.bool(a.ResponseTruncated)
	w.time(a.AttemptedAt)
	w.lsn(a.CommitLSN)
	w.terms(a.Search)
	w.headers(a.RequestHeaders)
	w.headers(a.ResponseHeaders)
	w.textOrNull(a.RequestID)
}

// parkChunk is how many of ds, at least one, go into one statement. Two of the same id do not, as a
// statement does not see its own rows.
func (w *encoder) parkChunk(ds []outbox.Delivery) int {
	w.forget()
	n, size := 0, 0
	for n < len(ds) && n < parkRows {
		size += len(ds[n].Event.Payload)
		if n > 0 && (size > parkBytes || w.again(pairOf(&ds[n]))) {
			break
		}
		if n == 0 {
			w.again(pairOf(&ds[n]))
		}
		n++
	}
	return n
}

func (w *encoder) park(ds []outbox.Delivery, now time.Time) {
	w.bind(parkStatement, 21)
	w.state(ds)
	column(w, oidText, ds, func(d *outbox.Delivery) { w.text(d.Event.Type) })
	column(w, oidText, ds, func(d *outbox.Delivery) { w.textOrNull(d.Event.Tenant) })
	column(w, oidText, ds, func(d *outbox.Delivery) { w.textOrNull(d.Event.Key) })
	column(w, oidBytea, ds, func(d *outbox.Delivery) { w.bytesOrNull(d.Event.Payload) })
	column(w, oidText, ds, func(d *outbox.Delivery) { w.headers(d.Event.Headers) })
	column(w, oidTimestamptz, ds, func(d *outbox.Delivery) { w.time(d.Event.CreatedAt) })
	column(w, oidLSN, ds, func(d *outbox.Delivery) { w.lsn(d.Event.CommitLSN) })
	column(w, oidInt8, ds, func(d *outbox.Delivery) { w.int8(d.Event.Seq) })
	w.last(ds)
	w.time(now)
	column(w, oidText, ds, func(d *outbox.Delivery) { w.termsText(d.Search) })
	column(w, oidTimestamptz, ds, func(d *outbox.Delivery) { w.timeOrNull(d.Event.DeliverAt) })
	column(w, oidTimestamptz, ds, func(d *outbox.Delivery) { w.timeOrNull(d.Event.ExpiresAt) })
	column(w, oidBytea, ds, func(d *outbox.Delivery) { w.bytesOrNull(d.Event.Extra) })
	w.run()
}

func (w *encoder) update(ds []outbox.Delivery, now time.Time) {
	w.bind(updateStatement, 11)
	w.state(ds)
	w.last(ds)
	w.time(now)
	column(w, oidLSN, ds, func(d *outbox.Delivery) { w.lsn(d.Event.CommitLSN) })
	column(w, oidInt8, ds, func(d *outbox.Delivery) { w.int8(d.Event.Seq) })
	w.run()
}

// state writes the parameters that begin both park and update.
func (w *encoder) state(ds []outbox.Delivery) {
	column(w, oidText, ds, func(d *outbox.Delivery) { w.text(d.Event.ID) })
	column(w, oidText, ds, func(d *outbox.Delivery) { w.text(d.EndpointID) })
	column(w, oidText, ds, func(d *outbox.Delivery) { w.text(string(d.State)) })
	column(w, oidText, ds, func(d *outbox.Delivery) { w.text(string(d.Reason)) })
	column(w, oidInt4, ds, func(d *outbox.Delivery) { w.int4(d.Attempts) })
	column(w, oidTimestamptz, ds, func(d *outbox.Delivery) { w.timeOrNull(d.NextAttemptAt) })
}

// last writes the parameters that end both.
func (w *encoder) last(ds []outbox.Delivery) {
	column(w, oidInt4, ds, func(d *outbox.Delivery) { w.int4OrNull(d.LastStatus) })
	column(w, oidText, ds, func(d *outbox.Delivery) { w.free(d.LastError) })
}

func (w *encoder) remove(rows []QueueRow) {
	w.bind(removeStatement, 4)
	column(w, oidText, rows, func(r *QueueRow) { w.text(r.EventID) })
	column(w, oidText, rows, func(r *QueueRow) { w.text(r.EndpointID) })
	column(w, oidLSN, rows, func(r *QueueRow) { w.lsn(r.CommitLSN) })
	column(w, oidInt8, rows, func(r *QueueRow) { w.int8(r.Seq) })
	w.run()
}

func (w *encoder) stats(rows []hourStats) {
	w.bind(statsStatement, 9)
	column(w, oidText, rows, func(s *hourStats) { w.text(s.endpoint) })
	column(w, oidTimestamptz, rows, func(s *hourStats) { w.time(time.Unix(s.hour, 0)) })
	column(w, oidInt8, rows, func(s *hourStats) { w.int8(s.attempts) })
	column(w, oidInt8, rows, func(s *hourStats) { w.int8(s.delivered) })
	column(w, oidInt8, rows, func(s *hourStats) { w.int8(s.failed) })
	column(w, oidInt8, rows, func(s *hourStats) { w.int8(s.dead) })
	column(w, oidFloat8, rows, func(s *hourStats) { w.float8(s.durationMS) })
	counts(w, rows, func(s *hourStats) []int64 { return s.buckets[:] })
	counts(w, rows, func(s *hourStats) []int64 { return s.classes[:] })
	w.run()
}

func (w *encoder) types(rows []typeStats) {
	w.bind(typesStatement, 8)
	column(w, oidText, rows, func(s *typeStats) { w.text(s.endpoint) })
	column(w, oidTimestamptz, rows, func(s *typeStats) { w.time(time.Unix(s.hour, 0)) })
	column(w, oidText, rows, func(s *typeStats) { w.text(s.kind) })
	column(w, oidInt8, rows, func(s *typeStats) { w.int8(s.attempts) })
	column(w, oidInt8, rows, func(s *typeStats) { w.int8(s.delivered) })
	column(w, oidInt8, rows, func(s *typeStats) { w.int8(s.failed) })
	column(w, oidInt8, rows, func(s *typeStats) { w.int8(s.dead) })
	counts(w, rows, func(s *typeStats) []int64 { return s.classes[:] })
	w.run()
}

func (w *encoder) change(changes []EndpointChange, now time.Time) {
	w.bind(changeStatement, 7)
	column(w, oidText, changes, func(c *EndpointChange) { w.text(c.EndpointID) })
	column(w, oidText, changes, func(c *EndpointChange) { w.textOrNull(c.Status) })
	column(w, oidText, changes, func(c *EndpointChange) { w.free(c.DisabledReason) })
	column(w, oidTimestamptz, changes, func(c *EndpointChange) { w.timeOrNull(c.FailingSince) })
	w.time(now)
	column(w, oidText, changes, func(c *EndpointChange) { w.textOrNull(c.Verified) })
	column(w, oidText, changes, func(c *EndpointChange) { w.free(c.VerifyError) })
	w.run()
}

// lastChanges leaves the last change of each row: which of several an UPDATE takes is undefined.
func (w *encoder) lastChanges(ds []outbox.Delivery) []outbox.Delivery {
	if len(ds) == 1 {
		return ds
	}
	w.forget()
	clear(w.updates)
	w.updates = w.updates[:0]
	for i := range slices.Backward(ds) {
		if !w.again(rowOf(&ds[i])) {
			w.updates = append(w.updates, ds[i])
		}
	}
	return w.updates
}

// rowOf is the row of a delivery, and pairOf that of any with its id.
func rowOf(d *outbox.Delivery) QueueRow {
	row := pairOf(d)
	row.CommitLSN, row.Seq = d.Event.CommitLSN, d.Event.Seq
	return row
}

func pairOf(d *outbox.Delivery) QueueRow {
	return QueueRow{Pair: outbox.Pair{EventID: d.Event.ID, EndpointID: d.EndpointID}}
}

// forget begins a new set of deliveries.
func (w *encoder) forget() {
	if w.seen == nil {
		w.seen = make(map[QueueRow]struct{})
	}
	clear(w.seen)
}

// again reports whether a row was seen before.
func (w *encoder) again(row QueueRow) bool {
	_, again := w.seen[row]
	w.seen[row] = struct{}{}
	return again
}

// mergeChanges leaves one change of each endpoint.
func mergeChanges(changes []EndpointChange) []EndpointChange {
	at := make(map[string]int, len(changes))
	var merged []EndpointChange
	for _, c := range changes {
		i, again := at[c.EndpointID]
		if !again {
			at[c.EndpointID] = len(merged)
			merged = append(merged, c)
			continue
		}
		if c.Status == "" {
			c.Status, c.DisabledReason = merged[i].Status, merged[i].DisabledReason
		}
		if c.Verified == "" && c.VerifyError == "" {
			c.Verified, c.VerifyError = merged[i].Verified, merged[i].VerifyError
		}
		merged[i] = c
	}
	return merged
}

// column writes one array parameter with a value of each row.
func column[T any](w *encoder, oid int32, rows []T, value func(*T)) {
	at := w.array(oid, len(rows))
	for i := range rows {
		value(&rows[i])
	}
	w.arrayEnd(at)
}

// counts writes one array parameter with the counters of all rows, row after row.
func counts[T any](w *encoder, rows []T, of func(*T) []int64) {
	n := 0
	for i := range rows {
		n += len(of(&rows[i]))
	}
	at := w.array(oidInt8, n)
	for i := range rows {
		for _, count := range of(&rows[i]) {
			w.int8(count)
		}
	}
	w.arrayEnd(at)
}
