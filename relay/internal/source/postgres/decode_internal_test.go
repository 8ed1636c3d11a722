package postgres

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// script is a Handler that writes down what it gets and checks what every Handler may rely on.
type script struct {
	t      testing.TB
	lines  []string
	rels   []*source.Table
	inside bool
	fail   error
}

func (s *script) Begin(tx Tx) error {
	require.False(s.t, s.inside)
	s.inside = true
	s.lines = append(s.lines, fmt.Sprintf("begin %d %s %s", tx.XID, tx.CommitLSN, tx.Time.Format(time.RFC3339Nano)))
	return s.fail
}

func (s *script) Change(op Op, rel *source.Table, row []outbox.Value) error {
	require.True(s.t, s.inside)
	line := fmt.Sprintf("%c %s.%s", op, rel.Schema, rel.Name)
	if op == Truncate {
		require.Nil(s.t, row)
	} else {
		require.Len(s.t, row, len(rel.Columns))
	}
	for i, v := range row {
		line += fmt.Sprintf(" %s:%c:%s", rel.Columns[i].Name, v.Kind, v.Data)
	}
	s.lines, s.rels = append(s.lines, line), append(s.rels, rel)
	return s.fail
}

func (s *script) Message(prefix string, content []byte) error {
	require.True(s.t, s.inside)
	s.lines = append(s.lines, "message "+prefix+" "+string(content))
	return s.fail
}

func (s *script) NonTransactional(prefix string) {
	s.lines = append(s.lines, "non-transactional "+prefix)
}

func (s *script) Commit(tx Tx) error {
	require.True(s.t, s.inside)
	s.inside = false
	s.lines = append(s.lines, "commit "+tx.EndLSN.String())
	return s.fail
}

func (s *script) Keepalive(outbox.LSN) error { return s.fail }
func (s *script) Ready() <-chan struct{}     { return nil }

// The pieces of pgoutput, made by hand.

type piece []byte

func (p piece) u8(v byte) piece      { return append(p, v) }
func (p piece) u16(v uint16) piece   { return binary.BigEndian.AppendUint16(p, v) }
func (p piece) u32(v uint32) piece   { return binary.BigEndian.AppendUint32(p, v) }
func (p piece) u64(v uint64) piece   { return binary.BigEndian.AppendUint64(p, v) }
func (p piece) text(v string) piece  { return append(append(p, v...), 0) }
func (p piece) sized(v string) piece { return append(p.u32(uint32(len(v))), v...) }

func begin(commit uint64, xid uint32) piece {
	return piece{'B'}.u64(commit).u64(1_000_001).u32(xid)
}

func commit(at uint64) piece { return piece{'C', 0}.u64(at).u64(at + 8).u64(1_000_001) }

func relation(oid uint32, schema, name string, columns ...string) piece {
	p := piece{'R'}.u32(oid).text(schema).text(name).u8('d').u16(uint16(len(columns)))
	for _, c := range columns {
		p = p.u8(1).text(c).u32(25).u32(0xffffffff)
	}
	return p
}

// values makes a tuple: "n" and "u" stand for NULL and unchanged, anything else for itself.
func (p piece) values(values ...string) piece {
	p = p.u16(uint16(len(values)))
	for _, v := range values {
		if v == "n" || v == "u" {
			p = append(p, v...)
			continue
		}
		p = p.u8('t').sized(v)
	}
	return p
}

func insert(oid uint32, values ...string) piece {
	return piece{'I'}.u32(oid).u8('N').values(values...)
}

func message(flags byte, prefix, content string) piece {
	return piece{'M'}.u8(flags).u64(5).text(prefix).sized(content)
}

func decodeAll(d *decoder, pieces ...piece) error {
	for _, p := range pieces {
		if err := d.decode(p); err != nil {
			return err
		}
	}
	return nil
}

