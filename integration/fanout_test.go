package integration_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/outbox"
)

// fleet is a bundle whose relays share the sending.
type fleet struct {
	*testBundle

	nats      *kit.NATS
	endpoints int
	outbox    string // attributes of the outbox block
	fanout    string // attributes of the fanout block
}

// newFleet prepares a fleet of so many endpoints, /e0 to /eN of the receiver.
func newFleet(t *testing.T, nodes, endpoints int) *fleet {
	t.Helper()
	return &fleet{testBundle: setup(t), nats: kit.StartNATS(t, nodes), endpoints: endpoints}
}

// config is the configuration of a relay whose requests carry its name.
func (f *fleet) config(name string, partitions int) kit.Config {
	var all []kit.Endpoint
	for i := range f.endpoints {
		id := fmt.Sprintf("e%d", i)
		all = append(all, f.endpoint(id, fmt.Sprintf("headers = { %q = %q }\nordering = \"key\"", relayHeader, name)))
	}
	c := f.db.Config(all...)
	c.Outbox, c.More = f.outbox, kit.TenantsReachReceivers+"secrets { keys = [env(\"SEALING\")] }\n"
	if partitions > 0 {
		c.More += f.nats.Fanout(partitions, f.fanout)
	}
	return c
}

// start runs a relay of the fleet.
func (f *fleet) start(t *testing.T, name string, partitions int) *kit.Relay {
	t.Helper()
	sealing, _ := documentEnvironment("SEALING_KEY")
	return kit.StartRelay(t, kit.Options{Config: f.config(name, partitions), Env: map[string]string{"SEALING": sealing}})
}

// logPartition is what a sender logs when it has taken a partition.
const logPartition = "partition taken, delivering"

// delivered waits until so many events are delivered to every endpoint, and nothing waits.
func (f *fleet) delivered(t *testing.T, events int) {
	t.Helper()
	f.db.AwaitCount(t, events*f.endpoints, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")
	require.Equal(t, events*f.endpoints, f.db.Count(t, "SELECT count(DISTINCT (endpoint_id, event_id)) FROM tailpost.attempt WHERE outcome = 'delivered'"))
	f.db.AwaitEmptyQueue(t)
}

// senders are how many requests each relay made.
func (f *fleet) senders() map[string]int {
	made := make(map[string]int)
	for _, r := range f.receiver.Requests("") {
		made[r.Header.Get(relayHeader)]++
	}
	return made
}

// TestAFleetSharesTheSending: what one relay reads all of them send, each delivery once, whoever
// comes or goes.
func TestAFleetSharesTheSending(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, 12)
	first := f.start(t, "a", 8)
	first.AwaitNth(t, 8, logPartition, nil) // it has them all, and has to give some back
	second := f.start(t, "b", 8)
	second.Await(t, logPartition, nil)
	const events = 200
	f.db.Insert(t, orders(events)...)
	f.delivered(t, events)
	require.Len(t, f.senders(), 2, "relays that sent something")

	require.Zero(t, second.Stop(t))
	f.db.Insert(t, orders(events)...)
	f.delivered(t, 2*events)
	f.db.AwaitConfirmed(t, f.db.LSN(t))
	require.Zero(t, first.Stop(t))
	require.Equal(t, 2*events*f.endpoints, f.db.Count(t, "SELECT count(*) FROM tailpost.attempt"))
	require.Len(t, f.receiver.Requests(""), 2*events*f.endpoints)
}

// TestAFleetHasEndpointsOfTheAPI: one that is made, paused, resumed and deleted through the API is
// so for the sender that has it, at its place among the events.
func TestAFleetHasEndpointsOfTheAPI(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, 1)
	first := f.start(t, "a", 4)
	address, ok := first.Await(t, "the API listens", nil)["address"].(string)
	require.True(t, ok)
	first.Await(t, logPartition, nil)
	second := f.start(t, "b", 4)
	second.Await(t, logPartition, nil)
	api := &caller{address: address, told: map[string]string{}}
	var ids []string
	for i := range 6 {
		status, made := api.ask(t, http.MethodPost, "/v1/endpoints", map[string]any{
			"url": f.receiver.URL(fmt.Sprintf("/api%d", i)), "events": []string{"order.*"}, "name": fmt.Sprintf("api %d", i),
		}, true)
		require.Equal(t, http.StatusCreated, status, made)
		id, _ := made["id"].(string)
		ids = append(ids, id)
	}
	before := f.db.Insert(t, orders(20)...)
	for i := range ids {
		f.receiver.AwaitIDs(t, fmt.Sprintf("/api%d", i), before...)
	}
	for _, id := range ids {
		status, said := api.ask(t, http.MethodPost, "/v1/endpoints/"+id+"/pause", map[string]any{}, false)
		require.Equal(t, http.StatusOK, status, said)
	}
	paused := f.db.Insert(t, orders(10)...)
	f.db.AwaitCount(t, len(ids)*len(paused), "SELECT count(*) FROM tailpost.delivery WHERE reason = 'paused'")
	for _, id := range ids {
		status, said := api.ask(t, http.MethodPost, "/v1/endpoints/"+id+"/resume", map[string]any{}, false)
		require.Equal(t, http.StatusOK, status, said)
	}
	for i := range ids {
		f.receiver.AwaitIDs(t, fmt.Sprintf("/api%d", i), paused...)
	}
	f.db.AwaitEmptyQueue(t)
	for _, id := range ids {
		status, said := api.ask(t, http.MethodDelete, "/v1/endpoints/"+id, nil, false)
		require.Equal(t, http.StatusOK, status, said)
	}
	after := f.db.Insert(t, orders(10)...)
	f.receiver.AwaitIDs(t, "/e0", after...)
	f.db.AwaitConfirmed(t, f.db.LSN(t))
	for i := range ids {
		require.Len(t, f.receiver.Requests(fmt.Sprintf("/api%d", i)), len(before)+len(paused))
	}
	require.Zero(t, second.Stop(t))
	require.Zero(t, first.Stop(t))
}

