package fleet

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/source/jetstream"
)

const attempts = "SELECT count(*) FROM tailpost.attempt WHERE event_id = 'a' AND outcome = 'delivered'"

// What is published is sent, traced, recorded and counted, by a process that is a member of the
// fleet for as long as something of it is in flight.
func TestASenderSendsWhatIsPublished(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stop := w.run(t)
	w.publish("a", begin+0x10, endpointOf(0), endpointOf(1))
	w.await(t, request(0, "a"), request(1, "a"))
	require.Equal(t, 1, w.members(t))
	require.Len(t, w.Dispatchers(), 2)
	w.db.AwaitCount(t, 2, attempts)
	require.Equal(t, 2, w.db.Count(t, "SELECT count(*) FROM tailpost.relay WHERE partition_of = $1 AND owner = 'me' AND epoch = 1", w.db.Slot))
	w.with(func() { require.Equal(t, map[string]bool{"a": true}, w.traced) })
	require.Equal(t, 2, strings.Count(w.log.String(), "partition taken, delivering"))

	w.with(func() { w.answers = make(chan struct{}) })
	w.publish("b", begin+0x20, endpointOf(0))
	w.await(t, request(0, "a"), request(1, "a"), request(0, "b"))
	idle, stopped := w.sending()[1], make(chan error, 1)
	go func() { stopped <- stop() }()
	comes(t, idle.over)
	require.Equal(t, 1, w.members(t), "while a request is unanswered")
	close(w.answers)
	require.NoError(t, comes(t, stopped))
	require.Zero(t, w.members(t))
	w.with(func() { require.Equal(t, 3, w.counted) })
}

// elsewhere moves the endpoints, which leaves who gets what as it is; otherwise does not.
func elsewhere(cfg *config.Config) {
	for i := range cfg.Endpoints {
		cfg.Endpoints[i].URL = strings.Replace(cfg.Endpoints[i].URL, ".example", ".elsewhere.example", 1)
	}
}

func otherwise(cfg *config.Config) {
	for i := range cfg.Endpoints {
		cfg.Endpoints[i].Subscriptions = []config.Subscription{{Events: []string{"t", "other"}}}
	}
}

// A hold of a partition ends, and says why, once it cannot go on, or somebody else is to.
func TestAHoldOfAPartitionEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, lost := w.member(t), errors.New("the server hung up")
	for _, test := range []struct {
		name string
		by   func(p *partition)
		want error
	}{
		{"the database goes away", func(*partition) { w.lost[len(w.lost)-1](lost) }, lost},
		{"a heal is due", func(*partition) { w.senders.heal(true) }, errHeal},
		{"another is to have it", func(p *partition) { p.end(errGivenBack) }, nil},
		{"a reload concerns it all", func(*partition) { w.Reload(t.Context(), *w.set.Load(), true) }, errAnew},
		{"a reload does not reach the database", func(*partition) {
			cfg := *w.config()
			cfg.Database.URL = config.NewSecret("nonsense")
			w.Reload(t.Context(), Settings{Config: &cfg}, false)
		}, errAnew},
		{"a reload routes as the slot's holder does not", func(*partition) {
			was := w.set.Load()
			w.configure(t, otherwise)
			w.Reload(t.Context(), *w.set.Swap(was), false)
		}, nil},
		{"another process takes it", func(*partition) {
			other, err := w.openLedger(t.Context(), func(error) {})
			require.NoError(t, err)
			defer func() { require.NoError(t, other.Close(t.Context())) }()
			_, err = other.TakePartition(t.Context(), ledger.TakePartitionOptions{
				Slot: w.db.Slot, Partitions: 2, Routing: w.config().Routing(), Owner: "other", Now: time.Now(),
			})
			require.NoError(t, err)
			w.publish("a", begin+0x10, endpointOf(0))
		}, ledger.ErrDeposed},
		{"what is published is routed in a way that it does not know", func(*partition) {
			w.reader.Route(9)
			w.publish("b", begin+0x20, endpointOf(0))
		}, jetstream.ErrRouting},
	} {
		p, ended := w.take(t, l, 0)
		test.by(p)
		require.ErrorIs(t, comes(t, ended), test.want, test.name)
	}
}

