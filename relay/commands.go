package relay

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/doctor"
	"github.com/tailpost/tailpost/relay/internal/heal"
	"github.com/tailpost/tailpost/relay/internal/upkeep"
)

// Reseal seals the signing secrets and header values of all endpoints made through the API under
// the first key of the configuration, so that the other keys can go once running relays have read
// the change. It returns how many endpoints were sealed under another key, or had header values
// that were not sealed. All or nothing is changed; a secret that no configured key opens is an
// error that names its endpoint. Relays may run.
func Reseal(ctx context.Context, cfg *config.Config, log zerolog.Logger) (changed int, err error) {
	return upkeep.Reseal(ctx, cfg, log)
}

// ClearGaps lets relays heal gaps again, now that a person has seen why there were more than they
// heal within an hour: those until now do not count any more. It returns why a heal is due, which
// the next relay to take the slot does; empty: none is. Relays may run.
func ClearGaps(ctx context.Context, cfg *config.Config, log zerolog.Logger) (due string, err error) {
	return heal.ClearGaps(ctx, cfg, log)
}

// Finding is what Diagnose found at one place.
type Finding struct {
	Check  string // the name of what was looked at: the same in every release
	Grade  string // "ok", "warning", or "failure": a relay would not start, or would not deliver
	Detail string // what was found
	Fix    string // what exactly mends it; empty: nothing needs it, or Detail says it
}

// DiagnoseOptions say what Diagnose looks at beside the database, and what no database tells.
type DiagnoseOptions struct {
	Receivers bool  // examine the receivers too
	Free      int64 // bytes that the database's disk has left; 0: not known
}

// Diagnose examines the database of a configuration, and its receivers if asked, and returns what
// it found in the order in which a person would mend it. It changes nothing and sends no event.
// Relays may run.
func Diagnose(ctx context.Context, cfg *config.Config, o DiagnoseOptions) []Finding {
	found := doctor.Database(ctx, cfg, doctor.Options{Now: time.Now(), Free: o.Free})
	if o.Receivers {
		found = append(found, doctor.Endpoints(ctx, cfg, time.Now())...)
	}
	findings := make([]Finding, len(found))
	for i, f := range found {
		findings[i] = Finding{Check: f.Check, Grade: string(f.Grade), Detail: f.Detail, Fix: f.Fix}
	}
	return findings
}