// story has every kind of piece in it.
func story() []piece {
	return []piece{
		begin(0x1_00000010, 7),
		relation(1, "public", "outbox", "id", "payload"),
		{'Y', 0, 0, 0, 9, 'x', 0, 'y', 0},
		append(piece{'O'}.u64(3), "origin\x00"...),
		insert(1, "a", "n"),
		piece{'U'}.u32(1).u8('N').values("a", "u"),
		piece{'U'}.u32(1).u8('K').values("a", "n").u8('N').values("b", "u"),
		piece{'U'}.u32(1).u8('O').values("b", "x").u8('N').values("c", ""),
		piece{'D'}.u32(1).u8('K').values("c", "n"),
		piece{'D'}.u32(1).u8('O').values("c", "y"),
		relation(2, "", "endpoint", "id"),
		piece{'T'}.u32(2).u8(3).u32(1).u32(2),
		message(1, "tailpost", "one"),
		message(1, "tailpost", ""),
		message(0, "tailpost", "not of this transaction"),
		commit(0x1_00000010),
		message(0, "other", "between"),
		piece{'A'}.u32(8).u32(9),
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	s := &script{t: t}
	require.NoError(t, decodeAll(newDecoder(s), story()...))
	require.Equal(t, []string{
		"begin 7 1/10 2000-01-01T00:00:01.000001Z",
		"I public.outbox id:t:a payload:n:",
		"U public.outbox id:t:a payload:u:",
		"U public.outbox id:t:b payload:u:",
		"U public.outbox id:t:c payload:t:",
		"D public.outbox id:t:c payload:n:",
		"D public.outbox id:t:c payload:t:y",
		"T public.outbox",
		"T pg_catalog.endpoint",
		"message tailpost one",
		"message tailpost ",
		"non-transactional tailpost",
		"commit 1/18",
		"non-transactional other",
	}, s.lines)
}

func TestRelationIsNewOnlyWhenItChanged(t *testing.T) {
	t.Parallel()
	s := &script{t: t}
	require.NoError(t, decodeAll(newDecoder(s),
		begin(1, 1),
		relation(1, "public", "outbox", "id"), insert(1, "a"),
		relation(1, "public", "outbox", "id"), insert(1, "b"),
		relation(1, "public", "outbox", "key"), insert(1, "c"),
		relation(1, "public", "outbox", "key", "id"), insert(1, "d", "e"),
		relation(1, "public", "outbux", "key", "id"), insert(1, "d", "e"),
		relation(1, "elsewhere", "outbux", "key", "id"), insert(1, "d", "e"),
		relation(2, "public", "empty"), insert(2),
	))
	require.Same(t, s.rels[0], s.rels[1])
	require.NotSame(t, s.rels[1], s.rels[2])
	require.NotSame(t, s.rels[2], s.rels[3])
	require.NotSame(t, s.rels[3], s.rels[4])
	require.NotSame(t, s.rels[4], s.rels[5])
	require.Equal(t, "elsewhere", s.rels[5].Schema)
	require.Empty(t, s.rels[6].Columns, "a table may have none")
	require.Equal(t, "id", s.rels[0].Columns[0].Name, "a Table handed out changed")
}

// A domain may be made while the stream is on, and be gone before its rows are read.
func TestTheStreamNamesWhatADomainIsMadeOf(t *testing.T) {
	t.Parallel()
	for name, want := range map[[2]string]uint32{
		{"", "numeric"}: 1700, {"", "bytea"}: 17, {"", "timestamp"}: 1114, {"", "bpchar"}: 1042,
		{"", "no_type_of_ours"}: 0, {"public", "numeric"}: 0, {"public", "mood"}: 0,
	} {
		s := &script{t: t}
		require.NoError(t, decodeAll(newDecoder(s),
			begin(9, 1), piece{'Y'}.u32(20000).text(name[0]).text(name[1]),
			piece{'R'}.u32(7).text("public").text("outbox").u8('d').u16(2).u8(0).text("a").u32(20000).u32(0).u8(0).text("b").u32(20001).u32(0),
			insert(7, "x", "y"),
		))
		require.Equal(t, want, s.rels[0].Columns[0].BaseOID, name)
		require.Zero(t, s.rels[0].Columns[1].BaseOID, "of another type nothing was said")
	}
}

func TestUpdateTakesUnchangedValuesFromTheOldRow(t *testing.T) {
	t.Parallel()
	s := &script{t: t}
	d := newDecoder(s)
	unchanged := piece{}.u16(2).u8('t').sized("new").u8('u')
	require.NoError(t, decodeAll(d,
		begin(9, 1), relation(1, "tailpost", "endpoint", "id", "policy"),
		append(piece{'U'}.u32(1).u8('O').values("old", "long").u8('N'), unchanged...),
		append(piece{'U'}.u32(1).u8('N'), unchanged...),
		append(piece{'U'}.u32(1).u8('K').values("old", "").u8('N'), unchanged...),
	))
	require.Equal(t, []string{
		"U tailpost.endpoint id:t:new policy:t:long",
		"U tailpost.endpoint id:t:new policy:u:",
		"U tailpost.endpoint id:t:new policy:u:",
	}, s.lines[1:])
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	known := []piece{begin(9, 1), relation(1, "public", "outbox", "id")}
	for name, c := range map[string]struct {
		before []piece
		bad    piece
		want   string
	}{
		"nothing":                          {nil, piece{}, "empty"},
		"unknown code":                     {nil, piece{'Z'}, `'Z': unknown code`},
		"stream of protocol 2":             {nil, piece{'S', 0, 0, 0, 1, 1}, `'S': unknown code`},
		"begin within a transaction":       {known, begin(10, 2), "open already"},
		"commit without begin":             {nil, commit(9), "no transaction is open"},
		"commit of another transaction":    {known, commit(10), "commits at 0/A, the open transaction at 0/9"},
		"row outside a transaction":        {nil, insert(1, "a"), "no transaction is open"},
		"logical message outside":          {nil, message(1, "p", "c"), "no transaction is open"},
		"row behind a transaction":         {append(slices.Clone(known), commit(9)), insert(1, "a"), "no transaction is open"},
		"a second commit":                  {append(slices.Clone(known), commit(9)), commit(9), "no transaction is open"},
		"row of an unknown table":          {known, insert(2, "a"), "OID 2 was not described"},
		"truncate of an unknown table":     {known, piece{'T'}.u32(1).u8(0).u32(2), "OID 2 was not described"},
		"more columns than described":      {known, insert(1, "a", "b"), "row of 2 columns, public.outbox was described with 1"},
		"fewer columns than described":     {known, insert(1), "row of 0 columns"},
		"binary value":                     {known, piece{'I'}.u32(1).u8('N').u16(1).u8('b').sized("x"), `unknown kind 'b'`},
		"insert of an old row":             {known, piece{'I'}.u32(1).u8('K').values("a"), `unknown tuple 'K'`},
		"delete of a new row":              {known, piece{'D'}.u32(1).u8('N').values("a"), `unknown tuple 'N'`},
		"update without a new row":         {known, piece{'U'}.u32(1).u8('K').values("a").u8('K').values("a"), `unknown tuple 'K'`},
		"value longer than the piece":      {known, piece{'I'}.u32(1).u8('N').u16(1).u8('t').u32(0xffffffff), "cut short"},
		"content longer than the piece":    {known, piece{'M', 1}.u64(1).text("p").u32(0x7fffffff), "cut short"},
		"more columns than bytes":          {nil, piece{'R'}.u32(1).text("s").text("t").u8('d').u16(65535), "cut short"},
		"name without end":                 {nil, piece{'R'}.u32(1).text("s").u8('t'), "cut short"},
		"name without end before much":     {nil, append(piece{'R'}.u32(1).text("s"), bytes.Repeat([]byte{1}, 4000)...), "cut short"},
		"truncate of more than there are":  {known, piece{'T'}.u32(0xffffffff).u8(0).u32(1), "cut short"},
		"begin that ends early":            {nil, begin(1, 1)[:20], "cut short"},
		"commit that ends after its flags": {known, piece{'C', 0}, "cut short"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDecoder(&script{t: t})
			require.NoError(t, decodeAll(d, c.before...))
			require.ErrorContains(t, d.decode(c.bad), c.want)
		})
	}
}