// A partition that is given back by a reload sends what it has begun as it was begun: it does not
// ask for endpoints that are somebody else's by then.
func TestAPartitionThatIsGivenBackEndsAsItWas(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, ended := w.take(t, w.member(t), 0)
	w.with(func() { w.loaded, w.answers = func() { t.Error("endpoints are loaded") }, make(chan struct{}) })
	w.publish("a", begin+0x10, endpointOf(0))
	w.await(t, request(0, "a"))
	w.configure(t, otherwise)
	w.Reload(t.Context(), *w.set.Load(), false)
	close(w.answers)
	require.NoError(t, comes(t, ended))
	require.Equal(t, 1, w.db.Count(t, attempts))
}

// A reload reaches a partition that delivers, which goes on where the slot's holder has the same
// routing by then, with what attempts are found by from then on, and one that is just being taken
// begins again with what is valid then: it has loaded what was valid before.
func TestAReloadReachesEveryPartition(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.member(t)
	w.take(t, l, 1)
	w.with(func() {
		w.loaded = func() {
			w.loaded = nil
			w.configure(t, elsewhere)
		}
	})
	early := newPartition(w.senders, l, 0, 2)
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	require.ErrorIs(t, early.run(ctx), errAnew)
	require.Nil(t, early.delivering())
	w.Reload(t.Context(), *w.set.Load(), false)
	w.take(t, l, 0)
	w.publish("a", begin+0x10, endpointOf(0), endpointOf(1))
	w.await(t, moved(0, "a"), moved(1, "a"))

	search, diags := config.CompileSearch("{ of = event.type }", "search", 1)
	require.False(t, diags.HasErrors())
	w.configure(t, elsewhere, otherwise, func(cfg *config.Config) { cfg.Outbox.Search = search })
	number, err := w.led.Route(t.Context(), w.hold, w.config().Routing(), false)
	require.NoError(t, err)
	w.Reload(t.Context(), *w.set.Load(), false)
	w.reader.Route(number)
	w.publish("b", begin+0x20, endpointOf(0), endpointOf(1))
	w.await(t, moved(0, "a"), moved(1, "a"), moved(0, "b"), moved(1, "b"))
	w.db.AwaitCount(t, 2, "SELECT count(*) FROM tailpost.attempt WHERE event_id = 'b' AND search = '{of=t}'")
	require.Len(t, w.Dispatchers(), 2)
	for _, p := range w.sending() {
		require.Empty(t, p.broken, "they go on")
	}
}

// moved is a request to an endpoint elsewhere.
func moved(partition int, event string) string {
	return strings.Replace(request(partition, event), ".example", ".elsewhere.example", 1)
}

// What has not been written yet when a lease or a database is lost is not: somebody else may have
// the partition.
func TestNothingIsWrittenForAPartitionThatMayBeLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.member(t)
	w.take(t, l, 0)
	w.with(func() { w.answers = make(chan struct{}) })
	w.publish("a", begin+0x10, endpointOf(0))
	w.await(t, request(0, "a"))
	require.True(t, w.held[0]())
	l.Close(t.Context())
	require.False(t, w.held[0]())
	close(w.answers)
}

// While something is known to be missing, what a partition has for an endpoint with an order waits
// for the audit to find it, and then goes on.
func TestAnOrderWaitsForTheAuditThatIsDue(t *testing.T) {
	t.Parallel()
	var beside string
	w := newWorld(t, func(cfg *config.Config) {
		unordered := cfg.Endpoints[0]
		for n := 0; unordered.ID == cfg.Endpoints[0].ID || jetstream.PartitionOf(unordered.ID, 2) != 0; n++ {
			unordered.ID = fmt.Sprint("beside", n)
		}
		beside = unordered.ID
		cfg.Endpoints[0].Ordering, unordered.URL = config.OrderingKey, "https://beside.example"
		cfg.Endpoints = append(cfg.Endpoints, unordered)
	})
	require.NoError(t, w.led.DueHeal(t.Context(), w.db.Slot, ledger.Heal{Why: "a test", At: time.Now()}))
	w.take(t, w.member(t), 0)
	w.publish("a", begin+0x10, endpointOf(0), beside)
	w.await(t, "https://beside.example a")
	w.senders.heal(true)
	w.senders.heal(false)
	w.await(t, "https://beside.example a", request(0, "a"))
}

