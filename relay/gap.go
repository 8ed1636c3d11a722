package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/source/postgres"
)

const (
	// gapMargin is how much older than the last settled transaction an event may say it is and still have been committed
	// after it: transactions take time, and clocks differ.
	gapMargin = time.Hour
)

// whyBackfill is the heal that outbox.start asks for when the slot is taken for the first time: it is no gap.
const whyBackfill = "backfill"

// takeSlot opens the stream and takes the slot. Whatever tells of a gap is noted before it is mended, so that no crash
// forgets it.
func (r *Relay) takeSlot(ctx context.Context, led *ledger.Ledger) (*postgres.Stream, error) {
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
		if _, err := r.alone(ctx, led); err != nil {
			return nil, err
		}
	}
	o := postgres.Options{
		URL: url.Reveal(), Slot: cfg.Database.Slot, Table: cfg.Outbox.Mapping.Table,
		ApplicationName: "tailpost " + cfg.Database.Slot, Create: !known,
	}
	if r.unreadable {
		o.SkipBacklog = true
		if err := r.notice(ctx, led, before, "the publication was missing while events were committed"); err != nil {
			return nil, err
		}
	}
	if r.walMissing {
		o.Replace = true
		if err := r.notice(ctx, led, before, "WAL that the slot needed was missing"); err != nil {
			return nil, err
		}
	}
	stream, err := postgres.Open(ctx, o)
	if why := slotGone(err); why != "" {
		if known {
			if err := r.notice(ctx, led, before, why); err != nil {
				return nil, err
			}
		}
		o.Create, o.ReplaceLost = true, true
		stream, err = postgres.Open(ctx, o)
	}
	if err != nil {
		return nil, err
	}
	if err := stream.Start(ctx); err != nil {
		stream.Close()
		return nil, fmt.Errorf("take slot %q: %w", cfg.Database.Slot, err)
	}
	r.unreadable, r.walMissing = false, false
	return stream, nil
}

