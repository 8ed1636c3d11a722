package postgres

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// scribe writes down what a stream brings.
type scribe struct{ lines []string }

func (s *scribe) line(format string, args ...any) {
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}
func (s *scribe) Begin(tx source.Tx) { s.line("begin %s", tx.Commit) }
func (s *scribe) Event(ev outbox.Event) {
	s.line("%d %s %s %s %s %s", ev.Seq, ev.ID, ev.Type, ev.Payload, ev.CommitLSN, ev.CreatedAt.UTC().Format(time.RFC3339))
}

func (s *scribe) Invalid(ev outbox.Event, problem error) {
	s.line("%d %s invalid: %s", ev.Seq, ev.ID, problem)
}

func (s *scribe) Endpoint(r source.Row) {
	s.line("endpoint %s deleted:%t place:%d seq:%d", r.Values[0].Data, r.Deleted, r.Place, r.Seq)
}
func (s *scribe) Due(endpoint string)         { s.line("due %s", endpoint) }
func (s *scribe) Commit(tx source.Tx)         { s.line("commit %s", tx.End) }
func (s *scribe) Keepalive(p source.Position) { s.line("keepalive %s", p) }
func (s *scribe) Ready() <-chan struct{}      { return nil }

func deleted(oid uint32, values ...string) piece {
	return piece{'D'}.u32(oid).u8('K').values(values...)
}

