package integration_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/integration/pgserver"
	"github.com/tailpost/tailpost/outbox"
)

// The relay is killed again and again while applications write and receivers fail. What was
// committed is delivered, what was rolled back never is, each delivery is recorded once, and what a
// receiver gets twice was on its way at a kill.
func TestKillAgainAndAgain(t *testing.T) {
	t.Parallel()
	kills, transactions := 8, 600
	if testing.Short() {
		kills, transactions = 3, 150
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	run := newKillRun(t, seed)

	// What is committed before there is a slot is not delivered.
	relay := kit.StartDelivering(t, run.options)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var writers errgroup.Group
	const writerCount = 3
	for w := range writerCount {
		writers.Go(func() error { return run.write(ctx, seed+uint64(w)+1, transactions/writerCount) })
	}
	for range kills {
		run.killOnce(t, relay)
		relay = kit.StartDelivering(t, run.options)
	}
	require.NoError(t, writers.Wait())
	run.awaitDelivered(t)
	require.Zero(t, relay.Stop(t))
	run.check(t)
}

const (
	killConcurrency = 8
	// killUnrecorded is how many answered requests of an endpoint may wait to be recorded: three
	// times its concurrency, but 32 at least.
	killUnrecorded = 32
)

// While nothing can be recorded, an endpoint is sent no more than may be sent again after a crash;
// and after the crash that is what it is sent again.
func TestACrashRepeatsNoMoreThanTheREADMESays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	config := b.db.Config(b.endpoint("erp", fmt.Sprintf("concurrency = %d\npark_after = \"5m\"", killConcurrency)))
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	tx, err := b.db.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(t.Context()) }() // has an effect only after a failure
	_, err = tx.Exec(t.Context(), "LOCK TABLE tailpost.attempt IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	ids := b.db.Insert(t, orders(10*killUnrecorded)...)
	// All are answered at once, and that is said after seconds: whatever goes out without a record
	// has gone.
	relay.Await(t, "recording waits for the database", nil)
	sent := len(b.receiver.Requests("/erp"))
	relay.Kill()
	require.GreaterOrEqual(t, sent, killUnrecorded, "the bound was not reached, so that nothing is known of it")
	require.Less(t, sent, killUnrecorded+killConcurrency)
	// It may have been trying again: the server would record what it had sent, and nothing of that
	// would be sent again.
	const left = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'tailpost %'"
	kit.Eventually(t, kit.Patience, func() error {
		if n := b.db.Count(t, left); n > 0 {
			return fmt.Errorf("%d connections of the relay that was killed are still served", n)
		}
		return nil
	})
	require.NoError(t, tx.Rollback(t.Context()))

	relay = kit.StartDelivering(t, kit.Options{Config: config})
	b.db.AwaitAttempts(t, "erp", len(ids))
	b.db.AwaitConfirmed(t, b.db.LSN(t))
	require.Zero(t, relay.Stop(t))
	require.Len(t, b.receiver.Requests("/erp"), len(ids)+sent, "what nothing was known of is sent again, and nothing else")
	require.Len(t, b.db.Attempts(t, "erp"), len(ids))
}

// killRun is what the test knows of the world outside the relay.
type killRun struct {
	b       *testBundle
	options kit.Options
	random  *rand.Rand

	mu         sync.Mutex
	committed  map[string]bool
	rolledBack map[string]bool

	// Of each kill: the deliveries that a receiver had answered well and the ledger did not know
	// of.
	unrecorded     []map[pair]bool
	answeredBefore map[pair]int // well answered requests at the kill before
}

// pair names a delivery.
type pair struct{ endpoint, event string }

