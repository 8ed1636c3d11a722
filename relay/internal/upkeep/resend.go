package upkeep

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/pace"
)

const (
	// resendRows are looked at, and at most changed, in one transaction.
	resendRows = 1000
	// resendPace is how long a resend rests after each page, as a multiple of what the page took:
	// recording waits for it.
	resendPace = 1
	// notifyPause is how long the dispatcher is not notified of more pages to an endpoint with an
	// order: each time it reads the heads of all keys that wait.
	notifyPause = 5 * time.Second
)

// resender carries out the resends of many deliveries that people asked for, in pages: what is due
// and how far that is are one transaction, so that any relay goes on where another one stopped.
// Unlike a replay a resend adds no rows, so it does not wait for endpoints that have enough to do:
// one that is slow would delay the others, and one that holds its order behind a dead delivery
// waits for nothing but that one's resend.
type resender struct {
	ledger     *ledger.Ledger
	dispatcher *dispatch.Dispatcher
	hold       ledger.Hold
	log        zerolog.Logger
	notified   map[string]time.Time // when the dispatcher was last notified of an endpoint with an order
	unnotified map[string]struct{}  // those of which it is to be notified again
	rejected   Signal
}

// resends is the task that carries them out. What stands for everyone is to be read again then.
func resends(o *Options, wake, rejected Signal) Task {
	p := &resender{
		ledger: o.Ledger, dispatcher: o.Dispatcher, hold: o.Hold, log: o.Logger,
		notified: make(map[string]time.Time), unnotified: make(map[string]struct{}), rejected: rejected,
	}
	all := &operations{what: "resends", wake: wake, find: p.find, log: o.Logger}
	return Task{Name: all.what, Wake: wake, Run: all.run}
}

func (p *resender) find(ctx context.Context) ([]operation, error) {
	resends, err := p.ledger.Resends(ctx)
	over := err == nil && len(resends) == 0
	for id := range p.unnotified {
		p.notify(id, over)
	}
	if over {
		clear(p.notified)
	}
	return operationsOf(resends, func(r *ledger.Resend) string { return r.ID }, p.step), err
}

// step moves a resend by a page.
func (p *resender) step(ctx context.Context, r *ledger.Resend) (bool, error) {
	log := p.log.With().Str("resend", r.ID).Logger()
	if r.Problem != "" {
		log.Warn().Str("why", r.Problem).Msg("resend failed")
		return true, p.ledger.FailResend(ctx, p.hold, r.ID, r.Problem, time.Now())
	}
	if r.AsOf.IsZero() {
		log.Info().Msg("resend begins")
	}
	began := time.Now()
	page, err := p.ledger.ResendPage(ctx, p.hold, r, resendRows, began)
	for _, id := range page.Endpoints {
		if id == dispatch.Everyone {
			p.rejected.Set()
			continue
		}
		p.notify(id, page.Over)
	}
	if err != nil {
		return false, err
	}
	if page.Over {
		log.Info().Msg("resend done")
		return true, nil
	}
	_ = pace.Rest{Times: resendPace}.Wait(ctx, began) // whoever goes on looks at ctx
	return true, nil
}

// notify has the dispatcher look at an endpoint's queue: now, or, if it has an order, not too
// often.
func (p *resender) notify(id string, now bool) {
	if p.dispatcher.Ordered(id) {
		if !now && time.Since(p.notified[id]) < notifyPause {
			p.unnotified[id] = struct{}{}
			return
		}
		p.notified[id] = time.Now()
	}
	delete(p.unnotified, id)
	p.dispatcher.Due(id)
}
