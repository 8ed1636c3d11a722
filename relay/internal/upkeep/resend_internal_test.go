package upkeep

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// resend asks for a resend.
func (b *againBundle) resend(t *testing.T, selection string) {
	t.Helper()
	b.exec(t, "INSERT INTO tailpost.resend (id, selection, state, created_at, updated_at) VALUES ('rs1', $1::text::jsonb, 'pending', now(), now())", selection)
}

// dead has so many dead deliveries wait for a person.
func (b *againBundle) dead(t *testing.T, endpoint string, n int) {
	t.Helper()
	b.exec(t, `
		INSERT INTO tailpost.delivery (event_id, endpoint_id, event_type, payload, state, reason, attempts, commit_lsn, seq, event_created_at, created_at, updated_at)
		SELECT 'd' || n, $1, 'order.created', '{}', 'dead', 'exhausted', 3, '0/1', n, now(), now() - interval '1h', now() - interval '1h'
		FROM generate_series(1, $2::int) AS n`, endpoint, n)
}

func (b *againBundle) resender() *resender {
	return &resender{
		ledger: b.ledger, dispatcher: b.dispatcher, hold: b.hold, log: zerolog.Nop(),
		notified: make(map[string]time.Time), unnotified: make(map[string]struct{}), rejected: NewSignal(),
	}
}

// open returns the resends that are not over, as p finds them.
func (b *againBundle) open(t *testing.T, p *resender) []operation {
	t.Helper()
	all, err := p.find(t.Context())
	require.NoError(t, err)
	return all
}

// A resend whose selection this release does not understand would choose more than what was asked
// for: it fails with the reason, and nothing is resent.
func TestAResendThatIsNotUnderstoodResendsNothing(t *testing.T) {
	t.Parallel()
	b := setupAgain(t)
	b.dead(t, "erp", 3)
	b.resend(t, `{"state": "dead", "colour": "red"}`)
	p := b.resender()
	all := b.open(t, p)
	require.Len(t, all, 1)
	went, err := all[0].step(t.Context())
	require.NoError(t, err)
	require.True(t, went)
	require.Equal(t, "failed", b.text(t, "SELECT state FROM tailpost.resend"))
	require.Contains(t, b.text(t, "SELECT error FROM tailpost.resend"), "colour")
	require.Equal(t, "3", b.text(t, "SELECT count(*)::text FROM tailpost.delivery WHERE state = 'dead'"))
	require.Empty(t, b.open(t, p))
}

// What could not be made an event stands for everybody, and no endpoint sends it: it is read again,
// at once.
func TestAResendHasRejectedEventsReadAgain(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		endpoint string
		want     int
	}{"of an endpoint": {"erp", 0}, "of everybody": {dispatch.Everyone, 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupAgain(t)
			b.dead(t, test.endpoint, 2)
			b.resend(t, `{"state": "dead"}`)
			p := b.resender()
			_, err := b.open(t, p)[0].step(t.Context())
			require.NoError(t, err)
			require.Len(t, p.rejected, test.want)
			require.Equal(t, "2", b.text(t, "SELECT count(*)::text FROM tailpost.delivery WHERE state = 'pending'"))
		})
	}
}

// An endpoint with an order is looked at with the first page of a resend and then not too often:
// each look reads the heads of all its keys. With the last page it is looked at in any case. One
// without an order is looked at with each page.
func TestAResendHasAnOrderLookedAtSeldom(t *testing.T) {
	t.Parallel()
	for _, ordering := range []config.Ordering{config.OrderingNone, config.OrderingKey, config.OrderingStrict} {
		t.Run(string(ordering), func(t *testing.T) {
			t.Parallel()
			b := setupAgain(t, func(e *dispatch.Endpoint) { e.Config.Ordering = ordering })
			b.dead(t, "erp", 2*resendRows+1)
			b.resend(t, `{"state": "dead"}`)
			p := b.resender()
			ordered := ordering != config.OrderingNone
			for page, waits := range []bool{false, ordered, false} {
				if page == 1 && ordered {
					p.notified["erp"] = time.Now() // however slow the first page was
				}
				went, err := b.open(t, p)[0].step(t.Context())
				require.NoError(t, err)
				require.True(t, went, "it waits for nobody")
				require.Equal(t, waits, len(p.unnotified) == 1, "page %d", page)
				require.Equal(t, ordered, len(p.notified) == 1, "page %d", page)
			}
			require.Empty(t, b.open(t, p))
			require.Empty(t, p.notified, "the next resend begins anew")
		})
	}
}