// A sender sees by itself that the stream has missed something, takes its partitions anew for that,
// and sees that the audit is over.
func TestASenderSeesThatAnAuditIsDue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(cfg *config.Config) {
		cfg.Endpoints[0].Ordering, cfg.Endpoints[1].Ordering = config.OrderingKey, config.OrderingKey
	})
	s, l := w.sends(t), w.member(t)
	var holds sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	defer holds.Wait()
	defer stop()
	round := func() { require.NoError(t, s.round(ctx, l, 2, &holds)) }
	round()
	w.publish("a", begin+0x10, endpointOf(0), endpointOf(1))
	sent := []string{request(0, "a"), request(1, "a")}
	w.await(t, sent...)
	before := s.all()
	require.NoError(t, w.led.DueHeal(t.Context(), w.db.Slot, ledger.Heal{Why: "a test", At: time.Now()}))
	round()
	for _, p := range before {
		comes(t, p.over)
	}
	w.publish("b", begin+0x20, endpointOf(0), endpointOf(1))
	round() // gives them back
	round() // and takes them
	kit.Eventually(t, soon, func() error {
		if all := s.all(); len(all) < 2 || all[0].delivering() == nil || all[1].delivering() == nil {
			return errors.New("they are not taken yet")
		}
		return nil
	})
	w.await(t, sent...)
	w.db.Run(t, "UPDATE tailpost.relay SET heal = NULL, heal_since = NULL, heal_from = NULL, heal_at = NULL WHERE slot = $1", w.db.Slot)
	round()
	w.await(t, append(sent, request(0, "b"), request(1, "b"))...)
}

// Whoever takes a partition sends nothing that is settled or recorded already, and nothing to an
// endpoint that a person has paused.
func TestAPartitionIsTakenAsItWasLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.led.Mirror(t.Context(), w.config().Endpoints, time.Now())
	require.NoError(t, err)
	w.db.Run(t, "UPDATE tailpost.endpoint SET status = 'paused' WHERE id = $1", endpointOf(1))
	require.NoError(t, w.led.Record(t.Context(), w.hold, &ledger.Batch{Now: time.Now(), Attempts: []outbox.Attempt{{
		EventID: "a", EventType: "t", EndpointID: endpointOf(0), Number: 1, AttemptedAt: time.Now(), Outcome: outbox.Delivered, CommitLSN: begin + 0x10,
	}}}))
	l := w.member(t)
	w.take(t, l, 0)
	w.take(t, l, 1)
	w.publish("settled", begin-0x10, endpointOf(0))
	w.publish("a", begin+0x10, endpointOf(0), endpointOf(1))
	w.publish("b", begin+0x20, endpointOf(0), endpointOf(1))
	w.await(t, request(0, "b"))
	w.db.AwaitCount(t, 2, "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = $1 AND reason = 'paused'", endpointOf(1))
	w.await(t, request(0, "b"))
}

// A sender gives back what others lack, once nothing of it is in flight, and sends nothing any more
// once the slot's holder publishes otherwise.
func TestASenderGivesBackWhatOthersAreToHave(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, l := w.sends(t), w.member(t)
	var holds sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	defer holds.Wait()
	defer stop()
	round := func() error { return s.round(ctx, l, 2, &holds) }
	require.NoError(t, round())
	w.publish("a", begin+0x10, endpointOf(0), endpointOf(1))
	w.await(t, request(0, "a"), request(1, "a"))
	w.with(func() { w.answers = make(chan struct{}) })
	w.publish("b", begin+0x20, endpointOf(0), endpointOf(1))
	w.await(t, request(0, "a"), request(1, "a"), request(0, "b"), request(1, "b"))

	other, left := w.member(t), s.all()[1]
	require.NoError(t, round())
	took, err := other.Take(t.Context(), 1)
	require.NoError(t, err)
	require.False(t, took, "what is in flight is not answered yet")
	close(w.answers)
	comes(t, left.over)
	require.NoError(t, round())
	took, err = other.Take(t.Context(), 1)
	require.NoError(t, err)
	require.True(t, took)
	require.Len(t, s.all(), 1)

	was := w.set.Load()
	w.configure(t, otherwise)
	require.ErrorIs(t, round(), errOther, "the holder routes in another way")
	waiting, stopWaiting := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stopWaiting()
	_, err = s.published(waiting)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	w.set.Store(was)
	require.NoError(t, round())
	_, err = w.led.Publishing(t.Context(), w.hold, ledger.PublishingOptions{Partitions: 3, Now: time.Now()})
	require.NoError(t, err)
	require.ErrorIs(t, round(), errOther, "there are other partitions")
}

