package jetstream

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// text is any bytes: a database in SQL_ASCII holds what is no UTF-8.
var text = rapid.Custom(func(t *rapid.T) string {
	if rapid.Bool().Draw(t, "odd") {
		return string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
	}
	return rapid.String().Draw(t, "string")
})

// raw is bytes, empty or nil.
var raw = rapid.Custom(func(t *rapid.T) []byte {
	if rapid.IntRange(0, 3).Draw(t, "nil") == 0 {
		return nil
	}
	return rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
})

var instant = rapid.Custom(func(t *rapid.T) time.Time {
	if rapid.IntRange(0, 3).Draw(t, "zero") == 0 {
		return time.Time{}
	}
	return time.Unix(rapid.Int64Range(-1e12, 1e12).Draw(t, "sec"), rapid.Int64Range(0, 999_999_999).Draw(t, "nano")).UTC()
})

var anyEvent = rapid.Custom(func(t *rapid.T) outbox.Event {
	ev := outbox.Event{
		ID: text.Draw(t, "id"), Type: text.Draw(t, "type"), Key: text.Draw(t, "key"), Tenant: text.Draw(t, "tenant"),
		Payload: raw.Draw(t, "payload"), Extra: raw.Draw(t, "extra"), CreatedAt: instant.Draw(t, "created"),
		DeliverAt: instant.Draw(t, "deliver"), ExpiresAt: instant.Draw(t, "expires"),
		CommitLSN: outbox.LSN(rapid.Uint64().Draw(t, "lsn")), Seq: rapid.Int64().Draw(t, "seq"),
	}
	if rapid.Bool().Draw(t, "headers") {
		ev.Headers = rapid.MapOf(text, text).Draw(t, "headers")
	}
	return ev
})

var anyRow = rapid.Custom(func(t *rapid.T) source.Row {
	r := source.Row{
		Table:   &source.Table{OID: rapid.Uint32().Draw(t, "oid"), Schema: text.Draw(t, "schema"), Name: text.Draw(t, "name")},
		Deleted: rapid.Bool().Draw(t, "deleted"), Place: rapid.Int64().Draw(t, "place"), Seq: rapid.Int64().Draw(t, "seq"),
	}
	for range rapid.IntRange(0, 4).Draw(t, "columns") {
		r.Table.Columns = append(r.Table.Columns, outbox.Column{
			Name: text.Draw(t, "column"), TypeOID: rapid.Uint32().Draw(t, "type"), BaseOID: rapid.Uint32().Draw(t, "base"), TypeName: text.Draw(t, "type name"),
		})
		r.Values = append(r.Values, outbox.Value{
			Kind: rapid.SampledFrom([]outbox.ValueKind{outbox.NullValue, outbox.UnchangedTOAST, outbox.TextValue}).Draw(t, "kind"), Data: raw.Draw(t, "value"),
		})
	}
	return r
})

// Whatever an event or a row is, it comes out of a message as it went in, in its order.
func TestABatchComesOutAsItWentIn(t *testing.T) {
	t.Parallel()
	c := newCodec()
	rapid.Check(t, func(t *rapid.T) {
		in := head{
			Version: version, Epoch: rapid.Int64().Draw(t, "epoch"), Number: rapid.Uint64Min(1).Draw(t, "number"),
			Origin: text.Draw(t, "origin"), Timeline: rapid.Int32().Draw(t, "timeline"),
		}
		if rapid.Bool().Draw(t, "open") {
			in.Open = &wireCommit{Commit: source.Position(rapid.Uint64().Draw(t, "commit")), At: momentOf(instant.Draw(t, "at"))}
		}
		message := c.encode(in)
		var want []any
		for range rapid.IntRange(0, 5).Draw(t, "entries") {
			if rapid.Bool().Draw(t, "event") {
				ev := anyEvent.Draw(t, "event")
				want = append(want, ev)
				message = append(message, c.event(&ev)...)
			} else {
				row := anyRow.Draw(t, "row")
				want = append(want, row)
				message = append(message, c.row(&row, c.table(row.Table))...)
			}
		}
		message = append(message, c.encode(entry{Kind: keepaliveEntry, Position: 7})...)
		sent := bytes.Clone(message)

		out, rest, err := c.decodeHead(message)
		require.NoError(t, err)
		require.Equal(t, in, out)
		var got []any
		for {
			var e entry
			e, rest, err = c.next(rest)
			require.NoError(t, err)
			if e.Kind == keepaliveEntry {
				require.EqualValues(t, 7, e.Position)
				break
			}
			if e.Event != nil {
				got = append(got, e.Event.outbox())
				continue
			}
			table, err := c.decodeTable(e.Row.Table)
			require.NoError(t, err)
			got = append(got, e.Row.source(table))
		}
		require.Empty(t, rest)
		require.Equal(t, sent, message)
		clear(message) // the events are kept; the message is not
		require.Equal(t, want, got)
	})
}