func TestDecodeOfEveryPrefix(t *testing.T) {
	t.Parallel()
	for i, p := range story() {
		if p[0] == codeOrigin || p[0] == codeStreamAbort {
			continue // not read beyond the code
		}
		for n := range p {
			d := newDecoder(&script{t: t})
			require.NoError(t, decodeAll(d, story()[:i]...))
			want := "cut short"
			if n == 0 {
				want = "empty"
			}
			require.ErrorContains(t, d.decode(p[:n]), want, "piece %d (%c) cut to %d bytes", i, p[0], n)
		}
	}
}

func TestHandlerErrorsComeThrough(t *testing.T) {
	t.Parallel()
	s := &script{t: t, fail: errors.New("no")}
	d := newDecoder(s)
	for _, p := range story() {
		if err := d.decode(p); err != nil {
			require.ErrorIs(t, err, s.fail)
			require.Equal(t, "no", err.Error())
		}
	}
	require.Len(t, s.lines, 13, "the second table of a truncate is not tried")
}

func FuzzDecode(f *testing.F) {
	whole := []byte{}
	for _, p := range story() {
		whole = append(whole, piece{}.u16(uint16(len(p)))...)
		whole = append(whole, p...)
		f.Add([]byte(append(piece{}.u16(uint16(len(p))), p...)))
	}
	f.Add(whole)
	f.Fuzz(func(t *testing.T, data []byte) {
		d := newDecoder(&script{t: t})
		// Pieces with their lengths in front; the last takes what is left.
		for len(data) >= 2 {
			n := min(int(binary.BigEndian.Uint16(data)), len(data)-2)
			if d.decode(data[2:2+n]) != nil {
				return
			}
			data = data[2+n:]
		}
	})
}