// A barrier passes once every partition has recorded that it is beyond it, and the slot is too.
func TestABarrierPassesWhereEveryPartitionHas(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const at, enough = begin + 0x40, 2
	waits := func(what string) {
		t.Helper()
		from := w.looks.Load()
		kit.Eventually(t, soon, func() error {
			if w.looks.Load() < from+enough {
				return errors.New("the partitions are not looked at")
			}
			return nil
		})
		require.EqualValues(t, at, w.barriers.Awaited(), what)
	}
	recorded := func(partition int) {
		t.Helper()
		w.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.relay WHERE slot = $1 AND settled_lsn >= '0/140'", ledger.PartitionSlot(w.db.Slot, partition))
	}
	l := w.member(t)
	w.take(t, l, 0)
	w.acked.Store(at)
	sees(t, w.barriers, at)
	w.reader.Within().Keepalive(at)
	recorded(0)
	waits("one of them has")
	w.acked.Store(begin)
	w.take(t, l, 1)
	recorded(1)
	waits("the slot has not")
	w.acked.Store(at)
	kit.Eventually(t, soon, func() error {
		if w.barriers.Awaited() != 0 {
			return errors.New("it does not pass")
		}
		return nil
	})
}

// A holder that publishes to another number of partitions waits until those of before have recorded
// what was published to them, but no longer than the slot waits for NATS. It does not wait for the
// end of a transaction behind that, which its predecessor left open.
func TestDrain_waitsForWhatWasPublished(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.member(t)
	w.take(t, l, 0)
	w.take(t, l, 1)
	w.with(func() { w.answers = make(chan struct{}) })
	w.publish("a", begin+0x10, endpointOf(0))
	open := w.reader.Within()
	open.Begin(source.Tx{Commit: begin + 0x50, At: time.Now()})
	w.reader.Event(&outbox.Event{ID: "b", Type: "t", Payload: []byte("{}"), CommitLSN: begin + 0x50}, []string{endpointOf(0)}, func() {})
	open.Flush()
	w.await(t, request(0, "a"), request(0, "b"))
	w.configure(t, func(cfg *config.Config) { cfg.Fanout.Partitions = 4 })
	drain := func(hold time.Duration) error {
		cfg := *w.config()
		cfg.Fanout.Hold = hold
		w.set.Store(&Settings{Config: &cfg, Is: &cfg})
		w.hold.Epoch++
		return w.Drain(t.Context(), DrainOptions{Hold: w.hold, Timeline: 1, Former: 2, Begin: begin + 0x40, Ledger: w.led})
	}
	const waits, left = "waiting until the former", "have not recorded all that was published"
	require.NoError(t, drain(100*time.Millisecond))
	require.Equal(t, 1, strings.Count(w.log.String(), left))
	go func() {
		assert.Eventually(t, func() bool { return strings.Count(w.log.String(), waits) == 2 }, soon, time.Millisecond)
		close(w.answers)
	}()
	require.NoError(t, drain(patience))
	require.Equal(t, 1, w.db.Count(t, attempts))
	require.Equal(t, 1, strings.Count(w.log.String(), left), "this time they have")
}

// Whoever begins to read tells senders of all that waits in the table, of which its predecessor may
// have had no time to tell, and from then on of what is changed beside the stream.
func TestSendersAreToldWhatIsDue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.Run(t, "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", w.db.Slot)
	w.db.Run(t, "CREATE PUBLICATION told")
	w.db.Run(t, `
INSERT INTO tailpost.delivery (event_id, endpoint_id, state, reason, attempts, next_attempt_at, event_type, payload, event_created_at, commit_lsn, seq,
    created_at, updated_at)
VALUES ('a', 'waits', 'pending', 'retry', 1, now(), 't', '{}', now(), '0/10', 1, now(), now())`)
	w.publishes(t)
	w.reader.Due("changed")
	for _, endpoint := range []string{"waits", "changed"} {
		w.db.AwaitCount(t, 1, `
SELECT count(*)
FROM pg_logical_slot_peek_binary_changes($1, NULL, NULL, 'proto_version', '1', 'publication_names', 'told', 'messages', 'true')
WHERE position(convert_to($2, 'UTF8') IN data) > 0`, w.db.Slot, endpoint)
	}
}
