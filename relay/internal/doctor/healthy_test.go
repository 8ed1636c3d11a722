package doctor_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/doctor"
)

// TestAHealthyDatabaseHasNoFailure: all that is examined is said to be well, with what was found.
func TestAHealthyDatabaseHasNoFailure(t *testing.T) {
	t.Parallel()
	b := setupServer(t, map[string]string{"max_slot_wal_keep_size": "100TB"})
	b.exec(t, "REVOKE CREATE ON SCHEMA public FROM PUBLIC") // as it is from Postgres 15 on
	b.cfg.Endpoints = []config.Endpoint{{ID: "erp"}}
	b.cfg.Versions = config.Versions{{Name: "2026-01-01"}}
	b.exec(t, `INSERT INTO tailpost.endpoint (id, name, url, subscriptions, policy, status, disabled_reason, source, created_at, updated_at)
		VALUES ('old', 'a', 'https://a.example', '[]', '{"version": "2025-01-01"}', 'disabled', 'removed from the configuration', 'config', now(), now())`) // which keeps nothing waiting
	wants := []string{
		"connection: the database answers, and no pooler stands before it", `version: Postgres \d\d(, supported until 20\d\d-11-\d\d)?`,
		"wal_level: wal_level is (logical|replica: Postgres writes what decoding needs as soon as there is a slot)", "recovery: the server is a primary",
		"read_only: transactions may write", "encoding: the database is in UTF8", "clock: the database's clock and this machine's agree",
		"schema: schema tailpost is at this version", "table: events can come from table public.outbox",
		"replication: the role may replicate, and database.url leads to the server itself", "output_plugin: the server decodes with pgoutput",
		"slot: there is no slot tailpost yet: the first start makes it", "other_slots: no relay with another slot has served this database",
		"gaps: no gap in the stream within the last hour", "publication: there is no publication tailpost yet: the first start makes it",
		"publication: there is no publication tailpost_endpoint yet: the first start makes it", `headroom: 0 of \d+ replication slots are in use`,
		`headroom: 0 of \d+ walsenders are in use`, `wal_kept: the slot may keep 100\.0 TB of the log(, which is \d+ hours at the rate so far)?`,
		"slot_timeout: Postgres drops no slot for being idle", "failover: no standby streams by a slot: there is none to fail over to",
		"transactions: no transaction is open for longer than 5m0s", "prepared: no transaction is prepared for longer than 5m0s",
		"locks: no session keeps others from the tables", "privileges: role postgres may do what a relay does",
		"names: no endpoint made through the API has the name of one of the configuration", "versions: the configuration has every version that an endpoint pins",
		"search_path: not every role may create functions in schema public", "size: the tables of schema tailpost take .+, the outbox table .+; by how much .+",
		"audit: the audit of every 1h0m0s reads what is new, or a small table",
	}
	found := b.examine(t)
	for i, want := range wants {
		require.Less(t, i, len(found))
		require.Regexp(t, "^"+want+"$", found[i].Check+": "+found[i].Detail)
		require.Equal(t, doctor.OK, found[i].Grade, want)
		require.Empty(t, found[i].Fix, want)
	}
	require.Len(t, found, len(wants))
	var left int
	require.NoError(t, b.conn.QueryRow(t.Context(), `
		SELECT (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_publication)`).Scan(&left))
	require.Zero(t, left, "nothing was changed")
}

// TestWhatCannotBeLookedAtIsSaidOnce: the checks that need it do not say so again.
func TestWhatCannotBeLookedAtIsSaidOnce(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		sql, role string
		failures  []string // the checks, each once
		silent    []string // checks that find nothing at all
	}{
		"no schema": {sql: "DROP SCHEMA tailpost CASCADE", failures: []string{"schema"}, silent: []string{"other_slots", "gaps", "publication", "privileges", "names", "versions"}},
		"a newer schema": {
			sql:      "INSERT INTO tailpost.migration SELECT max(version) + 1, 'later' FROM tailpost.migration; ALTER TABLE tailpost.relay RENAME TO relays",
			failures: []string{"schema"}, silent: []string{"other_slots", "gaps", "publication", "privileges", "names", "versions"},
		},
		"no table": {sql: "DROP TABLE outbox", failures: []string{"table"}, silent: []string{"publication", "audit"}},
		"two things about the table": {
			sql: "ALTER TABLE outbox DROP CONSTRAINT outbox_pkey; ALTER TABLE outbox SET UNLOGGED", failures: []string{"table", "table"}, silent: []string{"publication", "audit"},
		},
		"a role that may read nothing of ours": {
			sql:  "GRANT USAGE ON SCHEMA tailpost TO PUBLIC; GRANT SELECT ON tailpost.migration, outbox TO PUBLIC; ALTER TABLE outbox RENAME tenant TO t",
			role: "REPLICATION", failures: []string{"publication", "publication", "privileges"}, silent: []string{"other_slots", "gaps", "names", "versions"},
		},
		"a role that may not replicate": {role: "NOREPLICATION", failures: []string{"schema", "replication", "privileges"}, silent: []string{"output_plugin", "slot", "publication", "versions", "size"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.cfg.Endpoints = []config.Endpoint{{ID: "erp"}}
			b.cfg.Outbox.Mapping.Optional = outbox.Optional{Tenant: true}
			if test.sql != "" {
				b.exec(t, test.sql)
			}
			if test.role != "" {
				b.as(t, test.role)
			}
			var failures []string
			for _, f := range b.examine(t) {
				require.NotContains(t, test.silent, f.Check, "%+v", f)
				if f.Grade == doctor.Failure {
					failures = append(failures, f.Check)
				}
			}
			require.Equal(t, test.failures, failures)
		})
	}
}

