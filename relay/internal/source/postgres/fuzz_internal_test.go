package postgres

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// judge is what a stream brings its events to. It checks what intake relies on.
type judge struct {
	t      testing.TB
	inside bool
	next   int64 // place of the next event
	commit source.Position
}

func (j *judge) Begin(tx source.Tx) {
	require.False(j.t, j.inside)
	j.inside, j.next, j.commit = true, 0, tx.Commit
}

func (j *judge) event(ev *outbox.Event) {
	require.True(j.t, j.inside)
	require.Equal(j.t, j.next, ev.Seq, "events of a transaction are numbered in their order")
	require.Equal(j.t, outbox.LSN(j.commit), ev.CommitLSN)
	require.NotEmpty(j.t, ev.ID)
	require.NoError(j.t, source.Unrecordable(ev), "whatever came, it can be recorded")
	require.False(j.t, ev.CreatedAt.IsZero())
	j.next++
}

func (j *judge) Event(ev outbox.Event) { j.event(&ev) }

func (j *judge) Invalid(ev outbox.Event, problem error) {
	require.Error(j.t, problem)
	j.event(&ev)
}

func (j *judge) Endpoint(row source.Row) {
	require.True(j.t, j.inside)
	require.Len(j.t, row.Values, len(row.Table.Columns))
}

func (j *judge) Due(string) { require.True(j.t, j.inside) }

func (j *judge) Commit(source.Tx) {
	require.True(j.t, j.inside)
	j.inside = false
}

func (j *judge) Keepalive(source.Position) { require.False(j.t, j.inside) }
func (j *judge) Ready() <-chan struct{}    { return nil }

// FuzzStream sends pieces of the copy stream through all that reads them, up to events: sequences
// of messages that Postgres would send, cut short, out of order and with lengths that lie.
func FuzzStream(f *testing.F) {
	framed := func(p []byte) []byte {
		data := append(piece{'w'}.u64(1).u64(1).u64(1), p...)
		return append(piece{}.u16(uint16(len(data))), data...)
	}
	columns := []string{"id", "type", "key", "tenant", "payload", "headers"}
	moved := piece{'D'}.u32(7).u8('K').values("a", "n", "n", "n", "n", "n")
	transaction := []piece{
		begin(16, 1),
		relation(7, "public", "outbox", columns...),
		relation(8, "tailpost", "endpoint", "id", "url"),
		insert(7, "a", "order.created", "k", "t", `{"n": 1}`, `{"traceparent": "x"}`),
		insert(7, "b", "n", "n", "n", "n", "n"),
		moved,
		insert(7, "a", "order.created", "k", "t", "{}", "n"),
		insert(8, "ep_1", "https://example.com/"),
		message(1, "app", `{"type": "x", "payload": {}}`),
		message(1, "tailpost", `{"mark": "m"}`),
		relation(7, "public", "outbox", "id", "type"),
		insert(7, "c", "d"),
		commit(16),
	}
	var whole []byte
	for _, p := range append(story(), transaction...) {
		whole = append(whole, framed(p)...)
	}
	f.Add(whole)
	whole = nil
	for _, p := range append(transaction, transaction...) {
		whole = append(whole, framed(p)...)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte(append(piece{}.u16(18), append(piece{'k'}.u64(99).u64(1), 0)...)))
	f.Fuzz(func(t *testing.T, data []byte) {
		j := &judge{t: t}
		s := &Stream{contact: newContact(time.Now())}
		s.decoder = newDecoder(NewEvents(EventsOptions{
			Mapping:  outbox.Mapping{Table: "public.outbox", ID: "id", Type: "type", Key: "key", Tenant: "tenant", Payload: "payload", Headers: "headers"},
			Messages: "app", Barriers: source.NewBarriers(1, nil), Logger: zerolog.Nop(),
		}, j))
		for len(data) >= 2 {
			n := min(int(binary.BigEndian.Uint16(data)), len(data)-2)
			piece := data[2 : 2+n]
			if n > 17 && piece[0] == copyKeepalive {
				piece[17] = 0 // an answer needs a connection
			}
			if s.copied(piece) != nil {
				return
			}
			require.LessOrEqual(t, len(s.decoder.row), len(data)+n, "no length makes it allocate more than came")
			data = data[2+n:]
		}
	})
}
