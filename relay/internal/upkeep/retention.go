package upkeep

import (
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox/pglink"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/pace"
	"github.com/tailpost/tailpost/relay/internal/scan"
	"github.com/tailpost/tailpost/relay/internal/source"
)

const (
	// Retention runs this often, and more often where rows of the outbox table are kept for a short
	// time only.
	mostRetentionPause  = time.Hour
	leastRetentionPause = 10 * time.Second
	// retentionPace is how long deleting rests after each statement, as a multiple of what the
	// statement took.
	retentionPace = 4
	// judgedMargin is for how long an audit looks at a row again: one that was written long before
	// it was committed, or came with a partition that was attached, is there by then.
	judgedMargin = time.Hour
)

// keeper removes what is old: settled rows of the outbox table, attempts, dead deliveries, replays,
// resends, counters. Each of its statements is short and may fail: the next time will do.
type keeper struct {
	ledger   *ledger.Ledger
	slot     string
	barriers *source.Barriers
	outbox   config.Outbox
	keep     func() config.Retention // of the present configuration
	healed   <-chan struct{}         // closed once no gap waits to be healed
	log      zerolog.Logger
	refused  bool // it was logged that rows may not be deleted
}

// retention is the task that does it.
func retention(o *Options) Task {
	k := &keeper{ledger: o.Ledger, slot: o.Hold.Slot, barriers: o.Barriers, outbox: o.Outbox, keep: o.Retention, healed: o.Healed, log: o.Logger}
	return Task{Name: "retention", Run: k.run}
}

// run removes what is old now and then until ctx is done.
func (k *keeper) run(ctx context.Context) {
	pause := retentionPause(k.outbox.Retention)
	// What is deleted cannot be healed any more, and the audit relies on the attempts.
	select {
	case <-k.healed:
	case <-ctx.Done():
		return
	}
	for ctx.Err() == nil {
		k.once(ctx)
		_ = pace.Wait(ctx, pause)
	}
}

// retentionPause is how long retention rests after it has run: rows of the outbox table are kept no
// more than a tenth longer than they should be, where that is bearable.
func retentionPause(rows time.Duration) time.Duration {
	if rows <= 0 {
		return mostRetentionPause
	}
	return min(max(rows/10, leastRetentionPause), mostRetentionPause)
}

// once removes what is old.
func (k *keeper) once(ctx context.Context) { k.remove(ctx, time.Now()) }

// remove removes what is old, at now by the relay's clock.
func (k *keeper) remove(ctx context.Context, now time.Time) {
	k.report(ctx, "partitions of the coming days", k.ledger.EnsurePartitions(ctx, now))
	// One of two clocks may be far ahead: what is removed is old by both.
	database, err := k.ledger.Clock(ctx)
	if err != nil {
		k.report(ctx, "everything", err)
		return
	}
	now = pace.Sooner(now, database)
	if k.outbox.Retention > 0 && k.outbox.Mapping.Table != "" {
		k.report(ctx, "outbox", k.events(ctx, now.Add(-k.outbox.Retention)))
	}
	keep := k.keep()
	if keep.Attempts > 0 {
		before := now.Add(-keep.Attempts)
		k.report(ctx, "attempts", k.attempts(ctx, before))
		k.report(ctx, "discarded deliveries",
			k.again(ctx, "discarded deliveries", func() (int64, bool, error) { return k.ledger.DropDiscarded(ctx, before) }))
		k.report(ctx, "replays", k.again(ctx, "replays", func() (int64, bool, error) { return k.ledger.DropReplays(ctx, before) }))
		k.report(ctx, "resends", k.again(ctx, "resends", func() (int64, bool, error) { return k.ledger.DropResends(ctx, before) }))
	}
	if keep.Dead > 0 {
		before := now.Add(-keep.Dead)
		k.report(ctx, "dead deliveries", k.again(ctx, "dead deliveries", func() (int64, bool, error) { return k.ledger.DropDead(ctx, before) }))
	}
	if keep.Stats > 0 {
		before := now.Add(-keep.Stats)
		k.report(ctx, "counters", k.again(ctx, "hours of counters", func() (int64, bool, error) { return k.ledger.FoldStats(ctx, before) }))
		k.report(ctx, "counters by type", k.again(ctx, "hours of counters by type", func() (int64, bool, error) { return k.ledger.DropTypeStats(ctx, before) }))
	}
}

