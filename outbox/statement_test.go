package outbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
)

// recording is a transaction that only notes what it is asked to run.
type recording struct {
	statements []string
	args       [][]any
}

func (r *recording) Exec(_ context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	r.statements, r.args = append(r.statements, sql), append(r.args, args)
	return pgconn.CommandTag{}, nil
}

func (r *recording) Query(context.Context, string, ...any) (pgx.Rows, error) {
	return nil, pgx.ErrNoRows
}

func TestStatementsOfAWriter(t *testing.T) {
	t.Parallel()
	m := outbox.Mapping{Table: "app.events", ID: "nr", Type: "kind", Key: "k", Tenant: "who", Payload: "body", Headers: "meta", CreatedAt: "at"}

	t.Run("take the default of a column where a field is empty", func(t *testing.T) {
		t.Parallel()
		w, err := outbox.NewWriter(m)
		require.NoError(t, err)
		var tx recording
		_, err = w.Insert(t.Context(), &tx, outbox.Event{ID: "1", Type: "a"})
		require.NoError(t, err)
		require.Equal(t, []string{
			`INSERT INTO "app"."events" ("nr", "kind", "k", "who", "body", "meta", "at")` + "\n" +
				`VALUES ($1, $2` + strings.Repeat(", DEFAULT", 5) + `)`,
		}, tx.statements)
		require.Equal(t, [][]any{{"1", "a"}}, tx.args)
	})
	t.Run("hold every field as text, times in UTC and names of headers in lower case", func(t *testing.T) {
		t.Parallel()
		w, err := outbox.NewWriter(m)
		require.NoError(t, err)
		var tx recording
		_, err = w.Insert(t.Context(), &tx, outbox.Event{
			ID: "1", Type: "a", Key: "k", Tenant: "t", Payload: json.RawMessage(`{ "n" : 1.0 }`), Headers: map[string]string{"TraceParent": "00"},
			CreatedAt: time.Date(2026, 1, 31, 1, 2, 3, 4000, time.FixedZone("", -8*3600)),
		})
		require.NoError(t, err)
		require.Equal(t, [][]any{{"1", "a", "k", "t", `{ "n" : 1.0 }`, `{"traceparent":"00"}`, "2026-01-31T09:02:03.000004Z"}}, tx.args)
	})
	t.Run("are as few as the protocol lets them be, and lose no event", func(t *testing.T) {
		t.Parallel()
		w, err := outbox.NewWriter(m)
		require.NoError(t, err)
		events := make([]outbox.Event, 20_000)
		for i := range events {
			events[i] = outbox.Event{Type: "a", Key: fmt.Sprint(i)}
		}
		var tx recording
		ids, err := w.Insert(t.Context(), &tx, events...)
		require.NoError(t, err)
		require.Len(t, tx.statements, 3)
		var written []any
		for i, args := range tx.args {
			require.LessOrEqual(t, len(args), 65535)
			require.Equal(t, len(args), strings.Count(tx.statements[i], "$"))
			written = append(written, args...)
		}
		require.Len(t, slices.Compact(slices.Sorted(slices.Values(ids))), len(events), "each has an id of its own")
		for i := range events {
			require.Equal(t, []any{ids[i], "a", fmt.Sprint(i)}, written[3*i:3*i+3])
		}
	})
	t.Run("have no more parameters than the protocol lets them, whatever the events have", func(t *testing.T) {
		t.Parallel()
		full := m
		full.Extra = map[string]string{"region": "region", "shop": "shop", "total": "total"}
		w, err := outbox.NewWriter(full)
		require.NoError(t, err)
		events := make([]outbox.Event, 16_000)
		for i := range events {
			events[i] = outbox.Event{
				Type: "a", Key: "k", Tenant: "t", Payload: json.RawMessage("{}"), Headers: map[string]string{"a": "b"}, CreatedAt: time.Unix(1, 0),
				Extra: json.RawMessage(`{"region": "eu", "shop": "7", "total": "1"}`),
			}
		}
		var tx recording
		_, err = w.Insert(t.Context(), &tx, events...)
		require.NoError(t, err)
		written := 0
		for _, args := range tx.args {
			require.LessOrEqual(t, len(args), 65535)
			written += len(args)
		}
		require.Equal(t, 10*len(events), written)
	})
	t.Run("hold a bytea payload in its hex form", func(t *testing.T) {
		t.Parallel()
		w, err := outbox.NewWriter(m, outbox.WithByteaPayload())
		require.NoError(t, err)
		var tx recording
		_, err = w.Insert(t.Context(), &tx, outbox.Event{ID: "1", Type: "a", Payload: json.RawMessage(`"\\"`)})
		require.NoError(t, err)
		require.Equal(t, [][]any{{"1", "a", `\x225c5c22`}}, tx.args)
	})
}

