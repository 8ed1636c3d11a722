package ledger_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
)

// The identity is of the publication, the table and the tie between them: a table of the same name
// in another schema, and ties to others, are none of it.
func TestPublication_isTheIdentityOfOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, schema := range []string{"a", "b"} {
		b.exec(t, "CREATE SCHEMA "+schema)
		for _, table := range []string{"first", "events", "last"} {
			b.exec(t, "CREATE TABLE "+schema+"."+table+" (id bigint PRIMARY KEY)")
		}
	}
	b.exec(t, `CREATE PUBLICATION one FOR TABLE a.first, a.events, b.events`)
	b.exec(t, `CREATE PUBLICATION two FOR TABLE a.last, a.events, b.events, b.last`)
	b.exec(t, `CREATE PUBLICATION three`)
	tied := 0
	for _, publication := range []string{"one", "two", "three"} {
		for _, table := range []string{"a.first", "a.events", "a.last", "b.first", "b.events", "b.last"} {
			var want string
			require.NoError(t, b.conn.QueryRow(t.Context(), `
SELECT format('%s.%s.%s.%s.%s', p.oid, p.xmin, $2::regclass::oid, r.oid, r.xmin)
FROM (SELECT oid, xmin FROM pg_publication WHERE pubname = $1) AS p
LEFT JOIN (SELECT oid, xmin, prpubid FROM pg_publication_rel WHERE prrelid = $2::regclass) AS r ON r.prpubid = p.oid`,
				publication, table).Scan(&want))
			got, err := b.ledger.Publication(t.Context(), publication, outbox.Mapping{Table: table})
			require.NoError(t, err)
			require.Equal(t, want, got, "%s of %s", table, publication)
			if got[len(got)-1] != '.' {
				tied++
			}
		}
	}
	require.Equal(t, 7, tied)
	none, err := b.ledger.Publication(t.Context(), "four", outbox.Mapping{Table: "a.events"})
	require.NoError(t, err)
	require.Empty(t, none)
	gone, err := b.ledger.Publication(t.Context(), "one", outbox.Mapping{Table: "a.gone"})
	require.NoError(t, err)
	require.Regexp(t, `^\d+\.\d+\.\.\.$`, gone)
}

// A slot has two publications, and each has its table's identity.
func TestPublications_areOfEventsAndOfEndpoints(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `CREATE TABLE events (id bigint PRIMARY KEY)`)
	b.exec(t, `CREATE PUBLICATION s FOR TABLE events`)
	b.exec(t, `CREATE PUBLICATION s_endpoint FOR TABLE tailpost.endpoint`)
	m := outbox.Mapping{Table: "public.events"}
	read := func() (events, endpoints string) {
		events, endpoints, err := b.ledger.Publications(t.Context(), "s", m)
		require.NoError(t, err)
		want, err := b.ledger.Publication(t.Context(), "s", m)
		require.NoError(t, err)
		require.Equal(t, want, events)
		return events, endpoints
	}
	events, endpoints := read()
	require.NotContains(t, endpoints, "..", "the table is in it")
	b.exec(t, `ALTER PUBLICATION s_endpoint SET (publish = 'insert')`)
	same, another := read()
	require.Equal(t, events, same)
	require.NotEqual(t, endpoints, another)
	b.exec(t, `DROP PUBLICATION s_endpoint`)
	same, another = read()
	require.Equal(t, events, same)
	require.Empty(t, another)
}

// The stream brings nothing of a table that inherits from the outbox: from then on it is another
// outbox than the one that it was set up with.
func TestPublication_isAnotherOnceTheTableIsInherited(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `CREATE TABLE plain (id bigint PRIMARY KEY)`)
	b.exec(t, `CREATE TABLE parted (id bigint PRIMARY KEY) PARTITION BY RANGE (id)`)
	b.exec(t, `CREATE PUBLICATION p FOR TABLE plain, parted`)
	identity := func(table string) string {
		got, err := b.ledger.Publication(t.Context(), "p", outbox.Mapping{Table: "public." + table})
		require.NoError(t, err)
		return got
	}
	plain, parted := identity("plain"), identity("parted")
	b.exec(t, `CREATE TABLE part PARTITION OF parted DEFAULT`)
	require.Equal(t, parted, identity("parted"), "a partition is a part of its table")
	require.Equal(t, plain, identity("plain"))
	b.exec(t, `CREATE TABLE child () INHERITS (plain)`)
	require.NotEqual(t, plain, identity("plain"))
	b.exec(t, `ALTER TABLE child NO INHERIT plain`)
	require.Equal(t, plain, identity("plain"))
}
