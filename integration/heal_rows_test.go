package integration_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// gapCase is a table, what was in it before a gap, and what was lost in the gap.
type gapCase struct {
	ddl    string // of app.events with id, type and payload
	noTime bool   // it has no created_at
	zone   string // outbox.time_zone; empty: none
	before string // statements before the gap; what they insert comes through the stream
	lost   string // statements in the gap
	want   []string
	untold int // rows that the gap's note counts as not judged
	again  int // rows that it counts as ones whose ids may have been used again
	dead   []string
}

const plainTable = `CREATE TABLE app.events (id text PRIMARY KEY, type text NOT NULL, payload jsonb, created_at timestamptz DEFAULT now())`

// twoPartitions have rows of the same ctid.
const twoPartitions = `
	CREATE TABLE app.events (id text, type text NOT NULL, payload jsonb, created_at timestamptz NOT NULL DEFAULT now(), part int NOT NULL, PRIMARY KEY (id, part))
		PARTITION BY LIST (part);
	CREATE TABLE app.events_1 PARTITION OF app.events FOR VALUES IN (1);
	CREATE TABLE app.events_2 PARTITION OF app.events FOR VALUES IN (2)`

func row(id, columns, values string) string {
	if columns == "" {
		values = ""
	} else {
		columns, values = ", "+columns, ", "+values
	}
	return fmt.Sprintf("INSERT INTO app.events (id, type, payload%s) VALUES ('%s', 'order.created', '{}'%s);\n", columns, id, values)
}

func at(id, expression string) string { return row(id, "created_at", expression) }

