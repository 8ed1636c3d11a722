package integration_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/integration/pgserver"
	"github.com/tailpost/tailpost/outbox"
)

// Several relays on one slot, applications that write, receivers of every kind of malice; meanwhile
// processes are killed and stopped, connections cut, held up and slowed down, and Postgres restarts
// and crashes. Each actor follows a schedule of its own that the seed decides: TAILPOST_FAULTS_SEED
// runs one again, TAILPOST_SOAK says for how long.
func TestThePromisesHoldUnderFaults(t *testing.T) {
	t.Parallel()
	underFaults(t, newFaultRun)
}

// The same world, where the relays are a fleet: whoever has the slot publishes, all of them send,
// and NATS goes away now and then.
func TestAFleetHoldsThePromisesUnderFaults(t *testing.T) {
	t.Parallel()
	underFaults(t, func(t *testing.T, seed uint64) *faultRun {
		t.Helper()
		f := newFaultRun(t, seed)
		f.nats = kit.StartNATS(t, 1)
		return f
	})
}

func underFaults(t *testing.T, world func(*testing.T, uint64) *faultRun) {
	t.Helper()
	length := 8 * time.Second
	if testing.Short() {
		length = 3 * time.Second
	}
	soak := os.Getenv("TAILPOST_SOAK")
	if soak != "" {
		var err error
		length, err = time.ParseDuration(soak)
		require.NoError(t, err, "TAILPOST_SOAK is a duration")
	}
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("TAILPOST_FAULTS_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, "TAILPOST_FAULTS_SEED is a number")
	}
	// A soak is many runs, each with a seed of its own and checked to its end.
	const longest = 20 * time.Second
	for left := length; left > 0 && !t.Failed(); left -= longest {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			f := world(t, seed)
			f.run(t, min(left, longest))
		})
		seed++
	}
}

