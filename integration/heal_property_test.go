package integration_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// gapWorld is a random table, what an application committed into it, and what became of it.
type gapWorld struct {
	*testBundle

	rnd       *rand.Rand
	timed     bool
	dated     bool     // times are whole days
	parts     int      // 0: not partitioned
	nullType  bool     // the column may be NULL
	idType    string   // a number, text, uuid or a domain over char(n)
	more      []string // names of mapped columns beside those, with the values that each may have
	values    [][]string
	next      int
	used      int            // ids up to it were used before
	down      bool           // no relay reads the stream
	updates   bool           // the application updates rows
	committed map[string]int // ids of events that have to arrive, each as often as it was used
	dead      int            // rows that are no events
	doubtful  map[string]int // ids of rows of which the table cannot tell: they arrive once, or a gap counts them
}

// newGapWorld makes a table at random.
func newGapWorld(t *testing.T, rnd *rand.Rand) (w *gapWorld, ddl string) {
	t.Helper()
	w = &gapWorld{testBundle: &testBundle{db: kit.NewEmptyDatabase(t), receiver: kit.NewReceiver(t)}, rnd: rnd, committed: make(map[string]int), doubtful: make(map[string]int)}
	w.idType = pick(rnd, "bigint", "numeric(12)", "text", "varchar(36)", "uuid", "app.name")
	w.nullType = rnd.IntN(2) == 0
	w.timed, w.updates = rnd.IntN(4) > 0, rnd.IntN(2) == 0
	columns := []string{"id " + w.idType + " NOT NULL", "payload " + pick(rnd, "jsonb", "json", "text", "bytea")}
	if w.nullType {
		columns = append(columns, "type "+pick(rnd, "text", "varchar(40)", "app.name"))
	} else {
		columns = append(columns, "type "+pick(rnd, "text", "varchar(40)", "app.name")+" NOT NULL")
	}
	if w.timed {
		kind := pick(rnd, "timestamptz", "timestamp", "date", "app.moment")
		w.dated = kind == "date"
		columns = append(columns, "created_at "+kind)
	}
	for _, column := range []struct {
		name, kinds string
		values      []string
	}{
		{"key", "text bigint varchar(40) app.name", []string{"NULL", "'1'", "'22'"}},
		{"tenant", "text int app.name", []string{"NULL", "'7'"}},
		{"headers", "jsonb json text", []string{"NULL", "'{}'", `'{"x-a": "1"}'`}},
	} {
		if rnd.IntN(2) == 0 {
			columns = append(columns, column.name+" "+pick(rnd, strings.Fields(column.kinds)...))
			w.more, w.values = append(w.more, column.name), append(w.values, column.values)
		}
	}
	key, partition := "id", ""
	if rnd.IntN(2) == 0 {
		w.parts = 1 + rnd.IntN(3)
		columns = append(columns, "part int NOT NULL")
		key, partition = "id, part", " PARTITION BY LIST (part)"
	}
	rnd.Shuffle(len(columns), func(i, j int) { columns[i], columns[j] = columns[j], columns[i] })
	var b strings.Builder
	b.WriteString("CREATE SCHEMA app; CREATE DOMAIN app.name AS char(40); CREATE DOMAIN app.moment AS timestamptz;\n")
	fmt.Fprintf(&b, "CREATE TABLE app.events (%s, PRIMARY KEY (%s))%s;\n", strings.Join(columns, ", "), key, partition)
	for n := range w.parts {
		again := ""
		if rnd.IntN(3) == 0 { // in parts itself
			again = fmt.Sprintf(" PARTITION BY HASH (id); CREATE TABLE app.events_%[1]d_0 PARTITION OF app.events_%[1]d FOR VALUES WITH (MODULUS 2, REMAINDER 0);"+
				" CREATE TABLE app.events_%[1]d_1 PARTITION OF app.events_%[1]d FOR VALUES WITH (MODULUS 2, REMAINDER 1)", n)
		}
		fmt.Fprintf(&b, "CREATE TABLE app.events_%d PARTITION OF app.events FOR VALUES IN (%d)%s;\n", n, n, again)
	}
	if rnd.IntN(2) == 0 {
		zone := pick(rnd, "America/Los_Angeles", "Asia/Kolkata", "UTC")
		fmt.Fprintf(&b, "DO $$ BEGIN EXECUTE format('ALTER DATABASE %%I SET timezone = %%L', current_database(), '%s'); END $$;\n", zone)
	}
	return w, b.String()
}

func pick(rnd *rand.Rand, of ...string) string { return of[rnd.IntN(len(of))] }

func (w *gapWorld) id() string {
	w.next++
	switch w.idType {
	case "bigint", "numeric(12)":
		return strconv.Itoa(w.next)
	case "uuid":
		return fmt.Sprintf("00000000-0000-4000-8000-%012d", w.next)
	}
	return fmt.Sprintf("e-%d", w.next)
}

