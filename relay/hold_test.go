package relay_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay"
	"github.com/tailpost/tailpost/relay/signature"
)

// epochs returns the epochs of the lines of a message.
func epochs(t *testing.T, log *kit.Log, message string) (list []int64) {
	t.Helper()
	for line := range strings.Lines(log.String()) {
		var l struct {
			Message string `json:"message"`
			Epoch   int64  `json:"epoch"`
		}
		require.NoError(t, json.Unmarshal([]byte(line), &l))
		if l.Message == message {
			list = append(list, l.Epoch)
		}
	}
	return list
}

// heldBundle is a relay that can be run again and again, and what it sends to.
type heldBundle struct {
	db       *kit.Database
	receiver *kit.Receiver
	cfg      *config.Config
	log      kit.Log
}

func setupHeld(t *testing.T) *heldBundle {
	t.Helper()
	b := &heldBundle{db: kit.NewDatabase(t), receiver: kit.NewReceiver(t)}
	b.cfg = complete(t, &config.Config{
		Database: config.Database{URL: config.NewSecret(b.db.URL), Slot: b.db.Slot}, Outbox: config.Outbox{Mapping: outbox.DefaultMapping()}, Network: onLoopback,
		Endpoints: []config.Endpoint{{ID: "erp", URL: b.receiver.URL("/erp"), Secrets: []config.Secret{config.NewSecret(signature.GenerateSecret())}}},
	})
	return b
}

// begin runs the relay until end.
func (b *heldBundle) begin(t *testing.T) (r *relay.Relay, end func()) {
	t.Helper()
	r, err := relay.New(b.cfg, relay.Options{Grace: kit.Patience, Logger: zerolog.New(&b.log)})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	end = sync.OnceFunc(func() {
		stop()
		require.NoError(t, <-done)
	})
	t.Cleanup(end)
	return r, end
}

// hangUp has the server end the relay's connections, but for its stream.
func (b *heldBundle) hangUp(t *testing.T) {
	t.Helper()
	b.db.Run(t, `
SELECT pg_terminate_backend(pid)
FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'tailpost %' AND backend_type = 'client backend'`)
}

// awaitSlot waits until the slot is in use, or is not.
func (b *heldBundle) awaitSlot(t *testing.T, active bool) {
	t.Helper()
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1 AND active = $2", b.db.Slot, active)
}

// blocked has a relay begin that takes the slot and then waits for its row, as for a predecessor
// that still records, until go on.
func (b *heldBundle) blocked(t *testing.T) (r *relay.Relay, goOn func()) {
	t.Helper()
	r, end := b.begin(t) // it makes slot and row
	requireDelivering(t, r)
	end()
	holds, err := b.db.Begin(t.Context())
	require.NoError(t, err)
	goOn = sync.OnceFunc(func() { require.NoError(t, holds.Rollback(kit.Detached(t))) })
	t.Cleanup(goOn)
	_, err = holds.Exec(t.Context(), "SELECT FROM tailpost.relay FOR UPDATE")
	require.NoError(t, err)
	r, _ = b.begin(t)
	b.db.AwaitCount(t, 1, `
SELECT count(*)
FROM pg_stat_activity, pg_replication_slots
WHERE datname = current_database() AND wait_event_type = 'Lock' AND slot_name = $1 AND active`, b.db.Slot)
	return r, goOn
}

// TestARelayWhoseStreamEndedBeforeItDeliversTakesTheSlotAgain: while it waited for the database,
// another one may have had the slot. It delivers nothing on the strength of what it read before.
func TestARelayWhoseStreamEndedBeforeItDeliversTakesTheSlotAgain(t *testing.T) {
	t.Parallel()
	b := setupHeld(t)
	r, goOn := b.blocked(t)
	b.db.Run(t, "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1", b.db.Slot)
	b.awaitSlot(t, false)
	goOn()
	requireDelivering(t, r)
	ids := b.db.Insert(t, kit.Event("order.created", `{}`))
	b.receiver.AwaitIDs(t, "/erp", ids...)
	require.Contains(t, b.log.String(), "the stream ended before it could deliver")
	require.NotContains(t, b.log.String(), "another relay", "there is none")
	require.Equal(t, []int64{1, 3}, epochs(t, &b.log, kit.LogDelivering), "the second took the slot and lost it")
}

// TestARelayThatLosesTheDatabaseLetsGoOfTheSlot: a server that shuts down waits until the stream is
// closed, whether the relay waits for it meanwhile, or for a receiver.
func TestARelayThatLosesTheDatabaseLetsGoOfTheSlot(t *testing.T) {
	t.Parallel()
	b := setupHeld(t)
	r, goOn := b.blocked(t)
	b.hangUp(t)
	kit.Eventually(t, kit.Patience, func() error {
		if !strings.Contains(b.log.String(), "database connection lost") {
			return errors.New("it goes on with what it waits for")
		}
		return nil
	})
	goOn()
	requireDelivering(t, r)
	answer, open := kit.Gate()
	defer open()
	b.receiver.On("/erp", answer)
	b.receiver.AwaitIDs(t, "/erp", b.db.Insert(t, kit.Event("a", `{}`))...)
	b.hangUp(t)
	b.awaitSlot(t, false)
	open()
	b.awaitSlot(t, true)
}