// The endpoints of a fault run, and the types of events they want.
const (
	plainEndpoint   = "plain"
	keyedEndpoint   = "keyed"
	strictEndpoint  = "strict"
	hostileEndpoint = "hostile"

	ordinaryType = "order.created"
	auditedType  = "order.audited"

	faultConcurrency = 8
	faultSecret      = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

// faultRun is one run of the world.
type faultRun struct {
	seed     uint64
	server   *pgserver.Server
	db       *kit.Database
	receiver *kit.Receiver
	replicas []*replica
	nats     *kit.NATS     // nil: each relay delivers what it reads
	finished chan struct{} // closed when the faults are over

	mu          sync.Mutex
	committed   map[string]bool // what writers were told is committed
	rolledBack  map[string]bool // what they rolled back themselves
	faults      []string        // what happened, for the log
	retirements []*incarnation
}

// replica is one place where a relay runs, with its own way to Postgres.
type replica struct {
	name   string
	proxy  *kit.Proxy
	url    string
	random *rand.Rand
	now    *incarnation
	count  int
}

// incarnation is one process of a replica. Its requests carry its name.
type incarnation struct {
	name   string
	relay  *kit.Relay
	killed bool
}

// relayHeader names the process that sent a request.
const relayHeader = "X-Relay"

func newFaultRun(t *testing.T, seed uint64) *faultRun {
	t.Helper()
	server, err := pgserver.Start(t.Context(), pgserver.Options{Settings: map[string]string{"wal_sender_timeout": "2s"}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	f := &faultRun{
		seed: seed, server: server, db: kit.OpenDatabase(t, server.URL("postgres"), "tailpost"), receiver: kit.NewReceiver(t),
		finished: make(chan struct{}), committed: map[string]bool{}, rolledBack: map[string]bool{},
	}
	f.db.Migrate(t, outbox.DefaultMapping())
	good, slow := kit.Statuses(200), kit.Slow(20*time.Millisecond, kit.Statuses(200))
	bad, reset := kit.Statuses(500), kit.Reset()
	f.receiver.On("/"+plainEndpoint, kit.Random(seed, good, good, good, slow, bad, reset))
	f.receiver.On("/"+keyedEndpoint, kit.Random(seed+1, good, good, good, good, good, slow, bad, reset))
	f.receiver.On("/"+strictEndpoint, kit.Random(seed+2, append(repeat(good, 20), slow, bad, reset)...))
	f.receiver.On("/"+hostileEndpoint, kit.Random(seed+3, good, good, good, good, good, good, slow, bad, reset, kit.Hang(),
		kit.Trickle(10*time.Millisecond), kit.Lie(), kit.Flood(200, 8<<20), kit.Flood(500, 100_000), kit.Respond(503, ""),
		kit.Slow(20*time.Millisecond, kit.Reset())))
	for i := range 2 + int(seed%2) {
		r := &replica{name: fmt.Sprintf("r%d", i+1), random: rand.New(rand.NewPCG(seed, uint64(i)+10))}
		r.proxy, r.url = kit.NewProxy(t, f.db.URL, seed+uint64(i))
		f.replicas = append(f.replicas, r)
	}
	return f
}

func repeat(b kit.Behaviour, n int) []kit.Behaviour {
	all := make([]kit.Behaviour, n)
	for i := range all {
		all[i] = b
	}
	return all
}

// config is the configuration of an incarnation; they differ in a header's value and in the way to
// Postgres.
func (f *faultRun) config(r *replica, name string) kit.Config {
	schedule := "\n  retry { schedule = [" + strings.Repeat(`"30ms", `, 90) + "] }"
	endpoint := func(id, hcl string) kit.Endpoint {
		return kit.Endpoint{
			ID: id, URL: f.receiver.URL("/" + id), Secret: []string{faultSecret},
			HCL: fmt.Sprintf("  headers = { %q = %q }\n  concurrency = %d\n  park_after = \"200ms\"\n", relayHeader, name, faultConcurrency) + hcl + schedule,
		}
	}
	c := f.db.Config(
		endpoint(plainEndpoint, `  timeout = "5s"`),
		endpoint(keyedEndpoint, "  timeout = \"5s\"\n  ordering = \"key\""),
		endpoint(strictEndpoint, "  timeout = \"5s\"\n  ordering = \"strict\"\n  subscription { events = [\""+auditedType+"\"] }"),
		endpoint(hostileEndpoint, "  timeout = \"300ms\"\n  circuit {\n    failures = 5\n    reopen = \"200ms\"\n  }"),
	)
	c.DatabaseURL = r.url
	if f.nats != nil {
		c.More = f.nats.Fanout(5, "")
	}
	return c
}

// start runs a new incarnation of a replica.
func (f *faultRun) start(t *testing.T, r *replica) {
	t.Helper()
	r.count++
	name := fmt.Sprintf("%s.%d", r.name, r.count)
	r.now = &incarnation{name: name}
	r.now.relay = kit.StartRelay(t, kit.Options{Config: f.config(r, name), Args: []string{"--grace", "2s"}})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.retirements = append(f.retirements, r.now)
}

func (f *faultRun) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, fmt.Sprintf(format, args...))
}

func (f *faultRun) run(t *testing.T, length time.Duration) {
	t.Helper()
	f.start(t, f.replicas[0])
	// What is committed before there is a slot is not delivered.
	f.replicas[0].now.relay.Await(t, kit.LogDelivering, nil)
	for _, r := range f.replicas[1:] {
		f.start(t, r)
	}
	end := time.AfterFunc(length, func() { close(f.finished) })
	defer end.Stop()
	var actors errgroup.Group
	for w := range 2 {
		actors.Go(func() error { return f.write(t.Context(), w) })
	}
	for _, r := range f.replicas {
		actors.Go(func() error {
			for f.pause(time.Duration(100+r.random.IntN(1200)) * time.Millisecond) {
				f.afflict(t, r)
			}
			return nil
		})
	}
	actors.Go(func() error { return f.afflictPostgres(t.Context()) })
	if f.nats != nil {
		actors.Go(func() error {
			f.afflictNATS(t)
			return nil
		})
	}
	require.NoError(t, actors.Wait())
	t.Logf("faults: %s", strings.Join(f.faults, ", "))
	began := time.Now()
	f.recover(t)
	t.Logf("all delivered and stopped %s after the last fault", time.Since(began).Round(time.Millisecond))
	f.check(t)
}

// pause waits, and says whether the faults go on.
func (f *faultRun) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-f.finished:
		return false
	}
}

// afflict lets something happen to a replica, and waits until it is over.
func (f *faultRun) afflict(t *testing.T, r *replica) {
	t.Helper()
	lasting := time.Duration(50+r.random.IntN(4000)) * time.Millisecond
	choice := r.random.IntN(100)
	relay := r.now.relay
	switch {
	case choice < 30:
		f.note("kill %s", r.now.name)
		relay.Kill()
		r.now.killed = true
		if r.random.IntN(2) == 0 {
			f.pause(lasting / 4)
		}
		f.start(t, r)
	case choice < 50:
		f.note("stop %s for %s", r.now.name, lasting)
		relay.Signal(t, syscall.SIGSTOP)
		f.pause(lasting)
		relay.Signal(t, syscall.SIGCONT)
	case choice < 65:
		f.note("cut %s", r.now.name)
		r.proxy.Cut()
	case choice < 75:
		f.note("refuse %s for %s", r.now.name, lasting)
		r.proxy.Refuse(true)
		r.proxy.Cut()
		f.pause(lasting)
		r.proxy.Refuse(false)
	case choice < 83:
		f.note("block %s for %s", r.now.name, lasting)
		r.proxy.Block()
		f.pause(lasting)
		r.proxy.Unblock()
	case choice < 90:
		f.note("slow %s for %s", r.now.name, lasting)
		r.proxy.Slow(20*time.Millisecond, 2000)
		f.pause(lasting)
		r.proxy.Slow(0, 0)
	default:
		f.note("restart %s", r.now.name)
		relay.Signal(t, syscall.SIGTERM)
		relay.Wait(t, kit.Patience)
		f.start(t, r)
	}
}

