package heal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

const (
	// gapLimit is how many gaps within gapPeriod are healed. More have a cause that somebody must
	// remove.
	gapLimit  = 3
	gapPeriod = time.Hour
)

// ErrTooManyGaps ends the relay.
var ErrTooManyGaps = errors.New("too many gaps in the stream")

// Counter knows the gaps that there were; *ledger.Ledger does.
type Counter interface {
	Gaps(ctx context.Context, o ledger.GapsOptions) ([]ledger.RecentGap, error)
}

// Limit returns an error once there were more gaps than are healed. They are counted in the
// database, so that neither a supervisor that starts the relay again nor another replica heals for
// ever. Neither a backfill counts nor partitions that were given up because NATS took nothing: the
// stream was whole all the while, and falling back to it is what a fan-out is to do.
func Limit(ctx context.Context, led Counter, slot string, now time.Time) error {
	gaps, err := led.Gaps(ctx, ledger.GapsOptions{Slot: slot, Uncounted: []string{whyBackfill, WhyPartitions}, Since: now.Add(-gapPeriod), Now: now})
	if err != nil || len(gaps) <= gapLimit {
		return err
	}
	again, last := gaps[len(gaps)-gapLimit-1].At.Add(gapPeriod).UTC(), gaps[len(gaps)-1]
	return fmt.Errorf("%w: %d within an hour, the last because %s. Something keeps breaking the stream: table tailpost.gap tells more; look for "+
		"whoever drops the slot or the publication, and at max_slot_wal_keep_size and idle_replication_slot_timeout of the server. Then "+
		"run `tailpost heal` and start tailpost again. Without that every start ends like this until %s. The next relay that heals "+
		"delivers from the outbox table what the stream missed", ErrTooManyGaps, len(gaps), last.Why, again.Format(time.RFC3339))
}

// ClearGaps is relay.ClearGaps.
func ClearGaps(ctx context.Context, cfg *config.Config, log zerolog.Logger) (due string, err error) {
	led, err := ledger.Open(ctx, ledger.Options{URL: cfg.Database.URL, AppName: "heal", Logger: log})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, led.Close(context.WithoutCancel(ctx))) }()
	if _, err := led.Check(ctx, cfg.Outbox.Mapping); err != nil {
		return "", err
	}
	return led.ClearGaps(ctx, cfg.Database.Slot, time.Now())
}
