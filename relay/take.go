package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/fleet"
	"github.com/tailpost/tailpost/relay/internal/heal"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/source/postgres"
)

// takeSlot opens the stream and takes the slot. Whatever tells of a gap is noted before it is
// mended, so that no crash forgets it.
func takeSlot(ctx context.Context, r *Relay, led *ledger.Ledger) (*postgres.Stream, error) {
	cfg := r.config()
	url := cfg.Database.ReplicationURL
	if url.IsZero() {
		url = cfg.Database.URL
	}
	before, known, err := led.Position(ctx, cfg.Database.Slot)
	if err != nil {
		return nil, err
	}
	if !known {
		// Before there is a slot that nobody would read from.
		if _, err := checkOtherSlots(ctx, r, led); err != nil {
			return nil, err
		}
	}
	publication, err := led.Publication(ctx, cfg.Database.Slot, cfg.Outbox.Mapping)
	if err != nil {
		return nil, err
	}
	r.untouched = publication == before.Publication
	open := func() (*postgres.Stream, error) {
		o := postgres.Options{
			URL: url.Reveal(), Slot: cfg.Database.Slot, Table: cfg.Outbox.Mapping.Table,
			ApplicationName: "tailpost " + cfg.Database.Slot, Create: !known, Waiting: r.waiting,
			Admit: func(ctx context.Context, found postgres.Info) error { return admit(ctx, led, &found) },
		}
		for _, why := range r.signs.Mend(&o) {
			if !known {
				continue // nobody has missed anything yet
			}
			if err := noteGap(ctx, r, led, before, why); err != nil {
				return nil, err
			}
		}
		return postgres.Open(ctx, o)
	}
	stream, err := open()
	if err != nil && r.signs.Refused(err) {
		stream, err = open()
	}
	if err != nil {
		return nil, err
	}
	if err := stream.Start(ctx); err != nil {
		stream.Close()
		return nil, fmt.Errorf("take slot %q: %w", cfg.Database.Slot, err)
	}
	r.signs.Opened()
	return stream, nil
}

// errElsewhere says that the stream and the ledger are connected to different servers. It may pass:
// after a failover one of them may still be connected to the old primary.
var errElsewhere = errors.New("database.url and database.replication_url lead to different servers: both must lead to the primary")

// admit is an error where the stream would be of another database than the ledger's: its events
// would be sent, and those of the ledger's own database never.
func admit(ctx context.Context, led *ledger.Ledger, found *postgres.Info) error {
	own, serves, err := led.Serves(ctx, found.PID, found.Database)
	switch {
	case err != nil:
		return err
	case !serves:
		return errElsewhere
	case own != found.Database:
		return fmt.Errorf("%w: database.url leads to database %q, database.replication_url to %q: name the same one in both",
			postgres.ErrSetup, own, found.Database)
	}
	return nil
}

// checkOtherSlots is an error where a relay with another slot serves the same database: to each of
// them the other's endpoints would be removed from the configuration, and what is queued its own to
// send. Left are slots that nobody streams from.
func checkOtherSlots(ctx context.Context, r *Relay, led *ledger.Ledger) (left []string, err error) {
	slot := r.config().Database.Slot
	others, err := led.OtherSlots(ctx, slot)
	if err != nil {
		return nil, err
	}
	for _, other := range others {
		if other.Active {
			return nil, fmt.Errorf("a relay with slot %q serves this database, and this one has slot %q: endpoints, queue and attempts of a "+
				"database belong to one slot. Give all relays of the database the same database.slot, or stop the other one", other.Name, slot)
		}
		left = append(left, other.Name)
	}
	return left, nil
}

// lacked returns the optional columns that the outbox table does not have, and warns of endpoints
// that ask for what they would hold.
func lacked(ctx context.Context, r *Relay, led *ledger.Ledger, endpoints []dispatch.Endpoint) ([]string, error) {
	o := &r.config().Outbox
	lacks, err := led.Lacks(ctx, o.Mapping)
	if err != nil || !o.FromTableAlone() {
		return lacks, err
	}
	unserved := make(map[string]int)
	for i := range endpoints {
		for _, setting := range config.Unserved(&endpoints[i].Config, o.Mapping.Without(lacks)) {
			unserved[setting]++
		}
	}
	if n := unserved["tenant"]; n > 0 {
		r.log.Warn().Str("table", o.Mapping.Table).Int("endpoints", n).
			Msg("events have no tenant, so endpoints that have one get nothing: name the column that has it in outbox.columns")
	}
	if n := unserved["ordering"]; n > 0 {
		r.log.Warn().Str("table", o.Mapping.Table).Int("endpoints", n).
			Msg("events have no key, so endpoints with ordering = \"key\" keep no order: name the column that has it in outbox.columns")
	}
	return lacks, nil
}

// reading says how events are read from the stream, but for what depends on the stream itself.
func reading(ctx context.Context, r *Relay, led *ledger.Ledger, hold ledger.Hold, endpoints []dispatch.Endpoint) (postgres.EventsOptions, error) {
	o := &r.config().Outbox
	read := postgres.EventsOptions{
		Mapping: o.Mapping, Messages: o.Messages, Publication: hold.Slot, Settled: source.Position(hold.Settled), Logger: r.log,
	}
	var err error
	if read.Zone, err = led.Zone(ctx, o.Mapping); err != nil {
		return read, err
	}
	read.Lacks, err = lacked(ctx, r, led, endpoints)
	return read, err
}