// report logs what did not work.
func (k *keeper) report(ctx context.Context, what string, err error) {
	switch {
	case err == nil, ctx.Err() != nil:
	case pglink.Is(err, pglink.InsufficientPrivilege):
		if !k.refused {
			k.refused = true
			k.log.Error().Err(err).Str("what", what).Msg("the relay's role may not remove what is old: see the grants of `tailpost migrate --print`, for the outbox table GRANT DELETE")
		}
	default:
		k.log.Warn().Err(err).Str("what", what).Msg("not everything that is old could be removed, trying again later")
	}
}

// events deletes the rows of the outbox table that were created before a time.
func (k *keeper) events(ctx context.Context, before time.Time) error {
	// Rows that are still in the stream would lose what could heal them.
	if _, err := k.barriers.Wait(ctx); err != nil {
		return err
	}
	before, err := k.judged(ctx, before)
	if err != nil {
		return err
	}
	table, err := k.ledger.NewSweep(ctx, k.outbox.Mapping, scan.Scope{})
	if err != nil {
		return err
	}
	if !table.Timed() {
		return errors.New("the outbox table has no created_at column, so nothing tells how old its rows are")
	}
	blocks, _, err := table.Blocks(ctx)
	if err != nil {
		return err
	}
	total := int64(0)
	var page pace.Page
	for at := int64(0); at < blocks && ctx.Err() == nil; {
		began := time.Now()
		deleted, err := table.Delete(ctx, at, page.Size(), before)
		if err != nil {
			return err
		}
		total += deleted
		at += page.Size()
		page.Took(time.Since(began))
		if err := (pace.Rest{Times: retentionPace}).Wait(ctx, began); err != nil {
			return err
		}
	}
	if total > 0 {
		k.log.Info().Int64("events", total).Time("before", before).Msg("settled events deleted from the outbox table")
	}
	return nil
}

// judged returns a time, before at the latest, such that an audit has judged what was created until
// then: what the stream did not bring, nobody can tell from what nobody wants once it is deleted.
func (k *keeper) judged(ctx context.Context, before time.Time) (time.Time, error) {
	if k.outbox.AuditInterval <= 0 {
		return before, nil // nobody looks for what the stream did not bring
	}
	p, _, err := k.ledger.Position(ctx, k.slot)
	if err != nil {
		return time.Time{}, err
	}
	if judged := pace.Later(p.AuditedAt, p.StartedAt).Add(-judgedMargin); judged.Before(before) {
		return judged, nil
	}
	return before, nil
}

// attempts drops the partitions of tailpost.attempt that end before a time.
func (k *keeper) attempts(ctx context.Context, before time.Time) error {
	for ctx.Err() == nil {
		name, err := k.ledger.DropPartition(ctx, before)
		if err != nil || name == "" {
			return err
		}
		k.log.Info().Str("partition", name).Msg("old attempts dropped")
	}
	return nil
}

// again runs f until there is no more to do.
func (k *keeper) again(ctx context.Context, what string, f func() (n int64, more bool, err error)) error {
	total := int64(0)
	for ctx.Err() == nil {
		began := time.Now()
		n, more, err := f()
		if err != nil {
			return err
		}
		total += n
		if !more {
			break
		}
		if err := (pace.Rest{Times: retentionPace}).Wait(ctx, began); err != nil {
			return err
		}
	}
	if total > 0 {
		k.log.Info().Int64("rows", total).Str("what", what).Msg("old records removed")
	}
	return nil
}
