package relay

import (
	"context"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/doctor"
)

// Finding is what Diagnose found at one place.
type Finding struct {
	Check  string // the name of what was looked at: the same in every release
	Grade  string // "ok", "warning", or "failure": a relay would not start, or would not deliver
	Detail string // what was found
	Fix    string // what exactly mends it; empty: nothing needs it, or Detail says it
}

// Diagnose examines the database of a configuration, and its receivers if asked, and returns what it found
// in the order in which a person would mend it. It changes nothing and sends no event. Relays may run.
func Diagnose(ctx context.Context, cfg *config.Config, receivers bool) []Finding {
	found := doctor.Database(ctx, cfg, doctor.Options{Now: time.Now()})
	if receivers {
		found = append(found, doctor.Endpoints(ctx, cfg, time.Now())...)
	}
	findings := make([]Finding, len(found))
	for i, f := range found {
		findings[i] = Finding{Check: f.Check, Grade: string(f.Grade), Detail: f.Detail, Fix: f.Fix}
	}
	return findings
}