// TestAttemptsThatAreKeptForEverHideNoGap: where no attempt is ever gone, nothing is too old to be
// looked for.
func TestAttemptsThatAreKeptForEverHideNoGap(t *testing.T) {
	t.Parallel()
	b := setupHeld(t)
	b.cfg.Retention.Attempts = -1
	r, end := b.begin(t)
	requireDelivering(t, r)
	b.receiver.AwaitIDs(t, "/erp", b.db.Insert(t, kit.Event("order.created", `{}`))...)
	b.db.AwaitAttempts(t, "erp", 1)
	end()
	lost := b.db.Insert(t, kit.Event("order.created", `{}`))
	b.db.Run(t, "SELECT pg_drop_replication_slot($1)", b.db.Slot)
	b.begin(t)
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.gap WHERE why LIKE '%slot was missing%' AND note = ''")
	b.receiver.AwaitIDs(t, "/erp", lost...)
}

// TestAReloadTellsTheAuditWhatIsKept: a row whose attempts are gone by now is not taken for one
// that nobody got.
func TestAReloadTellsTheAuditWhatIsKept(t *testing.T) {
	t.Parallel()
	b := setupHeld(t)
	r, _ := b.begin(t)
	requireDelivering(t, r)
	next := *b.cfg
	next.Retention.Dead = 100 * time.Hour
	require.NoError(t, r.Reload(t.Context(), complete(t, &next)))
	next.Retention.Attempts = 100 * time.Hour
	reloadAnew(t, r, complete(t, &next))
	require.EqualValues(t, 2, r.Status().Epoch, "nothing else that is kept concerns what a hold has in memory")
}

// TestAReloadTellsRetentionWhatIsKept: what is removed follows the configuration that is in effect
// when it is removed, which is after a gap is healed.
func TestAReloadTellsRetentionWhatIsKept(t *testing.T) {
	t.Parallel()
	b := setupHeld(t)
	r, end := b.begin(t)
	requireDelivering(t, r)
	end()
	b.db.Run(t, "UPDATE tailpost.relay SET heal = 'the test', heal_since = now() - interval '1 hour', heal_from = settled_lsn, heal_at = now()")
	b.db.Run(t, `INSERT INTO tailpost.delivery (event_id, endpoint_id, state, reason, attempts, event_type, event_created_at, commit_lsn, seq, created_at, updated_at)
		VALUES ('old', 'erp', 'dead', 'exhausted', 1, 'a', now(), '0/0', 0, now(), now() - interval '100 hours')`)
	tx, err := b.db.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "LOCK TABLE public.outbox") // which the audit reads
	require.NoError(t, err)
	r, _ = b.begin(t)
	requireDelivering(t, r)
	next := *b.cfg
	next.Retention.Dead = 99 * time.Hour
	require.NoError(t, r.Reload(t.Context(), complete(t, &next)))
	require.Equal(t, 1, b.db.Count(t, "SELECT count(*) FROM tailpost.delivery"), "nothing is removed before the gap is healed")
	require.NoError(t, tx.Rollback(t.Context()))
	b.db.AwaitCount(t, 1, "SELECT count(*) WHERE NOT EXISTS (SELECT FROM tailpost.delivery)")
}

// TestARelayGoesOnWhereItWas: what the slot brings again after a crash is not sent again, neither
// what is settled, of which no attempt may be kept, nor what was recorded out of turn.
func TestARelayGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	b := setupHeld(t)
	r, end := b.begin(t)
	requireDelivering(t, r)
	first := b.db.Insert(t, kit.Event("a", `{}`))
	b.db.AwaitAttempts(t, "erp", 1)
	end()
	b.db.Insert(t, kit.Event("a", `{}`))
	b.db.Run(t, "UPDATE tailpost.relay SET settled_lsn = pg_current_wal_insert_lsn()")
	recorded := b.db.Insert(t, kit.Event("a", `{}`))
	b.db.Run(t, "UPDATE tailpost.attempt SET event_id = $1, commit_lsn = pg_current_wal_insert_lsn()", recorded[0])
	b.begin(t)
	next := b.db.Insert(t, kit.Event("a", `{}`))
	b.db.AwaitAttempts(t, "erp", 2)
	require.Equal(t, slices.Concat(first, next), b.receiver.IDs("/erp"))

	// What is known of an endpoint's row is what was loaded, until the row's first change.
	b.db.Run(t, "UPDATE tailpost.endpoint SET status = 'paused' WHERE id = 'erp'")
	b.db.Insert(t, kit.Event("a", `{}`))
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = 'erp' AND reason = 'paused'")
}
