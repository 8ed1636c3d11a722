package telemetry

import (
	"bytes"
	"cmp"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// write turns what is counted and measured into text.
func (m *Metrics) write(text *bytes.Buffer) {
	p := page{text: text, escape: strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)}
	p.gauge("build_info", "1, labelled by what runs.").add(1, "goversion", runtime.Version(), "version", m.o.Version)
	status := m.o.Status()
	state := p.gauge("state", "1 for what the relay of this process does, else 0.")
	for _, s := range m.o.States {
		state.add(truth(s == status.State), "state", s)
	}
	p.gauge("epoch", "How often the slot had been taken when this process took it; 0: it has not.").add(float64(status.Epoch))
	lag := 0.0
	if !status.Oldest.IsZero() {
		lag = max(0, m.o.Now().Sub(status.Oldest).Seconds())
	}
	p.gauge("lag_seconds", "Age of the oldest transaction that this process has read whole and not settled; 0: there is none.").add(lag)
	p.gauge("in_flight_requests", "Requests that wait for an answer.").add(float64(status.InFlight))
	p.gauge("in_memory_deliveries", "Deliveries of the stream that are in memory and not settled.").add(float64(status.Deliveries))
	p.gauge("in_memory_bytes", "About what the deliveries in memory take.").add(float64(status.Bytes))
	p.limited(status.Limited)
	p.fanout(status.Fanout, m.o.Now())
	p.counter("local_failures_total", "Requests that failed for want of descriptors, ports, buffers or memory, since this process took the slot.").
		add(float64(status.LocalFailures))
	if m.o.LogDropped != nil {
		p.counter("log_lines_dropped_total", "Lines of the log that nobody read in time, or that could not be written.").add(float64(m.o.LogDropped()))
	}
	_, receivers := m.o.Clocks.now()
	p.gauge("receiver_clocks_apart", "Endpoints that refused a request and whose clock is 30 seconds or more from the relay's.").add(float64(receivers))
	m.writeCounted(p)
	m.o.Rare.write(p)
	m.o.Certificates.write(p)
	settings := m.o.Settings()
	p.gauge("config_loaded_timestamp_seconds", "When the configuration that is in effect was read.").add(unix(settings.LoadedAt))
	p.gauge("audit_interval_seconds", "How often the outbox table is audited; 0: it is not.").add(max(0, settings.AuditInterval.Seconds()))
	measures, slow, reached := m.measured()
	p.gauge("database_up", "1 if the database answered when it was last asked, else 0: then its measures are missing.").add(truth(reached))
	if reached {
		m.writeMeasured(p, &measures)
		writeQueues(p, &measures, m.o.Now())
		slow.write(p)
	}
}

// limited writes what endpoints are admitted whose receivers have too much to do, of so many.
func (p page) limited(all []Limited) {
	if len(all) == 0 {
		return
	}
	slices.SortFunc(all, func(a, b Limited) int { return strings.Compare(a.Endpoint, b.Endpoint) })
	all = all[:min(len(all), ownLabels)]
	admitting := p.gauge("endpoint_admitting", "Requests that may wait for an answer at once, of an endpoint whose receiver has too much to do.")
	for _, l := range all {
		admitting.add(float64(l.Admitting), "endpoint", l.Endpoint)
	}
	concurrency := p.gauge("endpoint_concurrency", "Requests that could wait for an answer at once, of the same endpoints.")
	for _, l := range all {
		concurrency.add(float64(l.Concurrency), "endpoint", l.Endpoint)
	}
}

// fanout writes what this process does in a fleet, if it is in one.
func (p page) fanout(f *Fanout, now time.Time) {
	if f == nil {
		return
	}
	p.gauge("fanout_partitions_owned", "Partitions that this process sends for.").add(float64(f.Owned))
	waited := 0.0
	if !f.Unpublished.IsZero() {
		waited = max(0, now.Sub(f.Unpublished).Seconds())
	}
	p.gauge("fanout_unpublished_seconds", "For how long NATS has taken nothing while this process has the slot; 0: it takes all, or another process has the slot.").add(waited)
}

