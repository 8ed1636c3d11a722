package relay

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/telemetry"
	"github.com/tailpost/tailpost/relay/internal/tracing"
)

// lastExport is how long exporting what is left may take at the end.
const lastExport = 5 * time.Second

// resourceOf describes this process to an OpenTelemetry collector: OTEL_SERVICE_NAME and
// OTEL_RESOURCE_ATTRIBUTES, and what they do not say.
func resourceOf(ctx context.Context, r *Relay) *resource.Resource {
	own := resource.NewSchemaless(
		attribute.String("service.name", "tailpost"), attribute.String("service.version", r.opts.Version),
		attribute.String("service.instance.id", r.opts.Owner), attribute.String("tailpost.slot", r.Status().Slot),
	)
	given, err := resource.New(ctx, resource.WithFromEnv())
	if err != nil {
		r.log.Warn().Err(err).Msg("part of OTEL_RESOURCE_ATTRIBUTES was left out: write it as key=value,key=value")
	}
	if all, err := resource.Merge(own, given); err == nil {
		return all
	}
	return own // two schemas, of which neither has one
}

// withTelemetry runs deliver with spans and metrics exported, and exports what is left after it.
func withTelemetry(ctx context.Context, r *Relay, deliver func(context.Context) error) error {
	var closers []func(context.Context) error
	if r.opts.Spans != nil {
		r.tracer = tracing.New(r.opts.Spans, resourceOf(ctx, r))
		closers = append(closers, r.tracer.Close)
	}
	if r.opts.Readings != nil {
		closers = append(closers, telemetry.NewExporter(r.metrics, r.opts.Readings, resourceOf(ctx, r)).Close)
	}
	err := deliver(ctx)
	bound, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), lastExport, errors.New("the collector is slow"))
	defer cancel()
	for _, closeIt := range closers {
		if lost := closeIt(bound); lost != nil {
			r.log.Warn().Msg("the last spans or metrics were not exported") // the error has a URL
		}
	}
	return err
}

// dispatchers returns those of this process: that of the slot, where it delivers, and those of its
// partitions.
func dispatchers(r *Relay) []*dispatch.Dispatcher {
	all := r.fleet.Dispatchers()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.holding != nil {
		all = append(all, r.holding.dispatcher)
	}
	return all
}

// unpublished returns since when NATS does not take what was read, and since when that is so of a
// relay that delivers alone meanwhile; zero: it is not so.
func unpublished(r *Relay) (waiting, alone time.Time) {
	r.mu.Lock()
	h := r.holding
	r.mu.Unlock()
	switch {
	case h == nil:
		return time.Time{}, time.Time{}
	case h.reader == nil:
		return time.Time{}, r.fleet.Away()
	}
	return h.reader.Stuck(), time.Time{}
}

// fanoutStatus returns what this process does in a fan-out; nil: there is none.
func fanoutStatus(r *Relay) *telemetry.Fanout {
	if r.fleet == nil {
		return nil
	}
	waiting, alone := unpublished(r)
	if waiting.IsZero() {
		waiting = alone
	}
	return &telemetry.Fanout{Unpublished: waiting, Owned: len(r.fleet.Dispatchers())}
}

// traceFunc returns the function by which dispatch begins spans; nil: nothing is traced.
func traceFunc(r *Relay) func(e *outbox.Event, endpoint string, number int, trigger outbox.Trigger, at time.Time) dispatch.Trace {
	if r.tracer == nil {
		return nil
	}
	return func(e *outbox.Event, endpoint string, number int, trigger outbox.Trigger, at time.Time) dispatch.Trace {
		return r.tracer.Begin(e, endpoint, number, trigger, at)
	}
}

const (
	// invalidPause is how often the log tells of payloads of one type that their schema does not
	// allow.
	invalidPause = time.Minute
	// invalidTypes bounds how many types it tells of in that time.
	invalidTypes = 100
)

// validation holds events against the catalogue of a configuration.
type validation struct {
	relay     *Relay
	catalogue *config.Catalogue

	mu   sync.Mutex
	told map[string]time.Time // by type
}

// newValidation returns what looks at payloads before they are sent; nil: nothing does.
func newValidation(r *Relay, cfg *config.Config) func(*outbox.Event) error {
	if cfg.Catalogue.Validate == config.ValidateOff || cfg.Catalogue.Validate == "" {
		return nil
	}
	v := &validation{relay: r, catalogue: &cfg.Catalogue, told: make(map[string]time.Time)}
	return v.check
}

// check returns what is wrong with an event's payload, and counts it.
func (v *validation) check(e *outbox.Event) error {
	err := v.catalogue.Check(e.Type, e.Payload)
	if err == nil {
		return nil
	}
	v.relay.rare.Invalid()
	if v.tells(e.Type, time.Now()) {
		v.relay.log.Warn().Str("type", e.Type).Str("event_id", e.ID).Str("problem", err.Error()).
			Msg("the payload is not what its schema says; others of this type are not told of for a minute")
	}
	return err
}

// tells reports whether the log is to tell of a type now.
func (v *validation) tells(eventType string, now time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if now.Sub(v.told[eventType]) < invalidPause {
		return false
	}
	if len(v.told) >= invalidTypes {
		for name, at := range v.told {
			if now.Sub(at) >= invalidPause {
				delete(v.told, name)
			}
		}
		if len(v.told) >= invalidTypes {
			return false
		}
	}
	v.told[eventType] = now
	return true
}