// mapped is the mapping of its table.
func (w *gapWorld) mapped(created string) string {
	text := mapped("app.events", "id", "type", "payload", created)
	for _, name := range w.more {
		text = strings.Replace(text, name+" = null", fmt.Sprintf("%[1]s = %[1]q", name), 1)
	}
	return text
}

// insert returns a statement that inserts a row, and what takes note of it once it has committed.
func (w *gapWorld) insert() (sql string, note func()) {
	id := w.id()
	names, values := []string{"id", "payload"}, []string{"'" + id + "'", "'{}'"}
	eventType, doubtful := "'order.created'", false
	if w.nullType && w.rnd.IntN(10) == 0 {
		eventType = "NULL"
	}
	names, values = append(names, "type"), append(values, eventType)
	at := "NULL"
	if w.timed && w.rnd.IntN(5) > 0 {
		at = pick(w.rnd, "now()", "now() - interval '1 minute'", "now() - interval '2 hours'", "now() - interval '40 days'", "now() + interval '3 days'",
			"'infinity'", "'-infinity'", "'0300-01-01 BC'", "'0001-06-01'", "'9999-12-31'", "'250000-01-01'", "'1950-01-01'")
	}
	switch {
	case w.down && w.next <= w.used:
		if w.timed && w.rnd.IntN(2) == 0 {
			at = "now()"
		}
		if at != "now()" || w.dated { // nothing says that it is not the event that had its id before
			doubtful = true
			eventType, values[2] = "'order.created'", "'order.created'"
		}
	case eventType == "NULL" && at != "NULL":
		at = "now()"
	default:
		doubtful = strings.Contains(at, "40 days") || strings.Contains(at, "1950")
	}
	if w.timed && at != "NULL" {
		names, values = append(names, "created_at"), append(values, at)
	}
	for i, name := range w.more {
		names, values = append(names, name), append(values, pick(w.rnd, w.values[i]...))
	}
	if w.parts > 0 {
		names, values = append(names, "part"), append(values, strconv.Itoa(w.rnd.IntN(w.parts)))
	}
	sql = fmt.Sprintf("INSERT INTO app.events (%s) VALUES (%s);\n", strings.Join(names, ", "), strings.Join(values, ", "))
	return sql, func() {
		switch {
		case eventType == "NULL":
			w.dead++
		case doubtful:
			w.doubtful[id]++
		default:
			w.committed[id]++
		}
	}
}

// beginAnew has the application use its ids again, as TRUNCATE ... RESTART IDENTITY does and keys
// that mean something do. Nobody uses a uuid again.
func (w *gapWorld) beginAnew(t *testing.T) {
	t.Helper()
	if w.idType == "uuid" || w.rnd.IntN(2) == 0 {
		return
	}
	w.db.Run(t, pick(w.rnd, "TRUNCATE app.events RESTART IDENTITY", "DELETE FROM app.events"))
	w.next, w.used = 0, max(w.used, w.next)
}

// work has the application commit, roll back and update at random.
func (w *gapWorld) work(t *testing.T, transactions int) {
	t.Helper()
	for range transactions {
		sql := "BEGIN;\n"
		var notes []func()
		for range 1 + w.rnd.IntN(4) {
			insert, note := w.insert()
			switch w.rnd.IntN(6) {
			case 0: // in a subtransaction that stays
				sql += "SAVEPOINT s;\n" + insert + "RELEASE s;\n"
				notes = append(notes, note)
			case 1: // in one that does not
				sql += "SAVEPOINT s;\n" + insert + "ROLLBACK TO s;\n"
			default:
				sql += insert
				notes = append(notes, note)
			}
		}
		if w.rnd.IntN(6) == 0 {
			w.db.Run(t, sql+"ROLLBACK")
			continue
		}
		if w.updates && w.rnd.IntN(3) == 0 { // it notes what it has done
			set := "payload = '{\"seen\": 1}'"
			if w.parts > 0 { // and moves some to other parts
				set += fmt.Sprintf(", part = (part + 1) %% %d", w.parts)
			}
			sql += "UPDATE app.events SET " + set + " WHERE random() < 0.3;\n"
		}
		w.db.Run(t, sql+"COMMIT")
		for _, note := range notes {
			note()
		}
		if w.rnd.IntN(8) == 0 {
			w.db.Run(t, "VACUUM (FREEZE) app.events")
		}
	}
}