// TestEvents: what comes of each kind of change, in a transaction that commits at 0/40.
func TestEvents(t *testing.T) {
	t.Parallel()
	const (
		one         = "order.created"
		at          = " 0/40 2000-01-01T00:00:01Z"
		operational = `{"id":"` + outbox.OperationalID + `1","type":"` + outbox.TypeFailed + `","payload":{}}`
	)
	tables := []piece{
		relation(7, "public", "outbox", "id", "type", "payload"), relation(8, "tailpost", "endpoint", "id"),
		relation(9, "public", "orders", "id"), relation(6, "other", "outbox", "id", "type", "payload"),
	}
	a, b := "0 a "+one+" 1"+at, "1 b "+one+" 2"+at
	row := func(values ...string) piece { return insert(7, values...) }
	own := func(text string) piece { return message(1, "tailpost", text) }
	due, err := DueMessage("e1")
	require.NoError(t, err)
	for name, test := range map[string]struct {
		settled uint64
		changes []piece
		want    []string // an entry that ends with a colon and a space is the beginning
		log     string
	}{
		"rows":                 {changes: []piece{row("a", one, "1"), row("b", one, "2")}, want: []string{a, b}},
		"rows of other tables": {changes: []piece{insert(9, "a"), insert(6, "a", one, "1")}},
		"under another name": {
			changes: []piece{relation(7, "app", "events", "id", "type", "payload"), row("a", one, "1"), deleted(7, "b", "n", "old"), row("b", one, "new")},
			want:    []string{a},
		},
		"of the table before":   {changes: []piece{relation(5, "public", "outbox", "id", "type", "payload"), insert(5, "a", one, "1")}, want: []string{a}},
		"an update":             {changes: []piece{piece{'U'}.u32(7).u8('N').values("a", one, "1")}},
		"a delete":              {changes: []piece{deleted(7, "a", "n", "n")}},
		"a truncate":            {changes: []piece{piece{'T'}.u32(2).u8(0).u32(7).u32(8)}},
		"a row without a type":  {changes: []piece{row("a", "n", "1"), row("b", one, "2")}, want: []string{"0 a invalid: ", b}},
		"a row without an id":   {changes: []piece{row("a", one, "1"), row("n", one, "2")}, want: []string{a, "1 msg_40_1 invalid: "}},
		"a long id":             {changes: []piece{row(strings.Repeat("x", 2000), one, "1")}, want: []string{"0 msg_40_0 invalid: "}},
		"begins at the border":  {settled: 0x40, changes: []piece{row("a", one, "1")}, want: []string{a}},
		"moved":                 {changes: []piece{deleted(7, "a", "n", "old"), row("a", one, "new"), row("a", one, "1")}, want: []string{a}},
		"deleted and made anew": {changes: []piece{deleted(7, "a", "n", "n"), row("a", one, "1")}, want: []string{a}},
		"deleted, and another":  {changes: []piece{deleted(7, "a", "n", "old"), row("z", one, "new"), row("a", one, "1")}, want: []string{"0 z " + one + " new" + at, "1" + a[1:]}},
		"deleted without an id": {changes: []piece{deleted(7, "n", one, "old"), row("n", one, "new")}, want: []string{"0 msg_40_0 invalid: "}},
		"settled before": {
			settled: 0x41,
			changes: []piece{row("a", one, "1"), insert(8, "ep"), message(1, "app", `{"type":"x","payload":{}}`), own(`{"event":` + operational + `}`)},
		},
		"endpoints": {
			changes: []piece{insert(8, "e1"), row("a", one, "1"), piece{'U'}.u32(8).u8('N').values("e1"), deleted(8, "e1")},
			want: []string{
				"endpoint e1 deleted:false place:0 seq:0", a, "endpoint e1 deleted:false place:1 seq:1", "endpoint e1 deleted:true place:2 seq:1",
			},
		},
		"a table that does not fit": {
			changes: []piece{
				relation(7, "public", "outbox", "id", "payload"), row("a", "1"), row("z", "1"),
				relation(7, "public", "outbox", "id", "type", "payload"), row("b", one, "2"),
			},
			want: []string{"0 a invalid: ", "1 z invalid: ", "2" + b[1:]}, log: "rows of the outbox table no longer fit its mapping",
		},
		"messages": {
			changes: []piece{
				message(1, "app", `{"id":"m","type":"x","payload":{}}`), message(1, "app", `{"type":"x","payload":{}}`), message(1, "else", "{}"), message(1, "app", "no"),
			},
			want: []string{"0 m x {}" + at, "1 msg_40_1 x {}" + at, "2 msg_40_2 invalid: "},
		},
		"messages outside": {
			changes: []piece{message(0, "app", "{}"), message(0, "app", "{}")}, log: "logical messages outside of transactions are not events",
		},
		"messages of others outside": {changes: []piece{message(0, "else", "{}"), message(0, "", "{}")}},
		"our own": {
			changes: []piece{own(due), own(`{"event":` + operational + `}`)},
			want:    []string{"due e1", "0 " + outbox.OperationalID + "1 " + outbox.TypeFailed + " {}" + at},
		},
		"due is told though it was settled": {settled: 0x99, changes: []piece{own(due)}, want: []string{"due e1"}},
		"a joke":                            {changes: []piece{own("hi")}, log: "is not JSON and is ignored"},
		"an event that is not ours":         {changes: []piece{own(`{"event":{"id":"m","type":"x","payload":{}}}`)}, log: "is not an operational event and is ignored"},
		"one of ours that cannot be read": {
			changes: []piece{own(`{"event":` + strings.Replace(operational, "{}", "3,", 1) + `}`)},
			log:     "a logical message with prefix tailpost is not",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := new(bytes.Buffer)
			s := &scribe{}
			e := NewEvents(EventsOptions{
				Mapping:  outbox.Mapping{Table: "public.outbox", ID: "id", Type: "type", Payload: "payload"},
				Table:    7,
				Messages: "app", Settled: source.Position(test.settled), Barriers: source.NewBarriers(1, nil), Logger: zerolog.New(log),
			}, s)
			d := newDecoder(e)
			require.NoError(t, decodeAll(d, begin(0x30, 1)))
			require.NoError(t, decodeAll(d, tables...))
			// What is of the transaction before is no part of this one.
			require.NoError(t, decodeAll(d, deleted(7, "a", "n", "old"), commit(0x30), begin(0x40, 2)))
			s.lines = nil
			require.NoError(t, decodeAll(d, test.changes...))
			require.Len(t, s.lines, len(test.want), "%q", s.lines)
			for i, want := range test.want {
				require.True(t, s.lines[i] == want || strings.HasSuffix(want, ": ") && strings.HasPrefix(s.lines[i], want), "%q instead of %q", s.lines[i], want)
			}
			require.NoError(t, decodeAll(d, commit(0x40)))
			require.Equal(t, "commit 0/48", s.lines[len(s.lines)-1])
			if test.log == "" {
				require.Empty(t, log.String())
			} else {
				require.Contains(t, log.String(), test.log)
				require.Equal(t, max(1, strings.Count(log.String(), "prefix tailpost")), strings.Count(log.String(), "\n"), log)
			}
			// Numbers of events and rows begin anew, and the bytes of what came are not kept.
			require.NoError(t, decodeAll(d, begin(0x150, 3), insert(8, "e2"), insert(7, "z", one, "1"), commit(0x150)))
			require.Equal(t, []string{
				"begin 0/150", "endpoint e2 deleted:false place:0 seq:0", "0 z " + one + " 1 0/150 2000-01-01T00:00:01Z", "commit 0/158",
			}, s.lines[len(s.lines)-4:])
		})
	}
}

// What a message spells and the database cannot write down is on record as dead, under what of its
// names the database knows; in others it is an event.
func TestMessagesThatTheDatabaseCannotWriteDown(t *testing.T) {
	t.Parallel()
	for encoding, known := range map[string]string{"": "aé€", "UTF8": "aé€", "SQL_ASCII": "aé€", "LATIN1": "aé", "LATIN2": "a"} {
		for _, name := range []string{"a", "é", "€"} {
			s := &scribe{}
			d := newDecoder(NewEvents(EventsOptions{Messages: "app", Encoding: encoding, Barriers: source.NewBarriers(1, nil), Logger: zerolog.Nop()}, s))
			spelt := strings.NewReplacer("é", `\u00e9`, "€", `\u20ac`).Replace(name)
			require.NoError(t, decodeAll(d, begin(0x40, 2), message(1, "app", `{"id": "m", "type": "`+spelt+`", "key": "`+spelt+`", "payload": {}}`), commit(0x40)))
			want := "0 m " + name + " {}"
			if !strings.Contains(known, name) {
				want = "0 m invalid: key of the event has characters that a database in " + encoding + " may not know"
			}
			require.Contains(t, strings.Join(s.lines, "\n"), want, "%s in %s", name, encoding)
		}
	}
}