// noteGap makes the heal of a gap due before what tells of the gap is mended.
func noteGap(ctx context.Context, r *Relay, led *ledger.Ledger, before ledger.Position, why string) error {
	r.signs.Noted(why)
	r.log.Warn().Str("why", why).Msg("the stream may have missed events, the audit will look for them in the outbox table")
	return led.DueHeal(ctx, r.config().Database.Slot, heal.After(before, why, time.Now()))
}

// taken is the slot as it was taken.
type taken struct {
	hold        ledger.Hold
	begin       source.Position // where the stream begins
	routing     int64           // number of the routing; 0: nothing is published
	position    ledger.Position
	publication string        // identity of the outbox table's publication
	endpoints   string        // identity of what publishes the endpoints
	standbys    string        // that commits wait for
	first       *heal.Inquiry // what is to be audited at once; nil: nothing
}

// claim takes the slot's row, and finds out whether the stream may have missed something.
func claim(ctx context.Context, r *Relay, led *ledger.Ledger, info *postgres.Info, now time.Time) (taken, error) {
	cfg := r.config()
	slot := cfg.Database.Slot
	before, known, err := led.Position(ctx, slot)
	if err != nil {
		return taken{}, err
	}
	left, err := checkOtherSlots(ctx, r, led)
	if err != nil {
		return taken{}, err
	}
	for _, other := range left {
		r.log.Warn().Str("slot", other).Msg("a slot of an earlier configuration keeps WAL: drop it with pg_drop_replication_slot if no relay will use it")
	}
	t := taken{standbys: info.Standbys}
	if t.publication, t.endpoints, err = led.Publications(ctx, slot, cfg.Outbox.Mapping); err != nil {
		return t, err
	}
	if info.Widened && r.untouched {
		before.Publication = t.publication // nobody but this relay has changed it, and the stream missed nothing
	}
	for _, advice := range info.Advice {
		r.log.Warn().Msg(advice)
	}
	f := &heal.Finding{Before: before, Info: *info, Publication: t.publication, Acked: ackedSoFar(r)}
	due := heal.Backfill(cfg.Outbox.Start, source.Position(info.ConfirmedFlush), now)
	if known {
		due = f.Gap(now)
	}
	missed := heal.Missed(before.Heal, due) ||
		info.SlotCreated || info.SkippedFrom != 0 || slices.Contains(info.Changed, outbox.EndpointPublication(slot))
	if err := led.ResetVersions(ctx, slot, info.SystemID, missed); err != nil {
		return t, err
	}
	if err := led.Rebase(ctx, slot, info.SystemID); err != nil {
		return t, err
	}
	noted := r.signs.Taken()
	if t.hold, err = led.Take(ctx, ledger.TakeOptions{
		Slot: slot, Owner: r.opts.Owner, SystemID: info.SystemID, Timeline: info.Timeline, Start: info.ConfirmedFlush, Publication: t.publication,
		Heal: due, Gap: noted != "" || (known && due != nil), Now: now,
	}); err != nil {
		r.signs.Noted(noted)
		return t, err
	}
	t.begin = source.Position(max(t.hold.Settled, info.ConfirmedFlush))
	if t.position, _, err = led.Position(ctx, slot); err != nil {
		return t, err
	}
	switch {
	case t.position.Heal != nil:
		t.first = heal.Due(*t.position.Heal)
	case known:
		t.first = f.Doubt(now)
	}
	if known && due != nil && noted == "" {
		r.log.Warn().Str("why", due.Why).Msg("the stream may have missed events, the audit will look for them in the outbox table")
	}
	return t, heal.Limit(ctx, led, slot, now)
}

// ackedSoFar is how far this process has acknowledged the slot, in whatever hold.
func ackedSoFar(r *Relay) source.Position {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.acked
}

// route records how what is published is routed.
func route(ctx context.Context, r *Relay, led *ledger.Ledger, found *taken, partitions int) (err error) {
	if partitions > 0 {
		found.routing, err = led.Route(ctx, found.hold, r.config().Routing(), found.first.Certain())
	}
	return err
}

// publishing records to how many partitions a hold publishes. If that number changes, the senders
// of before get time to record what they have; the audit begins with what they leave behind.
func publishing(ctx context.Context, r *Relay, led *ledger.Ledger, found *taken, partitions int, now time.Time) error {
	err := route(ctx, r, led, found, partitions)
	if err != nil {
		return err
	}
	err = r.fleet.Drain(ctx, fleet.DrainOptions{
		Hold: found.hold, Timeline: found.position.Timeline, Former: found.position.Partitions, Begin: found.begin, Ledger: led,
	})
	if err != nil {
		return err
	}
	left, err := led.Publishing(ctx, found.hold, ledger.PublishingOptions{Partitions: partitions, Why: heal.WhyPartitions, Margin: heal.GapMargin, Now: now})
	if err != nil || left == nil {
		return err
	}
	r.log.Warn().Stringer("lsn", left.From).Msg("senders did not record all that was published to them, the audit will look for it in the outbox table")
	if found.position, _, err = led.Position(ctx, found.hold.Slot); err != nil {
		return err
	}
	if found.position.Heal != nil {
		found.first = heal.Due(*found.position.Heal)
	}
	return nil
}