func TestStatementsOfEmit(t *testing.T) {
	t.Parallel()
	var tx recording
	ids, err := outbox.Emit(t.Context(), &tx, "myapp", outbox.Event{ID: "1", Type: "a"}, outbox.Event{Type: "b", Payload: json.RawMessage(`{ "n" : 1.0 }`)})
	require.NoError(t, err)
	require.Equal(t, []string{
		"SELECT pg_logical_emit_message(true, $1::text, convert_to(v.content, 'UTF8'))\nFROM (VALUES ($2::text), ($3::text)) AS v (content)",
	}, tx.statements)
	require.Equal(t, [][]any{{"myapp", `{"id":"1","type":"a"}`, `{"id":"` + ids[1] + `","type":"b","data":{ "n" : 1.0 }}`}}, tx.args)

	many := make([]outbox.Event, 65535)
	for i := range many {
		many[i].Type = "a"
	}
	tx = recording{}
	_, err = outbox.Emit(t.Context(), &tx, "myapp", many...)
	require.NoError(t, err)
	require.Len(t, tx.args, 2, "the prefix is a parameter of each statement too")
	require.Len(t, tx.args[0], 65535)
	require.Len(t, tx.args[1], 2)
}

// What is emitted is read again with all that its application said of it.
func TestEmitWritesAllOfAnEvent(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 31, 1, 2, 3, 4000, time.UTC)
	e := outbox.Event{
		ID: "1", Type: "a", Key: "k", Tenant: "t", Payload: json.RawMessage(`{ "n" : 1.0 }`), Headers: map[string]string{"traceparent": "00"},
		Extra: json.RawMessage(`{"country":"AT"}`), CreatedAt: at, DeliverAt: at.Add(time.Hour), ExpiresAt: at.Add(2 * time.Hour),
	}
	var tx recording
	_, err := outbox.Emit(t.Context(), &tx, "myapp", e)
	require.NoError(t, err)
	content, _ := tx.args[0][1].(string)
	read, err := outbox.DecodeEmitted([]byte(content))
	require.NoError(t, err)
	require.Equal(t, e, read)
}

// What Tailpost tells about its own deliveries is known by its id too, which no application's event
// has.
func TestOperational(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		event outbox.Event
		want  bool
	}{
		{outbox.Event{ID: "op_1", Type: outbox.TypeFailed}, true},
		{outbox.Event{ID: "op_1", Type: outbox.TypeFailing}, true},
		{outbox.Event{ID: "op_1", Type: outbox.TypeRecovered}, true},
		{outbox.Event{ID: "op_1", Type: outbox.TypeDisabling}, true},
		{outbox.Event{ID: "op_1", Type: outbox.TypeDisabled}, true},
		{outbox.Event{ID: "1", Type: outbox.TypeFailed}, false},
		{outbox.Event{ID: "op_1", Type: "webhook.other"}, false},
		{outbox.Event{ID: "op_1", Type: "order.created"}, false},
	} {
		require.Equal(t, tc.want, tc.event.Operational(), tc.event)
	}
}
