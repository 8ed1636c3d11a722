package outbox_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
)

// timed maps both times of events.
func timed() outbox.Mapping {
	return outbox.Mapping{Table: "public.outbox", ID: "id", Type: "type", Payload: "payload", DeliverAt: "due", ExpiresAt: "until"}
}

func TestDecoder_readsTheTimesOfEvents(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	noon := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		oid                  uint32
		deliver, expires     string
		deliverAt, expiresAt time.Time
		err                  string
	}{
		"timestamptz":            {pgtype.TimestamptzOID, "2026-01-31 12:00:00+00", "2026-01-31 14:00:00+02", noon, noon, ""},
		"timestamp of the zone":  {pgtype.TimestampOID, "2026-01-31 13:00:00", "2026-07-31 14:00:00", noon, time.Date(2026, 7, 31, 12, 0, 0, 0, time.UTC), ""},
		"date of the zone":       {pgtype.DateOID, "2026-02-01", "2026-02-02", time.Date(2026, 1, 31, 23, 0, 0, 0, time.UTC), time.Date(2026, 2, 1, 23, 0, 0, 0, time.UTC), ""},
		"none":                   {pgtype.TimestamptzOID, "", "", time.Time{}, time.Time{}, ""},
		"at once, never":         {pgtype.TimestamptzOID, "-infinity", "infinity", time.Time{}, time.Time{}, ""},
		"long ago, in ages":      {pgtype.TimestamptzOID, "0044-03-15 00:00:00+00 BC", "12026-01-31 12:00:00+00", time.Time{}, time.Time{}, ""},
		"over since always":      {pgtype.TimestamptzOID, "", "-infinity", time.Time{}, time.Date(2, 1, 1, 0, 0, 0, 0, time.UTC), ""},
		"over before our era":    {pgtype.TimestamptzOID, "", "0044-03-15 00:00:00+00 BC", time.Time{}, time.Date(2, 1, 1, 0, 0, 0, 0, time.UTC), ""},
		"never to be delivered":  {pgtype.TimestamptzOID, "infinity", "", time.Time{}, time.Time{}, `"due" is infinite, so the event would never be delivered`},
		"delivered in ages":      {pgtype.TimestamptzOID, "10026-01-31 12:00:00+00", "", time.Time{}, time.Time{}, `"due" is infinite`},
		"no time":                {pgtype.TimestamptzOID, "", "soon", time.Time{}, time.Time{}, `"until" is not a timestamp in ISO form`},
		"infinite without zone":  {pgtype.TimestampOID, "-infinity", "infinity", time.Time{}, time.Time{}, ""},
		"infinite in a date":     {pgtype.DateOID, "infinity", "", time.Time{}, time.Time{}, `"due" is infinite`},
		"the last year":          {pgtype.TimestamptzOID, "9998-12-31 23:00:00+00", "9998-12-31 23:00:00+00", time.Date(9998, 12, 31, 23, 0, 0, 0, time.UTC), time.Date(9998, 12, 31, 23, 0, 0, 0, time.UTC), ""},
		"the first year":         {pgtype.TimestamptzOID, "0002-01-01 00:00:00+00", "0002-01-01 00:00:00+00", time.Date(2, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2, 1, 1, 0, 0, 0, 0, time.UTC), ""},
		"the year 9999 of dates": {pgtype.DateOID, "", "9999-12-31", time.Time{}, time.Time{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := outbox.NewDecoder(timed(), []outbox.Column{
				{Name: "id", TypeOID: pgtype.TextOID},
				{Name: "type", TypeOID: pgtype.TextOID},
				{Name: "payload", TypeOID: pgtype.JSONBOID},
				{Name: "due", TypeOID: test.oid},
				{Name: "until", TypeOID: test.oid},
			})
			require.NoError(t, err)
			text := func(s string) outbox.Value {
				if s == "" {
					return outbox.Value{Kind: outbox.NullValue}
				}
				return outbox.Value{Kind: outbox.TextValue, Data: []byte(s)}
			}
			ev, err := d.In(berlin).Decode([]outbox.Value{text("1"), text("a"), text("{}"), text(test.deliver), text(test.expires)})
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				require.Equal(t, "1", ev.ID, "it can be recorded")
				return
			}
			require.NoError(t, err)
			require.True(t, test.deliverAt.Equal(ev.DeliverAt), "%s, want %s", ev.DeliverAt, test.deliverAt)
			require.True(t, test.expiresAt.Equal(ev.ExpiresAt), "%s, want %s", ev.ExpiresAt, test.expiresAt)
		})
	}
}

