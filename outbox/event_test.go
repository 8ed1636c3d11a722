package outbox_test

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tailpost/tailpost/outbox"
)

func TestNewEvent(t *testing.T) {
	t.Parallel()

	t.Run("encodes data without escaping HTML", func(t *testing.T) {
		t.Parallel()
		e, err := outbox.NewEvent("a.b", map[string]any{"link": "<a&b>", "n": 1})
		require.NoError(t, err)
		require.Equal(t, "a.b", e.Type)
		require.Equal(t, `{"link":"<a&b>","n":1}`, string(e.Payload)) //nolint:testifylint // the very bytes matter
		require.Empty(t, e.ID)
	})
	t.Run("keeps the bytes of raw JSON, and copies them", func(t *testing.T) {
		t.Parallel()
		raw := json.RawMessage(`{ "b" : 1.0, "a":"\u00e9" }`)
		e, err := outbox.NewEvent("a", raw)
		require.NoError(t, err)
		raw[2] = 'X'
		require.Equal(t, `{ "b" : 1.0, "a":"\u00e9" }`, string(e.Payload)) //nolint:testifylint // the very bytes matter
	})
	t.Run("takes nil for no payload", func(t *testing.T) {
		t.Parallel()
		e, err := outbox.NewEvent("a", nil)
		require.NoError(t, err)
		require.Nil(t, e.Payload)
	})
	t.Run("refuses an empty type", func(t *testing.T) {
		t.Parallel()
		_, err := outbox.NewEvent("", 1)
		require.ErrorIs(t, err, outbox.ErrInvalidEvent)
		require.EqualError(t, err, "invalid event: its type is empty")
	})
	t.Run("refuses what JSON cannot hold", func(t *testing.T) {
		t.Parallel()
		_, err := outbox.NewEvent("a", math.Inf(1))
		require.ErrorContains(t, err, `encode the payload of a "a" event`)
		_, err = outbox.NewEvent("a", json.RawMessage(`{"half":`))
		require.EqualError(t, err, "invalid event: its payload is not JSON")
	})
}

func TestLSN(t *testing.T) {
	t.Parallel()

	t.Run("is printed as Postgres prints it", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, "16/B374D848", outbox.LSN(0x16B374D848).String())
		require.Equal(t, "0/0", outbox.LSN(0).String())
		require.Equal(t, "FFFFFFFF/FFFFFFFF", outbox.LSN(math.MaxUint64).String())
	})
	t.Run("is read back", func(t *testing.T) {
		t.Parallel()
		rapid.Check(t, func(t *rapid.T) {
			l := outbox.LSN(rapid.Uint64().Draw(t, "lsn"))
			back, err := outbox.ParseLSN(l.String())
			if err != nil || back != l {
				t.Fatalf("%s came back as %s, %v", l, back, err)
			}
		})
	})
	t.Run("in lower case too", func(t *testing.T) {
		t.Parallel()
		l, err := outbox.ParseLSN("16/b374d848")
		require.NoError(t, err)
		require.Equal(t, "16/B374D848", l.String())
	})
	for _, bad := range []string{"", "16", "/", "16/", "/16", "g/0", "1/2/3", "100000000/0", "-1/0", " 1/0"} {
		t.Run("refuses "+bad, func(t *testing.T) {
			t.Parallel()
			_, err := outbox.ParseLSN(bad)
			require.Error(t, err)
		})
	}
}

func TestMappingValidate(t *testing.T) {
	t.Parallel()
	require.NoError(t, outbox.DefaultMapping().Validate())

	err := outbox.Mapping{Table: "outbox", Type: "type"}.Validate()
	require.ErrorContains(t, err, `outbox table "outbox": write it with its schema, for example "public.outbox"`)
	require.ErrorContains(t, err, `no column is named for "id"`)
	require.ErrorContains(t, err, `no column is named for "payload"`)
	require.NotContains(t, err.Error(), `"type"`)

	for table, want := range map[string][2]string{"outbox": {"", "outbox"}, "app.events": {"app", "events"}, "app.a.b": {"app", "a.b"}, "app.": {"app", ""}} {
		schema, name := outbox.Mapping{Table: table}.SchemaAndName()
		require.Equal(t, want, [2]string{schema, name})
	}
	m := outbox.DefaultMapping()
	m.Table, m.Key = "a.b\x00", "k\x00"
	require.ErrorContains(t, m.Validate(), "the name holds a NUL character")
	require.ErrorContains(t, m.Validate(), `the column for "key" holds a NUL character`)

	m = outbox.DefaultMapping()
	for _, m.TimeZone = range []string{"", "UTC", "Europe/Berlin"} {
		require.NoError(t, m.Validate(), m.TimeZone)
	}
	for _, m.TimeZone = range []string{"Local", "Mars/Olympus", "+02:00"} { // Local is another zone on each machine
		require.ErrorContains(t, m.Validate(), "there is no time zone", m.TimeZone)
	}
}