// What is still to be said once a resend was cancelled is said then.
func TestAResendThatIsCancelledHasItsOrderLookedAt(t *testing.T) {
	t.Parallel()
	b := setupAgain(t, func(e *dispatch.Endpoint) { e.Config.Ordering = config.OrderingStrict })
	b.dead(t, "erp", resendRows+1)
	b.resend(t, `{"state": "dead"}`)
	p := b.resender()
	p.notified["erp"] = time.Now()
	_, err := b.open(t, p)[0].step(t.Context())
	require.NoError(t, err)
	require.Len(t, p.unnotified, 1)
	b.exec(t, "UPDATE tailpost.resend SET state = 'cancelled'")
	require.Empty(t, b.open(t, p))
	require.Empty(t, p.unnotified)
}

// A page that was committed and not heard of is sent as any other: it is found done already, and
// the endpoints that it names are looked at.
func TestAResendThatIsNotHeardOfIsSent(t *testing.T) {
	t.Parallel()
	b := setupAgain(t, func(e *dispatch.Endpoint) { e.Config.Ordering = config.OrderingStrict })
	b.dead(t, "erp", 3)
	b.exec(t, "UPDATE tailpost.delivery SET state = 'pending', reason = 'order'")
	b.resend(t, `{"state": "pending"}`)
	p := b.resender()
	stale := b.open(t, p)
	_, err := b.resender().step(t.Context(), b.nextResend(t))
	require.NoError(t, err)
	_, err = stale[0].step(t.Context())
	require.ErrorIs(t, err, ledger.ErrOver)
	require.Contains(t, p.notified, "erp")
}

func (b *againBundle) nextResend(t *testing.T) *ledger.Resend {
	t.Helper()
	open, err := b.ledger.Resends(t.Context())
	require.NoError(t, err)
	require.Len(t, open, 1)
	return &open[0]
}

// rejected has an event that was none be read again.
func (b *againBundle) rejected(t *testing.T, id string) {
	t.Helper()
	b.exec(t, `
		INSERT INTO tailpost.delivery (event_id, endpoint_id, event_type, payload, state, reason, attempts, next_attempt_at, last_error, commit_lsn, seq, event_created_at, created_at, updated_at)
		VALUES ($1, '*', '', NULL, 'pending', 'resend', 0, now(), 'type is NULL', '0/7', 5, now(), now(), now())`, id)
}

// What will not work by itself ends with the reason, where a person sees it.
func TestAnEventOfATableThatIsNotThereIsDeadAgain(t *testing.T) {
	t.Parallel()
	b := setupAgain(t)
	b.rejected(t, "e1")
	b.mapping.Table = "public.nothing"
	var log strings.Builder
	p := &rereader{ledger: b.ledger, dispatcher: b.dispatcher, hold: b.hold, mapping: b.mapping, terms: idOf, log: zerolog.New(&log)}
	all, err := p.find(t.Context())
	require.NoError(t, err)
	went, err := all[0].step(t.Context())
	require.NoError(t, err)
	require.True(t, went)
	require.Contains(t, b.text(t, "SELECT state || ': ' || last_error FROM tailpost.delivery"), "dead: ")
	require.Contains(t, b.text(t, "SELECT last_error FROM tailpost.delivery"), "public.nothing")
	require.Equal(t, 1, strings.Count(log.String(), "\n"))
	require.Contains(t, log.String(), "event still cannot be read, dead again")
}

