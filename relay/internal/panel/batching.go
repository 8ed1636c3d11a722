package panel

import (
	"strconv"

	"github.com/tailpost/tailpost/relay/internal/api"
)

// batching is how many events share a request, as a person writes it.
type batching struct {
	BatchEvents, BatchWait, BatchBytes, BatchPartial string
}

// fields are the parts of the form by the names of its inputs.
func (b *batching) fields() map[string]*string {
	return map[string]*string{
		"batch_events": &b.BatchEvents, "batch_wait": &b.BatchWait, "batch_bytes": &b.BatchBytes, "batch_partial": &b.BatchPartial,
	}
}

// settings is the form as the API has it; nil: each event has a request of its own.
func (b *batching) settings(change bool) map[string]any {
	if *b == (batching{}) {
		return nil
	}
	s := map[string]any{"partial": b.BatchPartial != ""}
	if change {
		s["events"], s["wait"], s["bytes"] = nil, nil, nil
	}
	if n, err := strconv.Atoi(b.BatchEvents); err == nil {
		s["events"] = n
	} else if b.BatchEvents != "" {
		s["events"] = b.BatchEvents
	}
	if b.BatchWait != "" {
		s["wait"] = b.BatchWait
	}
	if b.BatchBytes != "" {
		s["bytes"] = b.BatchBytes
	}
	return s
}

func batchingOf(e *api.Endpoint) (b batching) {
	if e.Batch == nil {
		return b
	}
	b = batching{BatchEvents: strconv.Itoa(*e.Batch.Events), BatchWait: *e.Batch.Wait, BatchBytes: *e.Batch.Bytes}
	if *e.Batch.Partial {
		b.BatchPartial = "true"
	}
	return b
}
