package schema_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
)

func TestFindTables_mapsWhatLooksLikeAnOutbox(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `
CREATE SCHEMA shop;
-- Debezium's outbox table.
CREATE TABLE shop.outboxevent (id uuid PRIMARY KEY, aggregatetype varchar(255), aggregateid varchar(255), type varchar(255), payload jsonb);
CREATE TABLE events (event_id bigint PRIMARY KEY, name text, data json, metadata jsonb, account_id int, "Created_At" timestamp);
CREATE TABLE outbox (id text PRIMARY KEY, type text, payload bytea, created_at timestamptz) PARTITION BY HASH (id);
CREATE TABLE outbox_0 PARTITION OF outbox FOR VALUES WITH (MODULUS 1, REMAINDER 0);
-- Not one of them: another name, no type, a payload of another type, a view.
CREATE TABLE orders (id text PRIMARY KEY, type text, payload jsonb);
CREATE TABLE outbox_nameless (id text PRIMARY KEY, payload jsonb);
CREATE TABLE outbox_numbers (id text PRIMARY KEY, type text, payload int);
CREATE VIEW outbox_view AS SELECT * FROM orders;
`)
	found, err := schema.FindTables(t.Context(), b.conn)
	require.NoError(t, err)
	require.Equal(t, []outbox.Mapping{
		{Table: "public.outbox", ID: "id", Type: "type", Payload: "payload", CreatedAt: "created_at"},
		{Table: "shop.outboxevent", ID: "id", Type: "type", Payload: "payload", Key: "aggregateid"},
		{Table: "public.events", ID: "event_id", Type: "name", Payload: "data", Headers: "metadata", Tenant: "account_id", CreatedAt: "Created_At"},
	}, found)
}

func TestFit_leavesOutWhatTheTableDoesNotHave(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := outbox.DefaultMapping()
	m.Optional = outbox.Optional{Key: true, Tenant: true}
	is, err := schema.Fit(t.Context(), b.conn, m)
	require.NoError(t, err)
	require.Equal(t, m, is, "there is no table yet")
	b.exec(t, "CREATE TABLE outbox (id uuid PRIMARY KEY, type text, payload jsonb, tenant text, key text); ALTER TABLE outbox DROP key")
	is, err = schema.Fit(t.Context(), b.conn, m)
	require.NoError(t, err)
	m.Key = ""
	require.Equal(t, m, is)
}