func gapCases() map[string]gapCase {
	typed := func(kind string) string {
		return fmt.Sprintf(`CREATE TABLE app.events (id text PRIMARY KEY, type text NOT NULL, payload jsonb, created_at %s DEFAULT now())`, kind)
	}
	return map[string]gapCase{
		"rows at one place in two partitions": {
			ddl:    twoPartitions,
			before: row("a1", "part", "1") + row("a2", "part", "1"),
			lost:   row("b1", "part", "2") + row("b2", "part", "2"),
			want:   []string{"a1", "a2", "b1", "b2"},
		},
		"times ahead": {
			ddl:    plainTable,
			before: at("a1", "now() + interval '3 days'"),
			lost:   at("b1", "now() + interval '3 days'") + at("b2", "'9990-01-01'"),
			want:   []string{"a1", "b1", "b2"},
		},
		"times that are none": {
			ddl:    plainTable,
			before: at("a1", "'infinity'") + at("a2", "NULL") + at("a3", "'-infinity'"),
			lost:   at("b1", "'infinity'") + at("b2", "NULL") + at("b3", "'-infinity'") + at("b4", "'0044-03-15 BC'") + at("b5", "'290000-01-01'"),
			want:   []string{"a1", "a2", "a3", "b1", "b2", "b3", "b4", "b5"},
		},
		"times from hours ago": {
			ddl:    plainTable,
			before: at("old", "now() - interval '3 hours'") + "UPDATE tailpost.relay SET started_at = now() - interval '1 day'; UPDATE tailpost.endpoint SET routed_since = now() - interval '1 minute';",
			lost:   at("b1", "now() - interval '2 hours'") + at("b2", "now() - interval '20 hours'"),
			want:   []string{"old", "b1", "b2"},
		},
		"a day": {
			ddl:    typed("date"),
			before: row("a1", "", "") + "UPDATE tailpost.relay SET started_at = now() - interval '2 days';",
			lost:   row("b1", "", "") + at("b2", "'5000000-01-01'"),
			want:   []string{"a1", "b1", "b2"},
		},
		"a day since this morning": {
			ddl:    typed("date"),
			before: row("a1", "", "") + "UPDATE tailpost.relay SET started_at = date_trunc('day', now()) + interval '1 millisecond';",
			lost:   row("b1", "", ""),
			want:   []string{"a1", "b1"},
		},
		"times of another zone": {
			ddl:    typed("timestamp") + `; DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = %L', current_database(), 'America/Los_Angeles'); END $$`,
			before: at("a1", "now() AT TIME ZONE 'America/Los_Angeles'"),
			lost:   at("b1", "now() AT TIME ZONE 'America/Los_Angeles'") + at("b2", "now() AT TIME ZONE 'America/Los_Angeles'"),
			want:   []string{"a1", "b1", "b2"},
		},
		"times of a zone that is configured": {
			ddl:    typed("timestamp"),
			zone:   "Asia/Kolkata",
			before: at("a1", "now() AT TIME ZONE 'Asia/Kolkata'"),
			lost:   at("b1", "now() AT TIME ZONE 'Asia/Kolkata'") + at("b2", "now() AT TIME ZONE 'Asia/Kolkata'"),
			want:   []string{"a1", "b1", "b2"},
		},
		"no time at all": {
			ddl:    `CREATE TABLE app.events (id text PRIMARY KEY, type text NOT NULL, payload jsonb)`,
			noTime: true,
			before: row("a1", "", ""),
			lost:   row("b1", "", "") + row("b2", "", ""),
			want:   []string{"a1", "b1", "b2"},
		},
		"ids that are used again": {
			ddl:    plainTable,
			before: row("a1", "", "") + row("a2", "", ""),
			lost:   "TRUNCATE app.events;" + row("a1", "", "") + row("b1", "", ""),
			want:   []string{"a1", "a2", "a1", "b1"},
		},
		"ids that are used again, without a time": {
			ddl:    `CREATE TABLE app.events (id text PRIMARY KEY, type text NOT NULL, payload jsonb)`,
			noTime: true,
			before: row("a1", "", ""),
			lost:   "TRUNCATE app.events;" + row("a1", "", "") + row("b1", "", ""),
			want:   []string{"a1", "b1"},
			again:  1,
		},
		"ids that are used again, with times from before the gap": {
			ddl:    plainTable,
			before: row("a1", "", "") + row("a2", "", "") + row("a3", "", ""),
			lost:   "TRUNCATE app.events;" + at("a1", "now() - interval '2 hours'") + at("a2", "'-infinity'") + at("b1", "now()"),
			want:   []string{"a1", "a2", "a3", "b1"},
			again:  2,
		},
		"a type that is NULL": {
			ddl:    `CREATE TABLE app.events (id text PRIMARY KEY, type text, payload jsonb, created_at timestamptz DEFAULT now())`,
			before: row("a1", "", ""),
			lost:   row("b1", "", "") + "INSERT INTO app.events (id, payload) VALUES ('bad', '{}');" + row("b2", "", ""),
			want:   []string{"a1", "b1", "b2"},
			dead:   []string{"bad"},
		},
		"rows in a savepoint": {
			ddl:    plainTable,
			before: row("a1", "", ""),
			lost:   "BEGIN; " + row("b1", "", "") + "SAVEPOINT s; " + row("b2", "", "") + "SAVEPOINT u; " + row("b3", "", "") + "ROLLBACK TO u; RELEASE s; COMMIT;",
			want:   []string{"a1", "b1", "b2"},
		},
		"rows that were updated and frozen": {
			ddl:    plainTable,
			before: row("a1", "", "") + row("a2", "", ""),
			lost:   row("b1", "", "") + "UPDATE app.events SET payload = '{\"n\": 1}';",
			want:   []string{"a1", "a2", "b1"},
			again:  2,
		},
		"rows older than the slot that were updated": {
			ddl:    plainTable + `; INSERT INTO app.events (id, type, payload, created_at) VALUES ('older', 'order.created', '{}', now() - interval '1 hour')`,
			before: row("a1", "", ""),
			lost:   row("b1", "", "") + "UPDATE app.events SET payload = '{}' WHERE id = 'older';",
			want:   []string{"a1", "b1"},
			untold: 1,
		},
		"a domain over char(n)": {
			ddl: `CREATE DOMAIN app.name AS char(20);
				CREATE TABLE app.events (id app.name PRIMARY KEY, type app.name NOT NULL, payload jsonb, created_at timestamptz DEFAULT now())`,
			before: row("a1", "", ""),
			lost:   row("b1", "", ""),
			want:   []string{"a1", "b1"},
		},
	}
}

