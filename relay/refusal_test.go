package relay_test

import (
	"context"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/integration/pgserver"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay"
)

const held = `INSERT INTO tailpost.relay (slot, epoch, owner, system_id, timeline, batch, settled_lsn, updated_at, started_at, publication) VALUES ('SLOT', 1, '', '', 1, 0, '0/0', now(), now(), '')`

// refusals are all that ends a start for good: what the ledger's Check, the stream's Open and the
// taking of the slot return that does not pass by itself. What a configuration alone can get wrong
// `tailpost check` reports, for it reads it as `run` does. Left are another relay with another
// slot, which doctor's own tests have, and ports that are taken, which only whoever listens can
// know.
var refusals = map[string]struct {
	sql  string // breaks the database, a statement a line
	role string // options of the role to run as; empty: a superuser
	says string // is in the relay's error and in what doctor found
}{
	"no schema":                  {sql: "DROP SCHEMA tailpost CASCADE", says: "migrate"},
	"an older schema":            {sql: "DELETE FROM tailpost.migration WHERE version = (SELECT max(version) FROM tailpost.migration)", says: "migrate"},
	"a newer schema":             {sql: "INSERT INTO tailpost.migration SELECT max(version) + 1, 'later' FROM tailpost.migration", says: "later"},
	"no table":                   {sql: "DROP TABLE public.outbox", says: "public.outbox"},
	"an unlogged table":          {sql: "ALTER TABLE public.outbox SET UNLOGGED", says: "SET LOGGED"},
	"no primary key":             {sql: "ALTER TABLE public.outbox DROP CONSTRAINT outbox_pkey", says: "PRIMARY KEY"},
	"no column for the type":     {sql: "ALTER TABLE public.outbox RENAME COLUMN type TO kind", says: "type"},
	"a table that is inherited":  {sql: "CREATE TABLE child () INHERITS (public.outbox)", says: "INHERITS"},
	"no right to replicate":      {role: "NOREPLICATION IN ROLE CURRENT_USER", says: "REPLICATION"},
	"no right to the schema":     {role: "REPLICATION", says: "permission denied"},
	"a physical slot":            {sql: "SELECT pg_create_physical_replication_slot('SLOT')", says: "pg_drop_replication_slot"},
	"an endpoint of the API":     {sql: "INSERT INTO tailpost.endpoint (id, name, url, subscriptions, policy, status, source, created_at, updated_at) VALUES ('erp', 'erp', 'https://a.example', '[]', '{}', 'active', 'api', now(), now())", says: "exists already"},
	"more gaps than are healed":  {sql: held + "\nINSERT INTO tailpost.gap (slot, why, from_lsn, to_lsn, events, deliveries, detected_at, at) SELECT 'SLOT', 'of the test', '0/0', '0/0', 0, 0, now(), now() FROM generate_series(1, 4)", says: "within"},
	"no log that can be decoded": {says: "wal_level"},
	"no plugin to decode with":   {sql: "ALTER ROLE postgres SET output_plugin_libraries = 'test_decoding'", says: "= 'pgoutput', 'test_decoding'"},
	"a plugin for a slot":        {sql: "SELECT pg_create_logical_replication_slot('SLOT', 'pgoutput')\nALTER ROLE postgres SET output_plugin_libraries = 'test_decoding'", says: "= 'pgoutput'"},
}