// afflictPostgres restarts the server now and then, gently or not.
func (f *faultRun) afflictPostgres(ctx context.Context) error {
	random := rand.New(rand.NewPCG(f.seed, 5))
	for f.pause(time.Duration(2000+random.IntN(6000)) * time.Millisecond) {
		mode, name := pgserver.Fast, "restart Postgres"
		if random.IntN(2) == 0 {
			mode, name = pgserver.Immediate, "crash Postgres"
		}
		f.note("%s", name)
		if err := f.server.Restart(ctx, mode); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// afflictNATS has its node go away now and then.
func (f *faultRun) afflictNATS(t *testing.T) {
	t.Helper()
	random := rand.New(rand.NewPCG(f.seed, 6))
	for f.pause(time.Duration(1000+random.IntN(5000)) * time.Millisecond) {
		lasting := time.Duration(50+random.IntN(3000)) * time.Millisecond
		f.note("stop NATS for %s", lasting)
		f.nats.Stop(0)
		f.pause(lasting)
		f.nats.Start(t, 0)
	}
}

// write commits and rolls back transactions. Each writer has keys of its own, so that the order of
// a key's events is the order in which it wrote them.
func (f *faultRun) write(ctx context.Context, writer int) error {
	random := rand.New(rand.NewPCG(f.seed, uint64(writer)+100))
	for n := 0; f.pause(time.Duration(random.IntN(100)) * time.Millisecond); {
		var events []outbox.Event
		for range 1 + random.IntN(5) {
			n++
			ev := kit.Event(ordinaryType, fmt.Sprintf(`{"writer": %d, "n": %d}`, writer, n))
			if random.IntN(4) == 0 {
				ev.Type = auditedType
			}
			if k := random.IntN(5); k > 0 {
				ev.Key = fmt.Sprintf("w%d.k%d", writer, k)
			}
			events = append(events, ev)
		}
		ids, into, err := f.transact(ctx, events, random.IntN(4) == 0, random.IntN(8) == 0)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			continue // Postgres is down. Whether a commit took effect, the table will tell.
		}
		f.mu.Lock()
		for _, id := range ids {
			into[id] = true
		}
		f.mu.Unlock()
	}
	return nil
}

// transact writes events in a transaction, and some more in a subtransaction that is rolled back.
func (f *faultRun) transact(ctx context.Context, events []outbox.Event, rollback, nested bool) (ids []string, into map[string]bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	tx, err := f.db.Begin(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // has an effect only after an error
	if ids, err = outbox.Insert(ctx, tx, events...); err != nil {
		return nil, nil, err
	}
	if nested {
		sub, err := tx.Begin(ctx)
		if err != nil {
			return nil, nil, err
		}
		if _, err := outbox.Insert(ctx, sub, kit.Event(ordinaryType, `{"writer": -1, "n": 0}`)); err != nil {
			return nil, nil, err
		}
		if err := sub.Rollback(ctx); err != nil {
			return nil, nil, err
		}
	}
	if rollback {
		return ids, f.rolledBack, tx.Rollback(ctx)
	}
	return ids, f.committed, tx.Commit(ctx)
}

// recover ends every fault and waits until all is delivered.
func (f *faultRun) recover(t *testing.T) {
	t.Helper()
	f.db.Reset()
	// A receiver that is ill for good would take its time.
	f.receiver.On("/"+hostileEndpoint, kit.Statuses(200))
	const within = 60 * time.Second
	kit.Eventually(t, within, func() error {
		return f.db.Ping(t.Context())
	})
	want := f.expected(t)
	kit.Eventually(t, within, func() error {
		made := f.db.Count(t, "SELECT count(DISTINCT (endpoint_id, event_id)) FROM tailpost.attempt WHERE outcome = 'delivered'")
		left := f.db.Count(t, "SELECT count(*) FROM tailpost.delivery")
		if made < len(want) || left > 0 {
			return fmt.Errorf("%d of %d deliveries are made, %d are in the queue", made, len(want), left)
		}
		return nil
	})
	f.db.AwaitConfirmed(t, f.db.LSN(t))
	for _, r := range f.replicas {
		require.Zero(t, r.now.relay.Stop(t), "exit code of %s", r.now.name)
	}
}