// A row that an UPDATE moves to another partition is not another event, also in the transaction
// that inserted it; one that takes the id of a row that was deleted before is.
func TestARowThatMovesToAnotherPartitionIsNoEvent(t *testing.T) {
	t.Parallel()
	b := &testBundle{db: kit.NewEmptyDatabase(t), receiver: kit.NewReceiver(t)}
	b.db.Run(t, "CREATE SCHEMA app")
	b.db.Run(t, twoPartitions)
	config := b.db.Config(b.endpoint("erp", ""))
	config.Outbox = mapped("app.events", "id", "type", "payload", "created_at")
	relay := kit.StartDelivering(t, kit.Options{Config: withSchema(t, config)})
	b.db.Run(t, row("a", "part", "1")+row("b", "part", "1"))
	b.db.AwaitAttempts(t, "erp", 2)
	b.db.Run(t, "UPDATE app.events SET part = 2")
	b.db.Run(t, "BEGIN;"+row("c", "part", "1")+"UPDATE app.events SET part = 2 WHERE id = 'c'; COMMIT")
	b.db.Run(t, "BEGIN; DELETE FROM app.events WHERE id = 'a';"+row("d", "part", "1")+"COMMIT")
	b.db.Run(t, "BEGIN; DELETE FROM app.events WHERE id = 'b';"+row("b", "part", "2")+"COMMIT")
	b.receiver.AwaitIDs(t, "/erp", "a", "b", "c", "d", "b")
	b.db.AwaitConfirmed(t, b.db.LSN(t))
	require.ElementsMatch(t, []string{"a", "b", "c", "d", "b"}, b.receiver.IDs("/erp"))
	require.Zero(t, relay.Stop(t))
}

// A publication that an earlier release made publishes deletes from the first start on, and no gap
// is reported for that.
func TestAPublicationOfAnEarlierReleaseIsWidenedWithoutAGap(t *testing.T) {
	t.Parallel()
	b := &testBundle{db: kit.NewEmptyDatabase(t), receiver: kit.NewReceiver(t)}
	b.db.Run(t, "CREATE SCHEMA app")
	b.db.Run(t, twoPartitions)
	config := b.db.Config(b.endpoint("erp", ""))
	config.Outbox = mapped("app.events", "id", "type", "payload", "created_at")
	require.Zero(t, kit.StartDelivering(t, kit.Options{Config: withSchema(t, config)}).Stop(t))
	b.db.Run(t, `DO $$ BEGIN EXECUTE (SELECT format('ALTER PUBLICATION %I SET (publish = ''insert'')', slot) FROM tailpost.relay); END $$`)
	b.db.Run(t, `
		UPDATE tailpost.relay AS t
		SET publication = format('%s.%s.%s.%s.%s', p.oid, p.xmin, r.prrelid, r.oid, r.xmin)
		FROM pg_publication AS p
		JOIN pg_publication_rel AS r ON r.prpubid = p.oid
		WHERE p.pubname = t.slot`)
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	b.db.Run(t, row("a", "part", "1"))
	b.db.Run(t, "UPDATE app.events SET part = 2")
	b.receiver.AwaitIDs(t, "/erp", "a")
	b.db.AwaitConfirmed(t, b.db.LSN(t))
	require.Equal(t, []string{"a"}, b.receiver.IDs("/erp"))
	require.Zero(t, b.db.Count(t, "SELECT (SELECT count(*) FROM tailpost.gap) + (SELECT count(*) FROM tailpost.relay WHERE heal IS NOT NULL)"))
	require.Zero(t, relay.Stop(t))
}

// withSchema migrates the database of a configuration.
func withSchema(t *testing.T, config kit.Config) kit.Config {
	t.Helper()
	migrate := kit.Run(t, kit.Command{Args: []string{"migrate", "-c", writeConfig(t, config)}, Env: config.Env()})
	require.Zero(t, migrate.ExitCode(), migrate.Output())
	return config
}