func (m *Metrics) writeCounted(p page) {
	all, endpoints := m.counted()
	p.counter("recorded_batches_total", "Recording transactions that were committed.").add(float64(all.batches))
	all.latency.write(p.family("delivery_latency_seconds", "histogram", "From the commit of an event to its delivery; queued ones count from when they were queued."))
	all.took.write(p.family("recording_duration_seconds", "histogram", "How long recording transactions took."))
	all.rows.write(p.family("recording_rows", "histogram", "Rows that a recording transaction wrote, changed or removed."))
	rows := p.counter("recorded_rows_total", "Rows that recording transactions wrote, changed or removed.")
	rows.add(float64(all.attempts), "table", "attempt")
	rows.add(float64(all.deliveries), "table", "delivery")
	ids := slices.Sorted(maps.Keys(endpoints))
	if len(ids) == 0 {
		return
	}
	attempts := p.counter("attempts_total", "Recorded attempts, without test events.")
	for _, id := range ids {
		t := endpoints[id]
		attempts.add(float64(t.delivered), "endpoint", id, "outcome", string(outbox.Delivered))
		attempts.add(float64(t.retry), "endpoint", id, "outcome", string(outbox.Retry))
		attempts.add(float64(t.dead), "endpoint", id, "outcome", string(outbox.Dead))
	}
	duration := p.family("attempt_duration_seconds", "histogram", "How long recorded attempts took.")
	for _, id := range ids {
		t := endpoints[id]
		t.duration.write(duration, "endpoint", id)
	}
}

func (m *Metrics) writeMeasured(p page, measures *query.Measures) {
	p.gauge("settled_lsn", "LSN, as a number, below which every event is delivered or queued.").add(float64(measures.Settled))
	if measures.SettledAt != nil {
		p.gauge("settled_timestamp_seconds", "Commit time of the last settled transaction.").add(unix(*measures.SettledAt))
	}
	if measures.AuditedAt != nil {
		p.gauge("audit_age_seconds", "Time since the last audit that ended began; before the first, since the slot was first taken.").
			add(max(0, m.o.Now().Sub(*measures.AuditedAt).Seconds()))
	}
	database, _ := m.o.Clocks.now()
	p.gauge("database_clock_ahead_seconds", "How far the database's clock is ahead of the relay's; negative: behind.").add(database.Seconds())
	p.gauge("slot_active", "1 if a relay streams from the slot, else 0.").add(truth(measures.SlotActive))
	p.gauge("slot_lag_bytes", "Write-ahead log that the slot has not confirmed.").add(float64(measures.LagBytes))
	p.gauge("slot_retained_bytes", "Write-ahead log that the server keeps for the slot.").add(float64(measures.RetainedBytes))
	if measures.SafeBytes != nil {
		p.gauge("slot_safe_bytes", "Write-ahead log that may be written before the slot is lost.").add(float64(*measures.SafeBytes))
	}
	if measures.Written != nil {
		p.counter("wal_written_bytes_total", "Write-ahead log that the connections of this slot's relays wrote, since this process first looked.").
			add(float64(walWritten(m)))
	}
	if len(measures.Partitions) > 0 {
		lag := p.gauge("fanout_partition_lag_bytes", "Write-ahead log that is published and not settled in a partition.")
		for _, part := range measures.Partitions {
			lag.add(float64(part.Behind), "partition", strconv.Itoa(part.Number))
		}
	}
	p.counter("gaps_total", "Gaps in the stream that were found.").add(float64(measures.Gaps))
	p.counter("gap_events_total", "Events that were found in these gaps and delivered.").add(float64(measures.Healed))
}