// TestAFleetTakesALargeTransaction: one whose events are more than what may be on its way at once
// is published before its end.
func TestAFleetTakesALargeTransaction(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, 2)
	relay := f.start(t, "a", 16)
	relay.Await(t, logPartition, nil)
	const events = 30_000
	f.db.Run(t, "INSERT INTO outbox (type, payload) SELECT 'order.created', '{}' FROM generate_series(1, $1)", events)
	f.delivered(t, events)
	f.db.AwaitConfirmed(t, f.db.LSN(t))
	require.Zero(t, relay.Stop(t))
	require.Len(t, f.receiver.Requests(""), events*f.endpoints)
}

// TestWhatNATSLosesIsHealed: streams that are gone with all that nobody has sent yet cost a look
// into the outbox table, and no event.
func TestWhatNATSLosesIsHealed(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, 3)
	f.outbox = `audit_interval = "1s"`
	relay := f.start(t, "a", 4)
	relay.Await(t, logPartition, nil)
	sent := f.db.Insert(t, orders(10)...)
	f.delivered(t, len(sent))
	for i := range f.endpoints {
		f.receiver.On(fmt.Sprintf("/e%d", i), kit.Hang())
	}
	lost := f.db.Insert(t, orders(200)...)
	f.db.AwaitConfirmed(t, f.db.LSN(t)) // the slot has let go of them
	relay.Kill()
	f.nats.DeleteStreams(t)
	for i := range f.endpoints {
		f.receiver.On(fmt.Sprintf("/e%d", i), kit.Statuses(200))
	}
	relay = f.start(t, "b", 4)
	f.delivered(t, len(sent)+len(lost))
	f.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.gap")
	require.Zero(t, relay.Stop(t))
}

// TestAnAuditWaitsForSenders: what is published and not sent yet is not missing, however often it
// is looked for.
func TestAnAuditWaitsForSenders(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, 3)
	f.outbox = `audit_interval = "1s"`
	slow := kit.Slow(3*time.Second, kit.Statuses(200))
	for i := range f.endpoints {
		f.receiver.On(fmt.Sprintf("/e%d", i), slow)
	}
	relay := f.start(t, "a", 4)
	relay.Await(t, logPartition, nil)
	audited := f.db.Text(t, "SELECT max(audited_at)::text FROM tailpost.relay")
	f.db.Insert(t, orders(3)...)
	f.db.AwaitConfirmed(t, f.db.LSN(t)) // all is published, and nothing is answered
	f.delivered(t, 3)
	kit.Eventually(t, kit.Patience, func() error {
		if f.db.Text(t, "SELECT max(audited_at)::text FROM tailpost.relay") == audited {
			return errors.New("no audit was made")
		}
		return nil
	})
	require.Zero(t, f.db.Count(t, "SELECT count(*) FROM tailpost.gap"))
	require.Zero(t, relay.Stop(t))
	require.Len(t, f.receiver.Requests(""), 3*f.endpoints)
}

// taken is how often these relays have taken the slot.
func taken(relays ...*kit.Relay) (times int) {
	for _, relay := range relays {
		for _, record := range relay.Log() {
			if record["message"] == kit.LogDelivering {
				times++
			}
		}
	}
	return times
}

// TestAFleetWithoutNATSDeliversAlone: where NATS takes nothing for longer than hold, whoever has
// the slot delivers alone, and all of them together again once NATS is back.
func TestAFleetWithoutNATSDeliversAlone(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, 3)
	f.fanout = `hold = "1s"`
	first := f.start(t, "a", 4)
	first.Await(t, logPartition, nil)
	second := f.start(t, "b", 4)
	second.Await(t, logPartition, nil)
	f.db.Insert(t, orders(20)...)
	f.delivered(t, 20)
	f.nats.Stop(0)
	f.db.Insert(t, orders(20)...)
	const logAlone = "NATS takes nothing for too long: this relay delivers alone what it reads, until NATS is back"
	first.Await(t, logAlone, nil)
	f.delivered(t, 40) // by either of the two: the slot is free for a moment
	alone := taken(first, second)
	f.nats.Start(t, 0)
	kit.Eventually(t, kit.Patience, func() error {
		if taken(first, second) == alone {
			return errors.New("the relay that delivers alone keeps the slot")
		}
		return nil
	})
	f.db.Insert(t, orders(20)...)
	f.delivered(t, 60)
	f.db.AwaitConfirmed(t, f.db.LSN(t))
	require.Zero(t, second.Stop(t))
	require.Zero(t, first.Stop(t))
	require.Len(t, f.receiver.Requests(""), 60*f.endpoints)
}