// What committed in a gap is delivered once, whatever its row says of its time and place; what the
// table cannot tell is counted.
func TestAGapIsHealedByWhatARowIs(t *testing.T) {
	t.Parallel()
	for name, c := range gapCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &testBundle{db: kit.NewEmptyDatabase(t), receiver: kit.NewReceiver(t)}
			b.db.Run(t, "CREATE SCHEMA app")
			b.db.Run(t, c.ddl)
			config := b.db.Config(b.endpoint("erp", `subscription { events = ["order.*"] }`))
			created := "created_at"
			if c.noTime {
				created = ""
			}
			config.Outbox = mapped("app.events", "id", "type", "payload", created)
			if c.zone != "" {
				config.Outbox += fmt.Sprintf("\ntime_zone = %q", c.zone)
			}
			migrate := kit.Run(t, kit.Command{Args: []string{"migrate", "-c", writeConfig(t, config)}, Env: config.Env()})
			require.Zero(t, migrate.ExitCode(), migrate.Output())
			relay := kit.StartDelivering(t, kit.Options{Config: config})
			b.db.Run(t, c.before)
			before := strings.Count(c.before, "INSERT INTO app.events")
			b.db.AwaitAttempts(t, "erp", before)
			require.Zero(t, relay.Stop(t))

			dropSlot(t, b.db)
			b.db.Run(t, c.lost)
			relay = kit.StartDelivering(t, kit.Options{Config: config})
			b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.gap")
			b.db.Run(t, row("after", partOf(c.ddl), "1"))
			b.receiver.AwaitIDs(t, "/erp", append(c.want, "after")...)
			b.db.AwaitAttempts(t, "erp", len(c.want)+1)
			require.ElementsMatch(t, append(c.want, "after"), b.receiver.IDs("/erp"), "each event arrived once; %s", b.db.Text(t, "SELECT note FROM tailpost.gap"))
			b.db.AwaitCount(t, len(c.dead), "SELECT count(*) FROM tailpost.delivery WHERE state = 'dead' AND last_error <> '' AND event_id = ANY ($1)", c.dead)
			note := b.db.Text(t, "SELECT note FROM tailpost.gap")
			for text, n := range map[string]int{"rows could not be judged": c.untold, "rows have ids that were delivered or parked before the gap": c.again} {
				if n == 0 {
					require.NotContains(t, note, text)
				} else {
					require.Contains(t, note, fmt.Sprintf("%d %s", n, text))
				}
			}
			if c.zone != "" {
				for _, r := range b.receiver.Requests("/erp") {
					if r.ID != "after" { // its time is the session's
						require.WithinDuration(t, time.Now(), envelopeTime(t, r.Body), 10*time.Minute)
					}
				}
			}
			require.Zero(t, relay.Stop(t))

			// And that is all: the next gap finds nothing that the first one left.
			dropSlot(t, b.db)
			relay = kit.StartDelivering(t, kit.Options{Config: config})
			b.db.AwaitCount(t, 2, "SELECT count(*) FROM tailpost.gap")
			require.Equal(t, 1, b.db.Count(t, "SELECT count(*) FROM tailpost.gap WHERE events = 0"))
			require.Zero(t, relay.Stop(t))
			require.Len(t, b.receiver.IDs("/erp"), len(c.want)+1)
		})
	}
}

// A slot that somebody has moved, or dropped and made again, has let events go whose ids may have
// been used before.
func TestAnIDThatIsUsedAgainWhereTheSlotWasMovedIsDelivered(t *testing.T) {
	t.Parallel()
	b := &testBundle{db: kit.NewEmptyDatabase(t), receiver: kit.NewReceiver(t)}
	b.db.Run(t, "CREATE SCHEMA app")
	b.db.Run(t, plainTable)
	config := b.db.Config(b.endpoint("erp", ""))
	config.Outbox = mapped("app.events", "id", "type", "payload", "created_at")
	relay := kit.StartDelivering(t, kit.Options{Config: withSchema(t, config)})
	b.db.Run(t, row("a", "", "")+row("b", "", ""))
	b.db.AwaitAttempts(t, "erp", 2)
	require.Zero(t, relay.Stop(t))
	b.db.Run(t, "TRUNCATE app.events;"+row("a", "", ""))
	b.db.Run(t, "SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())", b.db.Slot)
	relay = kit.StartDelivering(t, kit.Options{Config: config})
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.gap WHERE events = 1")
	b.db.AwaitAttempts(t, "erp", 3)
	require.ElementsMatch(t, []string{"a", "b", "a"}, b.receiver.IDs("/erp"))
	require.Zero(t, relay.Stop(t))
}