func writeQueues(p page, measures *query.Measures, now time.Time) {
	if len(measures.Queues) == 0 {
		return
	}
	queues := longest(measures.Queues)
	queued := p.gauge("deliveries", "Rows of tailpost.delivery, by state: pending or dead.")
	for _, q := range queues {
		queued.add(float64(q.Pending), "endpoint", q.EndpointID, "state", string(outbox.Pending))
		queued.add(float64(q.Dead), "endpoint", q.EndpointID, "state", string(outbox.StateDead))
	}
	oldest := p.gauge("oldest_pending_seconds", "How long the pending delivery that waits longest is queued; 0: none is pending.")
	for _, q := range queues {
		age := 0.0
		if q.Oldest != nil {
			age = max(0, now.Sub(*q.Oldest).Seconds())
		}
		oldest.add(age, "endpoint", q.EndpointID)
	}
	reasons := p.gauge("deliveries_by_reason", "The same rows, by why they are not delivered.")
	for _, r := range measures.Reasons {
		reasons.add(float64(r.Count), "reason", r.Reason, "state", r.State)
	}
}

// longest returns the longest queues under their own names, and the others together.
func longest(all []query.QueueLength) []query.QueueLength {
	if len(all) <= ownLabels {
		return all
	}
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b query.QueueLength) int { return cmp.Compare(b.Pending+b.Dead, a.Pending+a.Dead) })
	others := query.QueueLength{EndpointID: otherEndpoints}
	for _, q := range all[ownLabels:] {
		others.Pending += q.Pending
		others.Dead += q.Dead
		if q.Oldest != nil && (others.Oldest == nil || q.Oldest.Before(*others.Oldest)) {
			others.Oldest = q.Oldest
		}
	}
	return append(all[:ownLabels:ownLabels], others)
}

func (s *slow) write(p page) {
	if s.sizes != nil {
		size := p.gauge("table_bytes", "What a table takes on disk with its indexes.")
		size.add(float64(s.sizes.Attempts), "table", "attempt")
		size.add(float64(s.sizes.Deliveries), "table", "delivery")
		size.add(float64(s.sizes.Other), "table", "other")
		size.add(float64(s.sizes.Outbox), "table", "outbox")
		if s.sizes.Growth != nil {
			p.gauge("attempt_growth_bytes", "What the attempts of the last whole UTC day take, less the day that retention drops next.").add(float64(*s.sizes.Growth))
		}
	}
	if s.unaccounted != nil {
		p.gauge("unaccounted_events", "Of the newest 200 outbox rows, settled ones that an endpoint wants and that left no trace.").add(float64(*s.unaccounted))
	}
}

// unix is a time in seconds since 1970.
func unix(t time.Time) float64 {
	const microsecond = 1e-6
	return float64(t.UnixMicro()) * microsecond
}

// page collects the text of metrics.
type page struct {
	text   *bytes.Buffer
	escape *strings.Replacer // of what is special in the value of a label
}

// family is metrics of one name.
type family struct {
	page

	name string
}

func (p page) gauge(name, help string) family   { return p.family(name, "gauge", help) }
func (p page) counter(name, help string) family { return p.family(name, "counter", help) }

// family begins the metrics of a name.
func (p page) family(name, kind, help string) family {
	name = "tailpost_" + name
	p.text.WriteString("# HELP " + name + " " + help + "\n# TYPE " + name + " " + kind + "\n")
	return family{page: p, name: name}
}

// add writes a metric. Labels are names, each followed by its value.
func (f family) add(value float64, labels ...string) { f.part("", value, labels...) }

// part is add for a part of a histogram.
func (f family) part(suffix string, value float64, labels ...string) {
	metrics.WriteGaugeFloat64(f.text, f.name+suffix+f.joined(labels), value)
}

// joined is labels as the format has them.
func (p page) joined(labels []string) string {
	if len(labels) == 0 {
		return ""
	}
	var b strings.Builder
	for i := 0; i < len(labels); i += 2 {
		b.WriteByte("{,"[min(i, 1)])
		b.WriteString(labels[i] + `="` + p.escape.Replace(labels[i+1]) + `"`)
	}
	return b.String() + "}"
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