// settled waits until everything that has to arrive has arrived.
func (w *gapWorld) settled(t *testing.T) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Log(w.db.Text(t, "SELECT string_agg(e::text || ' xmin ' || e.xmin, E'\\n') FROM app.events AS e WHERE NOT EXISTS (SELECT FROM tailpost.attempt AS a WHERE a.event_id = e.id::text)"))
			t.Log(w.db.Text(t, "SELECT string_agg(r::text, E'\\n') FROM tailpost.relay AS r"))
		}
	}()
	kit.Eventually(t, kit.Patience, func() error {
		arrived, missing := w.arrived(), 0
		for id, lives := range w.committed {
			missing += max(0, lives-arrived[id])
		}
		if missing > 0 {
			return fmt.Errorf("%d events have not arrived", missing)
		}
		return nil
	})
	w.db.AwaitCount(t, 0, "SELECT count(*) FROM tailpost.delivery WHERE state = 'pending'")
	w.db.AwaitCount(t, w.dead, "SELECT count(*) FROM tailpost.delivery WHERE state = 'dead'")
	w.db.AwaitConfirmed(t, w.db.LSN(t)) // what was answered is recorded, so that a kill has nothing sent again
}

// Stream and audit together deliver exactly what committed, once, whatever the table and the times
// in it, and also where ids are used again. Rows that say they are older than the slot, and in a
// gap those that do not say that they are not the event that had their id before, arrive once, or
// are counted by the gap that they fell into.
func TestStreamAndAuditDeliverExactlyWhatCommitted(t *testing.T) {
	t.Parallel()
	worlds := 6
	if text := os.Getenv("TAILPOST_WORLDS"); text != "" {
		var err error
		worlds, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	for range worlds {
		seed := rand.Uint64N(1_000_000)
		if text := os.Getenv("TAILPOST_WORLD"); text != "" { // one that failed
			var err error
			seed, err = strconv.ParseUint(text, 10, 64)
			require.NoError(t, err)
		}
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			w, ddl := newGapWorld(t, rand.New(rand.NewPCG(seed, 1)))
			t.Logf("seed %d:\n%s", seed, ddl)
			w.db.Run(t, ddl)
			w.db.Reset() // the application's sessions have the database's time zone
			config := w.db.Config(w.endpoint("erp", ""))
			created := ""
			if w.timed {
				created = "created_at"
			}
			config.Outbox = w.mapped(created) + "\naudit_interval = \"2s\""
			migrate := kit.Run(t, kit.Command{Args: []string{"migrate", "-c", writeConfig(t, config)}, Env: config.Env()})
			require.Zero(t, migrate.ExitCode(), migrate.Output())
			for gap := range 3 {
				relay := kit.StartDelivering(t, kit.Options{Config: config})
				if gap > 0 {
					w.db.AwaitCount(t, gap, "SELECT count(*) FROM tailpost.gap")
				}
				w.down = false
				// As if the relay had run for some days.
				w.db.Run(t, "UPDATE tailpost.relay SET started_at = started_at - interval '1 day'")
				w.work(t, 5)
				w.settled(t)
				if w.rnd.IntN(2) == 0 {
					relay.Kill()
				} else {
					require.Zero(t, relay.Stop(t))
				}
				w.down = true
				w.beginAnew(t)
				w.work(t, 1) // comes by the stream of a slot that is dropped before anybody reads it
				dropSlot(t, w.db)
				w.work(t, 5)
			}
			relay := kit.StartDelivering(t, kit.Options{Config: config})
			w.db.AwaitCount(t, 3, "SELECT count(*) FROM tailpost.gap")
			w.settled(t)
			require.Zero(t, relay.Stop(t))
			w.check(t)
		})
	}
}

// arrived counts what the receiver got.
func (w *gapWorld) arrived() map[string]int {
	arrived := make(map[string]int)
	for _, id := range w.receiver.IDs("/erp") {
		arrived[id]++
	}
	return arrived
}

// check compares what arrived with what committed.
func (w *gapWorld) check(t *testing.T) {
	t.Helper()
	arrived := w.arrived()
	var missing, twice, foreign []string
	lost, events, doubtful := 0, 0, 0
	for id, lives := range w.committed {
		if events += lives; arrived[id] < lives {
			missing = append(missing, id)
		}
	}
	for id, n := range w.doubtful {
		doubtful += n
		lost += max(0, w.committed[id]+n-arrived[id])
	}
	for id, n := range arrived {
		lives := w.committed[id] + w.doubtful[id]
		if n > lives {
			twice = append(twice, id)
		}
		if lives == 0 {
			foreign = append(foreign, id)
		}
	}
	require.Empty(t, missing, "committed and not delivered")
	require.Empty(t, twice, "delivered more than once")
	require.Empty(t, foreign, "delivered and never committed")
	counted := w.db.Count(t, "SELECT COALESCE(sum(COALESCE(substring(note FROM '([0-9]+) rows could not')::int, 0)), 0) FROM tailpost.gap")
	again := w.db.Count(t, "SELECT COALESCE(sum(COALESCE(substring(note FROM '([0-9]+) rows have ids')::int, 0)), 0) FROM tailpost.gap")
	require.GreaterOrEqual(t, counted+again, lost, "what is not delivered is counted")
	if w.used == 0 && !w.updates {
		require.Zero(t, again, "no id was used again")
	}
	t.Logf("%d events of %d ids, %d in doubt of which %d were not delivered, %d dead", events, len(w.committed), doubtful, lost, w.dead)
}