func newKillRun(t *testing.T, seed uint64) *killRun {
	t.Helper()
	// As an application's server would be: what is committed is on disk.
	server, err := pgserver.Start(t.Context(), pgserver.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	b := &testBundle{db: kit.OpenDatabase(t, server.URL("postgres"), "tailpost"), receiver: kit.NewReceiver(t)}
	b.db.Migrate(t, outbox.DefaultMapping())
	good := kit.Statuses(200)
	b.receiver.On("/flaky", kit.Random(seed, good, good, good, good, kit.Slow(20*time.Millisecond, good),
		kit.Statuses(500), kit.Reset(), kit.Slow(20*time.Millisecond, kit.Reset())))
	b.receiver.On("/steady", kit.Random(seed+1, good, kit.Slow(5*time.Millisecond, good)))
	policy := fmt.Sprintf("concurrency = %d\n park_after = \"100ms\"\n timeout = \"5s\"\n", killConcurrency)
	schedule := "retry { schedule = [" + strings.Repeat(`"20ms", `, 60) + "] }"
	return &killRun{
		b:          b,
		options:    kit.Options{Config: b.db.Config(b.endpoint("flaky", policy+schedule), b.endpoint("steady", policy+schedule))},
		random:     rand.New(rand.NewPCG(seed, seed)),
		committed:  make(map[string]bool),
		rolledBack: make(map[string]bool),
	}
}

// write commits and rolls back transactions of some events each.
func (r *killRun) write(ctx context.Context, seed uint64, transactions int) error {
	random := rand.New(rand.NewPCG(seed, seed))
	for range transactions {
		tx, err := r.b.db.Begin(ctx)
		if err != nil {
			return err
		}
		var events []outbox.Event
		for range 1 + random.IntN(5) {
			events = append(events, kit.Event("order.created", fmt.Sprintf(`{"n": %d}`, random.Int())))
		}
		ids, err := outbox.Insert(ctx, tx, events...)
		if err != nil {
			return err
		}
		into, end := r.committed, tx.Commit
		if random.IntN(4) == 0 {
			into, end = r.rolledBack, tx.Rollback
		}
		if err := end(ctx); err != nil {
			return err
		}
		r.mu.Lock()
		for _, id := range ids {
			into[id] = true
		}
		r.mu.Unlock()
		// As fast as requests would come, so that writers and kills overlap.
		if err := r.pause(ctx, time.Duration(random.IntN(20))*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func (r *killRun) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// killOnce waits until the relay has made some progress, kills it in the middle of its work and
// looks at what it left.
func (r *killRun) killOnce(t *testing.T, relay *kit.Relay) {
	t.Helper()
	goal := len(r.b.receiver.Requests("")) + 20 + r.random.IntN(80)
	r.b.receiver.Await(t, "", goal)
	relay.Kill()

	// What the killed relay had sent to Postgres is committed or gone once its sessions are.
	kit.Eventually(t, kit.Patience, func() error {
		if n := r.b.db.Count(t, "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'tailpost%'"); n > 0 {
			return fmt.Errorf("%d sessions of the killed relay are there", n)
		}
		return nil
	})
	// And what it had sent to the receivers is answered, for all that they know.
	kit.Eventually(t, kit.Patience, func() error {
		if n := r.b.receiver.Connections(); n > 0 {
			return fmt.Errorf("%d connections of the killed relay are open", n)
		}
		return nil
	})
	recorded, answered := r.recorded(t), r.answered()
	left := make(map[pair]bool)
	for key, n := range answered {
		// What was answered before an earlier kill, and not sent again since, was counted then.
		if recorded[key] == 0 && n > r.answeredBefore[key] {
			left[key] = true
		}
	}
	r.unrecorded, r.answeredBefore = append(r.unrecorded, left), answered
}

// answered counts the requests of each delivery that were answered well.
func (r *killRun) answered() map[pair]int {
	counts := make(map[pair]int)
	for _, request := range r.b.receiver.Requests("") {
		if request.Status == 200 {
			counts[pair{request.Path[1:], request.ID}]++
		}
	}
	return counts
}

// recorded counts the delivered attempts of each delivery.
func (r *killRun) recorded(t *testing.T) map[pair]int {
	t.Helper()
	rows, err := r.b.db.Query(t.Context(), `
		SELECT endpoint_id, event_id, count(*)
		FROM tailpost.attempt
		WHERE outcome = 'delivered'
		GROUP BY endpoint_id, event_id`)
	require.NoError(t, err)
	counts := make(map[pair]int)
	var (
		key pair
		n   int
	)
	_, err = pgx.ForEachRow(rows, []any{&key.endpoint, &key.event, &n}, func() error {
		counts[key] = n
		return nil
	})
	require.NoError(t, err)
	return counts
}

func (r *killRun) awaitDelivered(t *testing.T) {
	t.Helper()
	const queue = `
		SELECT json_agg(q)::text
		FROM (SELECT endpoint_id, state, reason, count(*), min(attempts), max(attempts), min(next_attempt_at), max(next_attempt_at)
		      FROM tailpost.delivery
		      GROUP BY endpoint_id, state, reason) AS q`
	kit.Eventually(t, kit.Patience, func() error {
		if got, want := len(r.recorded(t)), 2*len(r.committed); got < want {
			return fmt.Errorf("%d of %d deliveries are made, queue: %s", got, want, r.b.db.Text(t, queue))
		}
		return nil
	})
	r.b.db.AwaitEmptyQueue(t)
	r.b.db.AwaitConfirmed(t, r.b.db.LSN(t))
}

func (r *killRun) check(t *testing.T) {
	t.Helper()
	endpoints := []string{"flaky", "steady"}
	recorded, answered := r.recorded(t), r.answered()
	require.Len(t, recorded, len(endpoints)*len(r.committed))
	for _, endpoint := range endpoints {
		for id := range r.committed {
			key := pair{endpoint, id}
			require.Equal(t, 1, recorded[key], "delivered attempts of %v", key)
			require.GreaterOrEqual(t, answered[key], 1, "answers to %v", key)
		}
		r.b.db.CheckStats(t, endpoint)
	}
	for _, request := range r.b.receiver.Requests("") {
		require.False(t, r.rolledBack[request.ID], "an event that was rolled back was sent")
		require.True(t, r.committed[request.ID], "an event that nobody wrote was sent")
	}
	require.Zero(t, r.b.db.Count(t, `
		SELECT count(*)
		FROM (SELECT FROM tailpost.attempt GROUP BY event_id, endpoint_id, number HAVING count(*) > 1) AS twice`),
		"attempts are numbered once each")

	// A delivery is repeated only if its answer was unrecorded at a kill. A kill finds unrecorded
	// at most what is in flight, and what is answered and waits for its commit.
	var lost []int
	excuses := make(map[pair]int)
	for _, left := range r.unrecorded {
		lost = append(lost, len(left))
		byEndpoint := make(map[string]int)
		for key := range left {
			excuses[key]++
			byEndpoint[key.endpoint]++
		}
		for endpoint, n := range byEndpoint {
			require.Less(t, n, killConcurrency+killUnrecorded, "answers of %s that a kill lost", endpoint)
		}
	}
	duplicates := 0
	for key, n := range answered {
		again := n - 1
		duplicates += again
		require.LessOrEqual(t, again, excuses[key], "%v was repeated although its answer was recorded", key)
	}
	t.Logf("%d events committed, %d rolled back, %d requests, %d kills", len(r.committed), len(r.rolledBack), len(r.b.receiver.Requests("")), len(r.unrecorded))
	t.Logf("answered but unrecorded at each kill: %v; duplicates: %d", lost, duplicates)
}