// alone is an error where a relay with another slot serves the same database: to each of them the other's endpoints would be
// removed from the configuration, and what is queued its own to send. Left are slots that nobody streams from.
func (r *Relay) alone(ctx context.Context, led *ledger.Ledger) (left []string, err error) {
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

// notice makes the heal of a gap due before what tells of the gap is mended.
func (r *Relay) notice(ctx context.Context, led *ledger.Ledger, before ledger.Position, why string) error {
	r.noticed = why
	r.log.Warn().Str("why", why).Msg("events may have passed the stream by, the audit will look for them")
	return led.DueHeal(ctx, r.config().Database.Slot, gapAfter(before, why, time.Now()))
}

// finding is what taking the slot has brought to light.
type finding struct {
	position    ledger.Position
	publication string
	first       *inquiry // nil: there is nothing to audit at once
}

// take takes the slot's row, and finds out whether the stream may have missed something.
func (r *Relay) take(ctx context.Context, led *ledger.Ledger, info *postgres.Info, now time.Time) (ledger.Hold, finding, error) {
	cfg := r.config()
	slot := cfg.Database.Slot
	before, known, err := led.Position(ctx, slot)
	if err != nil {
		return ledger.Hold{}, finding{}, err
	}
	left, err := r.alone(ctx, led)
	if err != nil {
		return ledger.Hold{}, finding{}, err
	}
	for _, other := range left {
		r.log.Warn().Str("slot", other).Msg("a slot of an earlier configuration keeps WAL: drop it with pg_drop_replication_slot if no relay will use it")
	}
	f := finding{}
	if f.publication, err = led.Publication(ctx, slot, cfg.Outbox.Mapping); err != nil {
		return ledger.Hold{}, finding{}, err
	}
	heal := r.gap(before, known, info, f.publication, now)
	if err := led.ResetVersions(ctx, slot, info.SystemID, missed(before, heal, info, slot)); err != nil {
		return ledger.Hold{}, f, err
	}
	if err := led.Rebase(ctx, slot, info.SystemID); err != nil {
		return ledger.Hold{}, f, err
	}
	hold, err := led.Take(ctx, ledger.TakeOptions{
		Slot: slot, Owner: r.opts.Owner, SystemID: info.SystemID, Timeline: info.Timeline, Start: info.ConfirmedFlush, Publication: f.publication,
		Heal: heal, Gap: r.noticed != "" || (known && heal != nil), Now: now,
	})
	if err != nil {
		return hold, f, err
	}
	if f.position, _, err = led.Position(ctx, slot); err != nil {
		return hold, f, err
	}
	f.first = r.first(before, f.position, known, info, now)
	if known && heal != nil && r.noticed == "" {
		r.log.Warn().Str("why", heal.Why).Msg("events may have passed the stream by, the audit will look for them")
	}
	r.noticed = ""
	return hold, f, tooManyGaps(ctx, led, slot, now)
}

// missed says whether the stream may have missed changes of endpoints.
func missed(before ledger.Position, heal *ledger.Heal, info *postgres.Info, slot string) bool {
	for _, h := range []*ledger.Heal{before.Heal, heal} {
		if h != nil && h.Why != whyBackfill {
			return true
		}
	}
	return info.SlotCreated || info.SkippedFrom != 0 || slices.Contains(info.Changed, outbox.EndpointPublication(slot))
}

// first is what is to be audited at once, now that the slot is taken.
func (r *Relay) first(before, position ledger.Position, known bool, info *postgres.Info, now time.Time) *inquiry {
	if position.Heal != nil {
		q := &inquiry{Heal: *position.Heal, due: true, pace: healPace}
		if !q.backfill() {
			q.gapFrom = q.Since.Add(gapMargin)
		}
		return q
	}
	r.mu.Lock()
	acked := r.acked
	r.mu.Unlock()
	if !known || info.ConfirmedFlush <= max(before.Settled, acked) {
		return nil
	}
	// Most likely a relay was killed after it had let go of WAL without events, which is not recorded. But somebody else may
	// have moved the slot.
	return &inquiry{Heal: gapAfter(before, "the slot is ahead of what was recorded", now), pace: healPace}
}

// slotGone says why a slot must be made anew; empty: it need not.
func slotGone(err error) string {
	switch {
	case errors.Is(err, postgres.ErrSlotMissing):
		return "the slot was missing"
	case errors.Is(err, postgres.ErrSlotLost):
		return "Postgres invalidated the slot"
	}
	return ""
}

// gapAfter is a heal of what was committed after a position.
func gapAfter(before ledger.Position, why string, now time.Time) ledger.Heal {
	heal := ledger.Heal{Why: why, From: before.Settled, At: now}
	switch {
	case !before.SettledAt.IsZero():
		heal.Since = before.SettledAt.Add(-gapMargin)
	case !before.AuditedAt.IsZero():
		heal.Since = before.AuditedAt.Add(-gapMargin)
	default:
		heal.Since = before.StartedAt.Add(-gapMargin)
	}
	return heal
}

// gap finds out whether the stream may have missed events, by what it finds now and what the slot's row says of before. Nil:
// it has not.
func (r *Relay) gap(before ledger.Position, known bool, info *postgres.Info, publication string, now time.Time) *ledger.Heal {
	if !known {
		return backfill(r.config().Outbox.Start, info.ConfirmedFlush, now)
	}
	var whys []string
	if before.SystemID != info.SystemID {
		whys = append(whys, fmt.Sprintf("the server is another one: system identifier %s instead of %s", info.SystemID, before.SystemID))
	} else if before.Timeline != info.Timeline {
		whys = append(whys, fmt.Sprintf("the server went from timeline %d to %d: a failover or a restore", before.Timeline, info.Timeline))
	}
	if before.Publication != "" && before.Publication != publication {
		whys = append(whys, publicationChange(before.Publication, publication))
	}
	if info.SkippedFrom != 0 && len(whys) == 0 && before.Heal == nil {
		whys = append(whys, "WAL from a time without publication cannot be decoded")
	}
	if len(whys) == 0 {
		return nil
	}
	heal := gapAfter(before, strings.Join(whys, "; "), now)
	return &heal
}

// backfill is the heal that delivers rows older than the slot.
func backfill(start config.Start, place outbox.LSN, now time.Time) *ledger.Heal {
	if !start.Beginning && start.At.IsZero() {
		return nil
	}
	return &ledger.Heal{Why: whyBackfill, Since: start.At, From: place, At: now}
}

// publicationChange says what differs between two identities of Ledger.Publication.
func publicationChange(before, now string) string {
	was, is := strings.Split(before, "."), strings.Split(now, ".")
	const parts, table = 5, 2
	switch {
	case len(was) != parts || len(is) != parts:
		return "the publication was changed"
	case was[table] != is[table]:
		return "the outbox table was created anew"
	case was[0] != is[0]:
		return "the publication was created anew"
	default:
		return "the publication was changed"
	}
}