// A marker is passed where its transaction ends, also where that is settled, and in its own only.
func TestEventsPassBarriers(t *testing.T) {
	t.Parallel()
	sent := make(chan string, 1)
	barriers := source.NewBarriers(7, func(_ context.Context, name string) error {
		sent <- name
		return nil
	})
	passed := make(chan source.Position, 1)
	go func() {
		end, err := barriers.Wait(t.Context())
		if err == nil {
			passed <- end
		}
	}()
	name := <-sent
	d := newDecoder(NewEvents(EventsOptions{Barriers: barriers, Settled: 0x99, Logger: zerolog.Nop()}, &scribe{}))
	marker, err := BarrierMessage(name)
	require.NoError(t, err)
	require.Contains(t, marker, name)
	require.NoError(t, decodeAll(d, begin(0x40, 1), message(1, "tailpost", marker)))
	barriers.Settled(0x1000)
	require.Empty(t, passed, "its transaction has not ended")
	require.NoError(t, decodeAll(d, commit(0x40), begin(0x50, 2), commit(0x50)))
	barriers.Settled(0x48)
	require.Equal(t, source.Position(0x48), <-passed)
}

// A message's prefix and a row that is to be compared are kept beyond the call in copies.
func TestEventsKeepCopies(t *testing.T) {
	t.Parallel()
	s := &scribe{}
	d := newDecoder(NewEvents(EventsOptions{
		Mapping: outbox.Mapping{Table: "public.outbox", ID: "id", Type: "type", Payload: "payload"}, Barriers: source.NewBarriers(1, nil), Logger: zerolog.Nop(),
	}, s))
	gone := deleted(7, "a", "n", "old")
	require.NoError(t, decodeAll(d, begin(9, 1), relation(7, "public", "outbox", "id", "type", "payload"), gone))
	clear(gone)
	require.NoError(t, decodeAll(d, insert(7, "a", "t", "old")))
	require.Len(t, s.lines, 2, "the same key: it is another row, and an event")
}

// Where nobody asks for messages, those without a prefix are no events either.
func TestEventsOfNoPrefix(t *testing.T) {
	t.Parallel()
	log := new(bytes.Buffer)
	s := &scribe{}
	e := NewEvents(EventsOptions{Barriers: source.NewBarriers(1, nil), Logger: zerolog.New(log)}, s)
	d := newDecoder(e)
	require.NoError(t, decodeAll(d, begin(9, 1), message(1, "", `{"type":"x","payload":{}}`), message(0, "", "{}"), commit(9)))
	require.NoError(t, e.Keepalive(0x99))
	require.Equal(t, []string{"begin 0/9", "commit 0/11", "keepalive 0/99"}, s.lines)
	require.Empty(t, log.String())
}

// A time without a zone is one of the zone of the database, and a row keeps its time.
func TestEventsHaveTheTimesOfTheirRows(t *testing.T) {
	t.Parallel()
	for zone, want := range map[*time.Location]string{nil: "2026-03-01T12:00:00Z", time.FixedZone("CET", 3600): "2026-03-01T11:00:00Z"} {
		s := &scribe{}
		d := newDecoder(NewEvents(EventsOptions{
			Mapping: outbox.Mapping{Table: "public.outbox", ID: "id", Type: "type", Payload: "payload", CreatedAt: "at"},
			Zone:    zone, Barriers: source.NewBarriers(1, nil), Logger: zerolog.Nop(),
		}, s))
		timed := piece{'R'}.u32(7).text("public").text("outbox").u8('d').u16(4)
		timed = timed.u8(1).text("id").u32(25).u32(0).u8(0).text("type").u32(25).u32(0).u8(0).text("payload").u32(25).u32(0).u8(0).text("at").u32(1114).u32(0)
		require.NoError(t, decodeAll(d, begin(9, 1), timed, insert(7, "a", "t", "1", "2026-03-01 12:00:00")))
		require.Equal(t, "0 a t 1 0/9 "+want, s.lines[1])
	}
}

// An id of a padded type is the same without its padding, also in a row that is no event.
func TestEventsHaveIDsWithoutTheirPadding(t *testing.T) {
	t.Parallel()
	for oid, want := range map[uint32]string{25: "a  ", 1042: "a", 7777: "a"} {
		s := &scribe{}
		d := newDecoder(NewEvents(EventsOptions{
			Mapping: outbox.Mapping{Table: "public.outbox", ID: "id", Type: "type", Payload: "payload"}, Barriers: source.NewBarriers(1, nil), Logger: zerolog.Nop(),
		}, s))
		d.domains = map[uint32]uint32{7777: 1042}
		table := piece{'R'}.u32(7).text("public").text("outbox").u8('d').u16(2).u8(0).text("x").u32(25).u32(0).u8(1).text("id").u32(oid).u32(0)
		require.NoError(t, decodeAll(d, begin(9, 1), table, insert(7, "not it", "a  ")))
		require.True(t, strings.HasPrefix(s.lines[1], "0 "+want+" invalid: "), s.lines[1])
	}
}