// An event of a gap whose id an earlier event has that is not delivered yet is dead with that
// reason, under an id of its own; the earlier one stays what it was.
func TestAnIDThatIsUsedAgainInAGapHidesBehindNoEarlierEvent(t *testing.T) {
	t.Parallel()
	b := &testBundle{db: kit.NewEmptyDatabase(t), receiver: kit.NewReceiver(t)}
	b.db.Run(t, "CREATE SCHEMA app")
	b.db.Run(t, `CREATE TABLE app.events (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, type text NOT NULL, payload jsonb, created_at timestamptz DEFAULT now())`)
	b.receiver.On("/erp", kit.Statuses(500))
	config := b.db.Config(b.endpoint("erp", "retry { schedule = [] }"))
	config.Outbox = mapped("app.events", "id", "type", "payload", "created_at")
	relay := kit.StartDelivering(t, kit.Options{Config: withSchema(t, config)})
	b.db.Run(t, `INSERT INTO app.events (type, payload) VALUES ('order.created', '{"life": 1}')`)
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.delivery WHERE state = 'dead' AND event_id = '1'")
	require.Zero(t, relay.Stop(t))

	dropSlot(t, b.db)
	b.db.Run(t, `TRUNCATE app.events RESTART IDENTITY; INSERT INTO app.events (type, payload) VALUES ('order.created', '{"life": 2}')`)
	relay = kit.StartDelivering(t, kit.Options{Config: config})
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.gap WHERE events = 1")
	require.Equal(t, `{"life": 1} {"life": 2}`, b.db.Text(t, "SELECT string_agg(convert_from(payload, 'UTF8'), ' ' ORDER BY event_id) FROM tailpost.delivery WHERE state = 'dead'"))
	require.Equal(t, 1, b.db.Count(t, "SELECT count(*) FROM tailpost.delivery WHERE reason = 'id_reused' AND event_id LIKE '1~%' AND last_error LIKE '%earlier event with id 1 %'"))
	require.Zero(t, relay.Stop(t))
}

// An event whose id an earlier one has, and whose answer takes longer than park_after, is written
// beside that while its request is under way: what becomes of it touches its own row alone.
func TestTheOutcomeOfAnIDThatIsUsedAgainIsThatOfItsEvent(t *testing.T) {
	t.Parallel()
	b := &testBundle{db: kit.NewEmptyDatabase(t), receiver: kit.NewReceiver(t)}
	b.db.Run(t, "CREATE SCHEMA app")
	b.db.Run(t, plainTable)
	b.receiver.On("/erp", kit.Statuses(500))
	config := b.db.Config(b.endpoint("erp", "retry { schedule = [] }\n park_after = \"100ms\""))
	config.Outbox = mapped("app.events", "id", "type", "payload", "created_at")
	relay := kit.StartDelivering(t, kit.Options{Config: withSchema(t, config)})
	b.db.Run(t, "INSERT INTO app.events (id, type, payload) VALUES ('a', 'order.created', '{\"life\": 1}')")
	const first = `SELECT count(*) FROM tailpost.delivery WHERE event_id = 'a' AND state = 'dead' AND attempts = 1 AND convert_from(payload, 'UTF8') = '{"life": 1}'`
	b.db.AwaitCount(t, 1, first)

	answer := make(chan struct{})
	b.receiver.On("/erp", func(ctx context.Context, _ http.ResponseWriter, _ kit.Request) int {
		select {
		case <-answer:
		case <-ctx.Done():
		}
		return http.StatusOK
	})
	b.db.Run(t, "TRUNCATE app.events; INSERT INTO app.events (id, type, payload) VALUES ('a', 'order.created', '{\"life\": 2}')")
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.delivery WHERE event_id LIKE 'a~%' AND reason = 'id_reused'")
	close(answer)
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.attempt WHERE event_id = 'a' AND outcome = 'delivered'")
	require.Equal(t, 1, b.db.Count(t, first), "the earlier event waits for a person as before")
	require.Equal(t, 1, b.db.Count(t, "SELECT count(*) FROM tailpost.delivery"), "the later one is delivered")
	require.Zero(t, relay.Stop(t))
}

// envelopeTime returns when an event was created, as the receiver is told.
func envelopeTime(t *testing.T, body []byte) time.Time {
	t.Helper()
	var envelope struct {
		Timestamp time.Time `json:"timestamp"`
	}
	require.NoError(t, json.Unmarshal(body, &envelope))
	return envelope.Timestamp
}

func partOf(ddl string) string {
	if strings.Contains(ddl, "part int") {
		return "part"
	}
	return ""
}