// TestMessagesAloneNeedNoTable: nor does anybody look for one.
func TestMessagesAloneNeedNoTable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, "DROP TABLE outbox")
	b.cfg.Outbox.Mapping.Table, b.cfg.Outbox.Messages = "", "app"
	require.Equal(t, "events are logical messages, there is no table", b.find(t, "table", doctor.OK).Detail)
	for _, f := range b.examine(t) {
		require.NotEqual(t, doctor.Failure, f.Grade, "%+v", f)
		require.NotEqual(t, "audit", f.Check)
	}
}

// TestWithoutAuditsNobodySpeaksOfThem: nor of what they would read.
func TestWithoutAuditsNobodySpeaksOfThem(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, off := range []time.Duration{0, -1} {
		b.cfg.Outbox.AuditInterval = off
		require.False(t, slices.ContainsFunc(b.examine(t), func(f doctor.Finding) bool { return f.Check == "audit" }))
	}
}

// TestAVersionThatTheConfigurationHasIsNotLost: nor does one endpoint lose another's.
func TestAVersionThatTheConfigurationHasIsNotLost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.cfg.Versions = config.Versions{{Name: "2026-01-01"}}
	const sql = `INSERT INTO tailpost.endpoint (id, name, url, subscriptions, policy, status, source, created_at, updated_at)
		SELECT 'ep_' || p, 'a', 'https://a.example', '[]', jsonb_build_object('version', p), 'active', 'api', now(), now() FROM unnest(ARRAY[`
	b.exec(t, sql+`'2026-01-01']) AS p`)
	b.find(t, "versions", doctor.OK)
	b.exec(t, sql+`'2024-01-01', '2025-01-01']) AS p`)
	require.Equal(t, `endpoints made through the API get nothing, it waits: the configuration has no version "2025-01-01" that 1 of them pin, no version "2024-01-01" that 1 of them pin`,
		b.find(t, "versions", doctor.Failure).Detail)
}

func TestASlotThatIsInUseIsWell(t *testing.T) {
	t.Parallel()
	b := setupServer(t, map[string]string{"max_replication_slots": "1"})
	b.exec(t, "CREATE PUBLICATION p")
	b.exec(t, "SELECT pg_create_logical_replication_slot('SLOT', 'pgoutput')")
	stream := b.replicate(t)
	defer stream.Close(context.WithoutCancel(t.Context()))
	stream.Frontend().SendQuery(&pgproto3.Query{String: "START_REPLICATION SLOT " + b.cfg.Database.Slot + " LOGICAL 0/0 (proto_version '1', publication_names 'p')"})
	require.NoError(t, stream.Frontend().Flush())
	_, err := stream.ReceiveMessage(t.Context())
	require.NoError(t, err)
	require.Regexp(t, `^slot tailpost is in use by process \d+$`, b.find(t, "slot", doctor.OK).Detail)
	require.Equal(t, "1 of 1 replication slots are in use", b.find(t, "headroom", doctor.OK).Detail, "the one is the relay's")
}

// TestWhatMendsAPublicationMendsIt: where the role may not, who may runs it.
func TestWhatMendsAPublicationMendsIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	slot, super := b.cfg.Database.Slot, b.cfg.Database.URL
	b.as(t, "REPLICATION")
	role := b.role(t)
	may := func(sql string) { b.exec(t, "DO $$ BEGIN EXECUTE format('"+sql+"', current_database()); END $$") }
	for _, does := range []func(){
		func() {},
		func() { b.exec(t, "ALTER TABLE tailpost.endpoint OWNER TO "+role) },
		func() {
			b.exec(t, "ALTER TABLE outbox OWNER TO "+role)
			may("REVOKE CREATE ON DATABASE %I FROM " + role)
		},
	} {
		does()
		require.Contains(t, b.find(t, "publication", doctor.Failure).Detail, "publication "+slot+": it does not exist, and this role may not set it up")
	}
	may("GRANT CREATE ON DATABASE %I TO " + role)
	require.Equal(t, "there is no publication "+slot+" yet: the first start makes it", b.find(t, "publication", doctor.OK).Detail)
	b.exec(t, "ALTER TABLE outbox OWNER TO CURRENT_USER; ALTER TABLE tailpost.endpoint OWNER TO CURRENT_USER")
	for range 2 {
		b.exec(t, b.find(t, "publication", doctor.Failure).Fix)
	}
	require.Equal(t, "publication "+slot+" is as it must be", b.find(t, "publication", doctor.OK).Detail)
	b.exec(t, `ALTER PUBLICATION "SLOT" DROP TABLE outbox`)
	require.Contains(t, b.find(t, "publication", doctor.Failure).Detail, ", and this role may not set it up")
	b.cfg.Database.URL = super
	found := b.find(t, "publication", doctor.Warning)
	require.Regexp(t, "^publication "+slot+": .+: a relay that starts sets it right$", found.Detail)
	b.exec(t, found.Fix)
	b.find(t, "publication", doctor.OK)
}