func TestTimesOfEvents_needColumnsOfATime(t *testing.T) {
	t.Parallel()
	columns := []outbox.Column{
		{Name: "id", TypeOID: pgtype.TextOID},
		{Name: "type", TypeOID: pgtype.TextOID},
		{Name: "payload", TypeOID: pgtype.JSONBOID},
		{Name: "due", TypeOID: pgtype.Int8OID, TypeName: "bigint"},
	}
	err := timed().CheckColumns(columns)
	require.ErrorContains(t, err, `column "due" cannot be the deliver_at of events: it is bigint, want timestamptz, timestamp or date`)
	require.ErrorContains(t, err, `no column "until" (mapped to expires_at)`)
	require.Empty(t, outbox.DefaultMapping().DeliverAt, "a column of that name may mean something else")
	require.Empty(t, outbox.DefaultMapping().ExpiresAt)
}

func TestDecodeEmitted_readsTheTimesOfEvents(t *testing.T) {
	t.Parallel()
	ev, err := outbox.DecodeEmitted([]byte(`{"type":"a","deliver_at":"2026-01-31T13:00:00+01:00","expires_at":"2026-01-31 12:00:01+00"}`))
	require.NoError(t, err)
	noon := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	require.True(t, noon.Equal(ev.DeliverAt))
	require.True(t, noon.Add(time.Second).Equal(ev.ExpiresAt))
	ev, err = outbox.DecodeEmitted([]byte(`{"type":"a","deliver_at":null,"expires_at":"infinity","created_at":"infinity"}`))
	require.NoError(t, err)
	require.Equal(t, outbox.Event{Type: "a"}, ev)
	for content, want := range map[string]string{
		`{"type":"a","deliver_at":"infinity"}`: `"deliver_at" is infinite`,
		`{"type":"a","expires_at":1769860800}`: `"expires_at" is not a string`,
		`{"type":"a","deliver_at":"tomorrow"}`: `"deliver_at" is not a time, for example 2026-01-31T10:00:00Z`,
	} {
		_, err := outbox.DecodeEmitted([]byte(content))
		require.ErrorContains(t, err, want)
	}
}

// TestEvent_expires: from its time on, and always where that is not after the time before which it
// is not delivered.
func TestEvent_expires(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	e := outbox.Event{ExpiresAt: noon}
	require.False(t, e.Expired(noon.Add(-1)))
	require.True(t, e.Expired(noon))
	require.False(t, (&outbox.Event{DeliverAt: noon}).Expired(noon.AddDate(1, 0, 0)))
	e.DeliverAt = noon
	require.True(t, e.Expired(noon.Add(-time.Hour)), "it can never be delivered")
	require.Zero(t, e.NotBefore(), "so nothing is to be waited for")
	e.DeliverAt = noon.Add(-time.Second)
	require.False(t, e.Expired(noon.Add(-time.Hour)))
	require.Equal(t, e.DeliverAt, e.NotBefore())

	d := outbox.Delivery{Event: e, Reason: outbox.ReasonAudit, NextAttemptAt: noon.Add(-time.Minute)}
	d.Schedule()
	require.Equal(t, outbox.Delivery{Event: e, Reason: outbox.ReasonScheduled, NextAttemptAt: e.DeliverAt}, d)
	d.Reason, d.NextAttemptAt = outbox.ReasonReplay, noon
	d.Schedule()
	require.Equal(t, outbox.Delivery{Event: e, Reason: outbox.ReasonReplay, NextAttemptAt: noon}, d)
}

// TestWriter_writesTheTimesOfEvents: as they are read again, also where the columns have no zone
// and the mapping names one.
func TestWriter_writesTheTimesOfEvents(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, "CREATE TABLE app_times (id text PRIMARY KEY, type text, payload jsonb, due timestamp, until timestamptz)")
	m := timed()
	m.Table, m.TimeZone = "public.app_times", "Asia/Tokyo"
	w, err := outbox.NewWriter(m)
	require.NoError(t, err)
	noon := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	tx, err := b.conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = w.Insert(t.Context(), tx, outbox.Event{ID: "1", Type: "a", DeliverAt: noon, ExpiresAt: noon.Add(time.Hour)})
	require.NoError(t, err)
	require.NoError(t, tx.Commit(t.Context()))
	var due, until string
	require.NoError(t, b.conn.QueryRow(t.Context(), "SELECT due::text, (until AT TIME ZONE 'UTC')::text FROM app_times").Scan(&due, &until))
	require.Equal(t, "2026-01-31 21:00:00", due, "noon UTC on a clock in Tokyo")
	require.Equal(t, "2026-01-31 13:00:00", until)

	plain, err := outbox.NewWriter(outbox.DefaultMapping())
	require.NoError(t, err)
	for field, e := range map[string]outbox.Event{"deliver_at": {Type: "a", DeliverAt: noon}, "expires_at": {Type: "a", ExpiresAt: noon}} {
		_, err = plain.Insert(t.Context(), b.conn, e)
		require.ErrorIs(t, err, outbox.ErrInvalidEvent)
		require.ErrorContains(t, err, "its "+field+" is set, but table public.outbox has no column for it")
	}
}