// Whatever ends `run` at its start `doctor` has named before.
func TestWhateverRunRefusesDoctorHasSaid(t *testing.T) {
	t.Parallel()
	for name, refusal := range refusals {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, slot := refusing(t, name)
			cfg := &config.Config{Database: config.Database{URL: config.NewSecret(address), Slot: slot}}
			cfg.Outbox.Mapping, cfg.Outbox.AuditInterval = outbox.DefaultMapping(), time.Hour
			cfg.Endpoints = []config.Endpoint{{ID: "erp", Name: "erp", URL: "https://a.example", Secrets: []config.Secret{config.NewSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")}}}
			require.Contains(t, said(t, cfg), refusal.says)

			r, err := relay.New(cfg, relay.Options{Logger: zerolog.Nop()})
			require.NoError(t, err)
			bound, cancel := context.WithTimeout(t.Context(), kit.Patience)
			defer cancel()
			err = r.Run(bound)
			require.ErrorContains(t, err, refusal.says)
			require.NoError(t, bound.Err(), "it goes on trying")
		})
	}
}

// What no database tells is told to doctor, and what it advises is told on.
func TestDoctorKnowsWhatTheDiskHasLeft(t *testing.T) {
	t.Parallel()
	db := kit.NewDatabase(t)
	db.Run(t, "SELECT tailpost.ensure_attempt_partitions((now() AT TIME ZONE 'UTC')::date - 1, 1)")
	db.Run(t, `INSERT INTO tailpost.attempt (event_id, event_type, endpoint_id, number, trigger, url, outcome, duration_ms, attempted_at, commit_lsn)
		VALUES ('e', 'a', 'erp', 1, 'stream', 'https://a.example', 'delivered', 1, date_trunc('day', now(), 'UTC') - interval '12 hours', '0/0')`)
	cfg := &config.Config{Database: config.Database{URL: config.NewSecret(db.URL), Slot: db.Slot}, Outbox: config.Outbox{Mapping: outbox.DefaultMapping()}}
	for free, want := range map[int64]string{0: "", 1: "a larger disk, or a shorter retention { attempts }"} {
		found := relay.Diagnose(t.Context(), cfg, relay.DiagnoseOptions{Free: free})
		at := slices.IndexFunc(found, func(f relay.Finding) bool { return f.Check == "size" })
		require.NotEqual(t, -1, at, "%v", found)
		require.Equal(t, want, found[at].Fix, found[at].Detail)
	}
}

// said is every failure that doctor finds.
func said(t *testing.T, cfg *config.Config) string {
	t.Helper()
	var all strings.Builder
	for _, f := range relay.Diagnose(t.Context(), cfg, relay.DiagnoseOptions{}) {
		if f.Grade == "failure" {
			all.WriteString(f.Detail + " " + f.Fix + "\n")
		}
	}
	return all.String()
}

// refusing makes a database that is broken in a way, and returns its address and the slot's name.
func refusing(t *testing.T, name string) (address, slot string) {
	t.Helper()
	settings := map[string]map[string]string{
		"no log that can be decoded": {"wal_level": "replica"},
		"no plugin to decode with":   {},
		"a plugin for a slot":        {},
	}[name]
	var db *kit.Database
	if settings == nil {
		db = kit.NewDatabase(t)
	} else {
		all := pgserver.FastSettings()
		maps.Copy(all, settings)
		server, err := pgserver.Start(t.Context(), pgserver.Options{Settings: all})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, server.Close()) })
		db = kit.OpenDatabase(t, server.URL("postgres"), "tailpost")
		db.Migrate(t, outbox.DefaultMapping())
	}
	if strings.Contains(refusals[name].sql, "output_plugin_libraries") {
		var has bool
		require.NoError(t, db.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_settings WHERE name = 'output_plugin_libraries')").Scan(&has))
		if !has {
			t.Skip("this Postgres loads every output plugin")
		}
	}
	for sql := range strings.SplitSeq(refusals[name].sql, "\n") {
		if sql != "" {
			db.Run(t, strings.ReplaceAll(sql, "SLOT", db.Slot))
		}
	}
	if options := refusals[name].role; options != "" {
		role := "refused_" + db.Slot[max(0, len(db.Slot)-20):]
		db.Run(t, "CREATE ROLE "+role+" LOGIN "+options)
		t.Cleanup(func() {
			_, err := db.Exec(context.WithoutCancel(t.Context()), "DROP ROLE "+role)
			require.NoError(t, err)
		})
		at, err := url.Parse(db.URL)
		require.NoError(t, err)
		at.User = url.User(role)
		return at.String(), db.Slot
	}
	return db.URL, db.Slot
}
