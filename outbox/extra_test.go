package outbox_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
)

// TestDecode_extraColumns holds how each type of column looks in event.extra.
func TestDecode_extraColumns(t *testing.T) {
	t.Parallel()
	const mood, domain = 20_001, 20_002
	for name, tc := range map[string]struct {
		oid, base uint32
		value     outbox.Value
		want      string
	}{
		"a text":                     {pgtype.TextOID, 0, text("eu\" <ü>\n"), `"eu\" <ü>\n"`},
		"an empty text":              {pgtype.TextOID, 0, text(""), `""`},
		"a padded char":              {pgtype.BPCharOID, 0, text("eu   "), `"eu"`},
		"NULL":                       {pgtype.TextOID, 0, null(), `null`},
		"true":                       {pgtype.BoolOID, 0, text("t"), `true`},
		"false":                      {pgtype.BoolOID, 0, text("f"), `false`},
		"an integer":                 {pgtype.Int8OID, 0, text("-9007199254740993"), `-9007199254740993`},
		"a numeric":                  {pgtype.NumericOID, 0, text("12.50"), `12.50`},
		"a numeric that is none":     {pgtype.NumericOID, 0, text("NaN"), `"NaN"`},
		"a float":                    {pgtype.Float8OID, 0, text("1e+20"), `1e+20`},
		"an infinite float":          {pgtype.Float4OID, 0, text("-Infinity"), `"-Infinity"`},
		"jsonb":                      {pgtype.JSONBOID, 0, text(`{"a": [1]}`), `{"a": [1]}`},
		"a uuid":                     {pgtype.UUIDOID, 0, text("0198a000-0000-7000-8000-000000000001"), `"0198a000-0000-7000-8000-000000000001"`},
		"a time that cannot be read": {pgtype.TimestamptzOID, 0, text("2026-02-30 10:20:30+00"), `"2026-02-30 10:20:30+00"`},
		"a time with a zone":         {pgtype.TimestamptzOID, 0, text("2026-01-31 10:20:30.5+02"), `"2026-01-31T08:20:30.5Z"`},
		"a time that is infinite":    {pgtype.TimestamptzOID, 0, text("infinity"), `"infinity"`},
		"a time without a zone":      {pgtype.TimestampOID, 0, text("2026-01-31 10:20:30"), `"2026-01-31 10:20:30"`},
		"an enum":                    {mood, 0, text("glad"), `"glad"`},
		"an array":                   {pgtype.Int4ArrayOID, 0, text("{1,2}"), `"{1,2}"`},
		"a domain over an integer":   {domain, pgtype.Int4OID, text("7"), `7`},
		"a domain nobody knows more": {domain, 0, text("7"), `"7"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := outbox.Mapping{Table: "app.events", ID: "id", Type: "type", Payload: "payload", Extra: map[string]string{"one": "x", "again": "id"}}
			d := newDecoder(t, m, outbox.Column{Name: "payload", TypeOID: pgtype.JSONOID}, outbox.Column{Name: "x", TypeOID: tc.oid, BaseOID: tc.base},
				outbox.Column{Name: "type", TypeOID: pgtype.TextOID}, outbox.Column{Name: "id", TypeOID: pgtype.Int4OID})
			row := []outbox.Value{text("{}"), tc.value, text("a"), text("5")}
			e, err := d.Decode(row)
			require.NoError(t, err)
			for _, v := range row {
				clear(v.Data) // it is the reader's
			}
			require.Equal(t, `{"again":5,"one":`+tc.want+`}`, string(e.Extra))
			require.True(t, json.Valid(e.Extra))
		})
	}
}

func TestExtraColumnsThatCannotBe(t *testing.T) {
	t.Parallel()
	m := outbox.DefaultMapping()
	m.Extra = map[string]string{"region": "regoin", "file": "payload"}
	columns := append(defaultColumns(), outbox.Column{Name: "region", TypeOID: pgtype.TextOID})
	columns[4].TypeOID, columns[4].TypeName = pgtype.ByteaOID, "bytea"
	_, err := outbox.NewDecoder(m, columns)
	require.ErrorContains(t, err, `outbox table public.outbox has no column "regoin" (mapped to extra.region): its columns are `)
	require.ErrorContains(t, err, `did you mean "region"?`)
	require.ErrorContains(t, err, `column "payload" cannot be the extra.file of events: it is bytea, want text, a number`)

	m.Extra = map[string]string{"a.b": "x", "1a": "x", "": "x", strings.Repeat("a", 64): "x", "ok_-9": "x", "empty": "", "nul": "\x00"}
	problems := strings.Split(m.Validate().Error(), "\n")
	require.Len(t, problems, 6)
	for name, fits := range map[string]bool{
		"a": true, "z": true, "A": true, "Z": true, "_": true, "a0": true, "a9": true, "a-": true, strings.Repeat("a", 63): true,
		"é": false, "{": false, "[": false, "`": false, "@": false, "a:": false, "a/": false, "-": false, "0": false,
	} {
		m.Extra = map[string]string{name: "x"}
		require.Equal(t, fits, m.Validate() == nil, name)
	}
	m.Extra = make(map[string]string)
	for i := range outbox.MaxExtra + 1 {
		m.Extra["c"+string(rune('a'+i))] = "x"
	}
	require.ErrorContains(t, m.Validate(), "17 extra columns are named: name at most 16")
	_, err = outbox.NewDecoder(outbox.Mapping{
		Table: "public.outbox", ID: "id", Type: "type", Payload: "payload", Extra: map[string]string{"tenant": "tenant"},
	}, defaultColumns())
	require.NoError(t, err, "a column may be more than one thing")
}

// TestDecode_extraThatWasLeftAlone: an UPDATE that leaves a toasted column alone brings no event
// without it.
func TestDecode_extraThatWasLeftAlone(t *testing.T) {
	t.Parallel()
	m := outbox.DefaultMapping()
	m.Extra = map[string]string{"big": "key"}
	row := defaultRow()
	row[2] = outbox.Value{Kind: outbox.UnchangedTOAST}
	m.Key = ""
	_, err := newDecoder(t, m, defaultColumns()...).Decode(row)
	require.EqualError(t, err, `decode row of public.outbox: "key" was left alone by an UPDATE and is not in the stream`)
}

func TestMapping_Equal(t *testing.T) {
	t.Parallel()
	m := outbox.DefaultMapping()
	require.True(t, m.Equal(outbox.DefaultMapping()))
	require.True(t, outbox.Mapping{}.IsZero())
	require.False(t, m.IsZero())
	for _, change := range []func(*outbox.Mapping){
		func(o *outbox.Mapping) { o.Table = "a.b" },
		func(o *outbox.Mapping) { o.Headers = "" },
		func(o *outbox.Mapping) { o.TimeZone = "UTC" },
		func(o *outbox.Mapping) { o.Optional.Key = true },
		func(o *outbox.Mapping) { o.Extra = map[string]string{"a": "b"} },
	} {
		other := outbox.DefaultMapping()
		change(&other)
		require.False(t, m.Equal(other))
	}
}

func TestInsert_extraColumns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `CREATE TABLE events (id text PRIMARY KEY, type text NOT NULL, payload json, region text DEFAULT 'home', size numeric, live boolean, flags jsonb, at timestamptz)`)
	m := outbox.Mapping{
		Table: "public.events", ID: "id", Type: "type", Payload: "payload",
		Extra: map[string]string{"region": "region", "size": "size", "live": "live", "flags": "flags", "at": "at"},
	}
	b.listen(t, "public.events")
	w, err := outbox.NewWriter(m)
	require.NoError(t, err)
	at := time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC).Format(time.RFC3339)
	_, err = w.Insert(t.Context(), b.conn,
		outbox.Event{ID: "1", Type: "a", Extra: json.RawMessage(`{"region":"e\"u","size":12.50,"live":true,"flags":{"a":[1]},"at":"` + at + `"}`)},
		outbox.Event{ID: "2", Type: "a", Extra: json.RawMessage(`{"size":null}`)},
		outbox.Event{ID: "3", Type: "a"})
	require.NoError(t, err)
	events := b.stream(t, m)
	require.Len(t, events, 3)
	require.Equal(t, `{"at":"`+at+`","flags":{"a": [1]},"live":true,"region":"e\"u","size":12.50}`, string(events[0].Extra))
	require.Equal(t, `{"at":null,"flags":null,"live":null,"region":"home","size":null}`, string(events[1].Extra)) //nolint:testifylint // with each member

	for extra, want := range map[string]string{
		`{"shop":1}`: `its extra "shop" is set, but table public.events has no column for it`,
		`[1]`:        `its extra is not a JSON object`,
		`{`:          `its extra is not a JSON object`,
		`null`:       `its extra is not a JSON object`,
	} {
		_, err := w.Insert(t.Context(), b.conn, outbox.Event{ID: "4", Type: "a", Extra: json.RawMessage(extra)})
		require.ErrorIs(t, err, outbox.ErrInvalidEvent)
		require.ErrorContains(t, err, want)
	}
}