// TestAFleetIsLeftAndMade: a slot whose relays are told of another number of partitions, or of
// none, goes on without an event lost, whatever senders had not recorded.
func TestAFleetIsLeftAndMade(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, 3)
	events := 0
	for i, partitions := range []int{0, 4, 2, 0, 4} {
		relay := f.start(t, fmt.Sprint(i), partitions)
		f.delivered(t, events)
		if partitions > 0 {
			relay.Await(t, logPartition, nil)
		} else {
			relay.Await(t, kit.LogDelivering, nil)
		}
		f.db.Insert(t, orders(100)...)
		events += 100
		f.receiver.Await(t, "", events*f.endpoints-50)
		relay.Kill()
	}
	relay := f.start(t, "last", 0)
	relay.Await(t, kit.LogDelivering, nil)
	f.delivered(t, events)
	twice := "SELECT count(*) FROM (SELECT FROM tailpost.attempt WHERE outcome = 'delivered' GROUP BY event_id, endpoint_id HAVING count(*) > 1) AS twice"
	require.Zero(t, f.db.Count(t, twice), "deliveries that were made again although that they were made is recorded")
	require.Zero(t, relay.Stop(t))
}

// TestAFleetOutlivesNodesOfNATS: of three nodes one may go, and the others know all that was
// stored; without two of them nothing is lost either.
func TestAFleetOutlivesNodesOfNATS(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3, 3)
	relay := f.start(t, "a", 2)
	relay.Await(t, logPartition, nil)
	events := 0
	more := func() {
		f.db.Insert(t, orders(50)...)
		events += 50
	}
	for node := range 3 {
		more()
		f.nats.Stop(node)
		more()
		f.delivered(t, events)
		f.nats.Start(t, node)
	}
	f.nats.Stop(0)
	f.nats.Stop(1)
	more()
	f.nats.Start(t, 1)
	f.delivered(t, events)
	f.nats.Start(t, 0)
	f.db.AwaitConfirmed(t, f.db.LSN(t))
	require.Zero(t, relay.Stop(t))
	require.Equal(t, events*f.endpoints, f.db.Count(t, "SELECT count(*) FROM tailpost.attempt"))
}

// TestAFleetOfADatabaseThatWasMadeAnew: its epochs begin again, and what the streams have of the
// database before neither is sent nor has anything ignored.
func TestAFleetOfADatabaseThatWasMadeAnew(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, 3)
	for range 3 { // the slot's and the partitions' epochs are higher than they will be
		r := f.start(t, "a", 2)
		r.Await(t, logPartition, nil)
		f.db.Insert(t, orders(5)...)
		f.db.AwaitConfirmed(t, f.db.LSN(t)) // they are stored
		r.Kill()
	}
	dropSlot(t, f.db)
	f.db.Run(t, "DROP SCHEMA tailpost CASCADE")
	f.db.Run(t, "DROP TABLE outbox")
	f.db.Migrate(t, outbox.DefaultMapping())
	before := len(f.receiver.Requests(""))

	const events = 50
	r := f.start(t, "a", 2)
	r.Await(t, logPartition, nil)
	ids := f.db.Insert(t, orders(events)...)
	f.delivered(t, events)
	require.Zero(t, f.db.Count(t, "SELECT count(*) FROM tailpost.gap"))
	require.Zero(t, r.Stop(t))
	for i := range f.endpoints {
		f.receiver.AwaitIDs(t, fmt.Sprintf("/e%d", i), ids...)
	}
	require.Len(t, f.receiver.Requests(""), before+events*f.endpoints)
}

// TestAFleetOfADatabaseThatWasRestored: where a database has forgotten holds of which the streams
// have messages, senders would ignore what is published. The relay says so, delivers alone, and
// publishes once the streams are purged.
func TestAFleetOfADatabaseThatWasRestored(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, 3)
	f.fanout = `hold = "5s"`
	for n := range 3 {
		r := f.start(t, "a", 2)
		r.Await(t, logPartition, nil)
		f.db.Insert(t, orders(5)...)
		f.delivered(t, 5*(n+1))
		require.Zero(t, r.Stop(t))
	}
	f.db.Run(t, "UPDATE tailpost.relay SET epoch = 0")

	r := f.start(t, "a", 2)
	f.db.Insert(t, orders(5)...)
	f.delivered(t, 20)
	said := r.Await(t, "publishing to NATS waits", nil)
	require.Contains(t, said["error"], "restored to an earlier time")
	r.Await(t, "this relay goes on alone", nil)
	f.nats.PurgeStreams(t)
	r.Await(t, logPartition, nil)
	f.db.Insert(t, orders(5)...)
	f.delivered(t, 25)
	require.Zero(t, r.Stop(t))
}
