package postgres

import (
	"bytes"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// TestEventsTellOnceOfAColumnThatIsLost: the rows of a table that loses an optional column are
// events still, and the log names the column when it goes, and only then.
func TestEventsTellOnceOfAColumnThatIsLost(t *testing.T) {
	t.Parallel()
	log := new(bytes.Buffer)
	s := &scribe{}
	m := outbox.DefaultMapping()
	m.Optional = outbox.Optional{Key: true, Tenant: true, Headers: true, CreatedAt: true}
	e := NewEvents(EventsOptions{
		Mapping: m, Lacks: []string{"headers", "created_at"}, Barriers: source.NewBarriers(1, nil), Logger: zerolog.New(log),
	}, s)
	d := newDecoder(e)
	said := func() []string {
		lines := strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
		log.Reset()
		return lines
	}
	require.NoError(t, decodeAll(d, begin(9, 1), relation(7, "public", "outbox", "id", "type", "payload", "key", "tenant"), insert(7, "a", "t", "1", "k", "x")))
	require.Equal(t, []string{""}, said(), "what the table was known to lack is nothing new")
	require.NoError(t, decodeAll(d, relation(7, "public", "outbox", "id", "type", "payload", "key", "tenant_id"), insert(7, "b", "t", "1", "k", "x"), insert(7, "c", "t", "1", "k", "x")))
	lost := said()
	require.Len(t, lost, 1)
	require.Contains(t, lost[0], `"level":"error","table":"public.outbox","column":"tenant","message":"the outbox table has lost a column`)
	require.NoError(t, decodeAll(d, relation(7, "public", "outbox", "id", "type", "payload", "k", "tenant_id"), insert(7, "d", "t", "1", "k", "x")))
	lost = said()
	require.Len(t, lost, 1, "each is told of once")
	require.Contains(t, lost[0], `"column":"key"`)
	require.NoError(t, decodeAll(d, relation(7, "public", "outbox", "id", "type", "payload", "k", "tenant"), insert(7, "e", "t", "1", "k", "x")))
	require.Equal(t, []string{""}, said())
	require.NoError(t, decodeAll(d, relation(7, "public", "outbox", "id", "type", "payload", "k", "tenant_id"), insert(7, "f", "t", "1", "k", "x")))
	require.Contains(t, said()[0], `"column":"tenant"`, "it came back, and goes again")
	require.Len(t, s.lines, 7, "all of them are events: %q", s.lines)
}

// TestWhyRowsDoNotFitNamesThePublication: a column that rows come without is missing in the table,
// or left out by the publication. A column of a wrong type is the table's own.
func TestWhyRowsDoNotFitNamesThePublication(t *testing.T) {
	t.Parallel()
	const list = `. If the table has it, then the column list of publication shop leaves it out: ALTER PUBLICATION "shop" SET TABLE "public"."outbox"`
	for name, is := range map[string]struct {
		table       piece
		publication string
		want        string
	}{
		"missing": {relation(7, "public", "outbox", "id", "type"), "shop", `outbox table public.outbox has no column "payload" (mapped to payload): its columns are id, type` + list},
		"missing, and nobody knows of a publication": {relation(7, "public", "outbox", "id", "type"), "", `its columns are id, type`},
		"of a wrong type": {
			piece{'R'}.u32(7).text("public").text("outbox").u8('d').u16(2).u8(1).text("id").u32(25).u32(0).u8(0).text("payload").u32(600).u32(0),
			"shop", `column "payload" cannot be the payload of events: want json, jsonb, text or bytea`,
		},
	} {
		log, s := new(bytes.Buffer), &scribe{}
		m := outbox.Mapping{Table: "public.outbox", ID: "id", Type: "id", Payload: "payload"}
		d := newDecoder(NewEvents(EventsOptions{Mapping: m, Publication: is.publication, Barriers: source.NewBarriers(1, nil), Logger: zerolog.New(log)}, s))
		require.NoError(t, decodeAll(d, begin(9, 1), is.table, insert(7, "a", "t")))
		require.Len(t, s.lines, 2, name)
		require.True(t, strings.HasSuffix(s.lines[1], is.want), "%s: %s", name, s.lines[1])
		require.Contains(t, log.String(), "rows of the outbox table no longer fit its mapping")
	}
}