// sink is a Handler that does nothing.
type sink struct{ rows, bytes int }

func (*sink) Begin(Tx) error               { return nil }
func (*sink) Message(string, []byte) error { return nil }
func (*sink) NonTransactional(string)      {}
func (*sink) Commit(Tx) error              { return nil }
func (*sink) Keepalive(outbox.LSN) error   { return nil }
func (*sink) Ready() <-chan struct{}       { return nil }
func (s *sink) Change(_ Op, _ *source.Table, row []outbox.Value) error {
	s.rows++
	for _, v := range row {
		s.bytes += len(v.Data)
	}
	return nil
}

// recording is the bytes of a connection that streams transactions of one 500-byte row each.
func recording(rows int) []byte {
	var all []byte
	add := func(p piece) {
		data := append(piece{'w'}.u64(1).u64(1).u64(1), p...)
		encoded, err := (&pgproto3.CopyData{Data: data}).Encode(nil)
		if err != nil {
			panic(err)
		}
		all = append(all, encoded...)
	}
	add(relation(1, "public", "outbox", "id", "type", "key", "tenant", "payload", "headers", "created_at"))
	row := insert(1, "018f3b5e-8d2c-7a61-b6f0-3d0f5a1c9e44", "order.created", "customer-42", "n",
		`{"data":"`+strings.Repeat("x", 380)+`"}`, `{"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}`, "2024-02-29 12:00:00.123456+00")
	for range rows {
		add(begin(1, 1))
		add(row)
		add(commit(1))
	}
	return all
}

func BenchmarkDecode(b *testing.B) {
	const rows = 1000
	data := recording(rows)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	h := &sink{}
	for b.Loop() {
		s := &Stream{contact: newContact(time.Now())}
		s.decoder = newDecoder(h)
		frontend := pgproto3.NewFrontend(strings.NewReader(string(data)), io.Discard)
		for {
			msg, err := frontend.Receive()
			if errors.Is(err, io.ErrUnexpectedEOF) {
				break
			}
			if err == nil {
				err = s.handle(msg)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(h.rows)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(h.bytes)/float64(h.rows), "B/row")
}

func TestRowsDoNotAllocate(t *testing.T) { //nolint:paralleltest // AllocsPerRun counts the whole process
	d := newDecoder(&sink{})
	pieces := []piece{begin(9, 1), relation(1, "public", "outbox", "id", "payload")}
	require.NoError(t, decodeAll(d, append(pieces, commit(9))...))
	transaction := []piece{
		begin(9, 1), insert(1, "a", "b"), message(1, "tailpost", "c"),
		piece{'U'}.u32(1).u8('O').values("b", "x").u8('N').values("c", "u"), piece{'D'}.u32(1).u8('O').values("c", "y"), commit(9),
	}
	require.NoError(t, decodeAll(d, transaction...))
	require.Zero(t, testing.AllocsPerRun(100, func() {
		for _, p := range transaction {
			if err := d.decode(p); err != nil {
				panic(err)
			}
		}
	}))
}