// TestWhatPeopleAskForIsDone: a replay, a resend and an event to be read again, those that are
// there when a relay takes the slot, and those that come later.
func TestWhatPeopleAskForIsDone(t *testing.T) {
	t.Parallel()
	b := setupAgain(t)
	var log kit.Log
	u := New(Options{Ledger: b.ledger, Dispatcher: b.dispatcher, Hold: b.hold, Outbox: config.Outbox{Mapping: b.mapping}, Logger: zerolog.New(&log)})
	sent := b.sending(t)
	ctx, stop := context.WithCancel(t.Context())
	var tasks sync.WaitGroup
	t.Cleanup(tasks.Wait)
	t.Cleanup(stop)
	for _, n := range []string{"1", "2"} {
		b.exec(t, "INSERT INTO public.events VALUES ('r' || $1::text, 'of.replay' || $1::text, '{}', now())", n)
		b.exec(t, `
			INSERT INTO tailpost.replay (id, endpoint_id, types, until, state, in_order, created_at, updated_at)
			VALUES ('r' || $1::text, 'erp', ARRAY['of.replay' || $1::text], now() + interval '1h', 'pending', false, now(), now())`, n)
		b.exec(t, "INSERT INTO tailpost.resend (id, selection, state, created_at, updated_at) VALUES ($1, '{\"state\": \"dead\"}', 'pending', now(), now())", n)
		b.dead(t, "erp", 1)
		b.rejected(t, "e"+n)
		if n == "1" {
			for _, task := range u.Tasks() {
				tasks.Go(func() { task.Run(ctx) })
			}
		} else {
			u.WakeOperations()
		}
		sends(t, sent, "d1", "e"+n, "r"+n)
		require.Eventually(t, func() bool {
			return b.text(t, "SELECT (SELECT count(*) FROM tailpost.delivery) + (SELECT count(*) FROM tailpost.replay WHERE state <> 'done') + (SELECT count(*) FROM tailpost.resend WHERE state <> 'done') || ''") == "0"
		}, 30*time.Second, 5*time.Millisecond)
	}
	for _, text := range []string{"replay done", "resend done", "event read again and routed"} {
		require.Equal(t, 2, strings.Count(log.String(), text), text)
	}
}

// An event that was corrected, or whose mapping fits again, is on its way as soon as it is read.
func TestAnEventThatIsReadAgainIsSentAtOnce(t *testing.T) {
	t.Parallel()
	b := setupAgain(t)
	b.rejected(t, "e1")
	sent := b.sending(t)
	p := &rereader{ledger: b.ledger, dispatcher: b.dispatcher, hold: b.hold, mapping: b.mapping, terms: idOf, log: zerolog.Nop()}
	all, err := p.find(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 1)
	went, err := all[0].step(t.Context())
	require.NoError(t, err)
	require.True(t, went)
	sends(t, sent, "e1")
}

// A database that was busy is no reason for an event to be dead: it is read again later.
func TestAnEventThatCouldNotBeReadNowWaits(t *testing.T) {
	t.Parallel()
	b := setupAgain(t)
	b.rejected(t, "e1")
	p := &rereader{ledger: b.ledger, dispatcher: b.dispatcher, hold: b.hold, mapping: b.mapping, terms: idOf, log: zerolog.Nop()}
	all, err := p.find(t.Context())
	require.NoError(t, err)
	tx, err := b.db.Conn(t).Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "LOCK TABLE public.events")
	require.NoError(t, err)
	require.Error(t, cancelling(t, b.conn, func() error {
		went, err := all[0].step(t.Context())
		assert.False(t, went, "so it is not tried again at once")
		return err
	}))
	require.Equal(t, "pending: type is NULL", b.text(t, "SELECT state || ': ' || last_error FROM tailpost.delivery"))
	require.NoError(t, tx.Rollback(t.Context()))
	_, err = all[0].step(t.Context())
	require.NoError(t, err)
	require.Equal(t, "erp", b.text(t, "SELECT endpoint_id FROM tailpost.delivery"))
}