// The form is a promise to messages that are stored: a change of it needs another version.
func TestTheFormOfAMessage(t *testing.T) {
	t.Parallel()
	w := newWriterOf(By{Origin: "sys", Timeline: 2, Epoch: 7})
	w.thing(&thing{begin: &wireCommit{Commit: 16, At: momentOf(time.Unix(5, 6))}, event: -1, row: -1})
	w.thing(&thing{event: 1, row: -1})
	w.thing(&thing{event: -1, row: -1, commit: 32})
	require.Equal(t, "\xa5\x01\x01\x02\x07\x03\x01\x04csys\x05\x02"+
		"\xa2\x01\x01\x02\xa2\x01\x10\x02\x82\x05\x06"+
		"\xa2\x01\x02\x03\xa8\x01ae\x02aa\x05\xf6\x06\xf6\x07\xf6\x08\x82\x3b\x00\x00\x00\x0e\x77\x91\xf6\xff\x00\x0b\x10\x0c\x01"+
		"\xa2\x01\x05\x06\x18\x20", string(w.cut()))
}

// What lacks something that is read of it is refused, in words that say whose it is.
func TestAnEntryLacksNothing(t *testing.T) {
	t.Parallel()
	c := newCodec()
	for k := range pieceEntry + 2 {
		_, _, err := c.next(c.encode(entry{Kind: k}))
		if k == dueEntry || k == commitEntry || k == keepaliveEntry {
			require.NoError(t, err, "kind %d", k)
			continue
		}
		require.ErrorIs(t, err, errForm, "kind %d", k)
	}
	_, _, err := c.decodeHead(c.encode(map[int]int{}))
	require.ErrorIs(t, err, errForm, "a head without a version")
	_, _, err = c.decodeHead(c.encode(map[int]int{1: 2}))
	require.NotErrorIs(t, err, errForm, "a head of another version")
}

func FuzzMessage(f *testing.F) {
	w := newWriter(1)
	w.thing(&thing{begin: &wireCommit{Commit: 16}, event: -1, row: -1})
	w.thing(&thing{event: 1, row: -1})
	w.thing(&thing{event: -1, row: 1})
	f.Add(w.cut())
	w.add(entry{Kind: pieceEntry, Piece: &piece{Last: true, Data: []byte{0xa1, 1, 4}}})
	w.thing(&thing{event: -1, row: -1, commit: 32})
	w.thing(&thing{event: -1, row: -1, alive: 64})
	f.Add(w.cut())
	f.Add([]byte("hello"))
	// Entries at places where a reader has none.
	w.thing(&thing{event: -1, row: 1})
	f.Add(w.cut())
	w.thing(&thing{begin: &wireCommit{Commit: 16}, event: -1, row: -1})
	w.thing(&thing{event: -1, row: -1, alive: 64})
	w.thing(&thing{event: -1, row: -1, commit: 32})
	f.Add(w.cut())
	f.Fuzz(func(t *testing.T, message []byte) {
		r := newReading(0)
		_ = r.take(message)
		require.NoError(t, r.wrong)
	})
}

// What one event costs on its way through a message, without the network.
func BenchmarkEvent(b *testing.B) {
	ev := outbox.Event{
		ID: "0198a000-0000-7000-8000-000000000001", Type: "order.created", Key: "order-1", Tenant: "acme",
		Payload: []byte(`{"filler": "` + strings.Repeat("x", 486) + `"}`), Headers: map[string]string{"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
		CreatedAt: time.Now(), CommitLSN: 1 << 40, Seq: 7,
	}
	c := newCodec()
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c.event(&ev)
		}
	})
	item := c.event(&ev)
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			e, _, err := c.next(item)
			if err != nil {
				b.Fatal(err)
			}
			_ = e.Event.outbox()
		}
	})
}
