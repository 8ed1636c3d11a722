package outbox_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
)

// defaultColumns are those of the default table, in its order.
func defaultColumns() []outbox.Column {
	return []outbox.Column{
		{Name: "id", TypeOID: pgtype.UUIDOID},
		{Name: "type", TypeOID: pgtype.TextOID},
		{Name: "key", TypeOID: pgtype.TextOID},
		{Name: "tenant", TypeOID: pgtype.TextOID},
		{Name: "payload", TypeOID: pgtype.JSONBOID},
		{Name: "headers", TypeOID: pgtype.JSONBOID},
		{Name: "created_at", TypeOID: pgtype.TimestamptzOID},
	}
}

func text(s string) outbox.Value { return outbox.Value{Kind: outbox.TextValue, Data: []byte(s)} }

func null() outbox.Value { return outbox.Value{Kind: outbox.NullValue} }

func defaultRow() []outbox.Value {
	return []outbox.Value{
		text("0198a000-0000-7000-8000-000000000001"), text("order.created"), text("order-7"), text("acme"),
		text(`{"id": 7, "total": 12.50}`), text(`{"Traceparent": "00-ab-cd-01"}`), text("2026-01-31 10:20:30.123456+00"),
	}
}

func newDecoder(tb testing.TB, m outbox.Mapping, columns ...outbox.Column) *outbox.Decoder {
	tb.Helper()
	d, err := outbox.NewDecoder(m, columns)
	require.NoError(tb, err)
	return d
}

func TestNewDecoder(t *testing.T) {
	t.Parallel()

	t.Run("names the table, the column, those that exist, and a guess", func(t *testing.T) {
		t.Parallel()
		m := outbox.DefaultMapping()
		m.Payload, m.Tenant = "paylod", "x"
		_, err := outbox.NewDecoder(m, defaultColumns())
		require.EqualError(t, err, `outbox table public.outbox has no column "x" (mapped to tenant): its columns are `+
			`id, type, key, tenant, payload, headers, created_at; write tenant = null in outbox.columns if events have none`+"\n"+
			`outbox table public.outbox has no column "paylod" (mapped to payload): its columns are `+
			`id, type, key, tenant, payload, headers, created_at; did you mean "payload"?`)
	})
	t.Run("refuses types that cannot be it", func(t *testing.T) {
		t.Parallel()
		columns := defaultColumns()
		columns[1].TypeOID = pgtype.Int4OID
		columns[2].TypeOID = pgtype.JSONOID
		columns[3].TypeOID = pgtype.ByteaOID
		columns[4].TypeOID = pgtype.UUIDOID
		columns[5].TypeOID = pgtype.ByteaOID
		columns[6].TypeOID = pgtype.TextOID
		_, err := outbox.NewDecoder(outbox.DefaultMapping(), columns)
		for _, want := range []string{
			`column "type" cannot be the type of events: want text, varchar, char, name or an enum`,
			`column "key" cannot be the key of events: want text, a number or a uuid`,
			`column "tenant" cannot be the tenant of events: want text, a number or a uuid`,
			`column "payload" cannot be the payload of events: want json, jsonb, text or bytea`,
			`column "headers" cannot be the headers of events: want json, jsonb or text with a JSON object`,
			`column "created_at" cannot be the created_at of events: want timestamptz, timestamp or date`,
		} {
			require.ErrorContains(t, err, want)
		}
		columns[2].TypeOID = pgtype.JSONBOID
		_, err = outbox.NewDecoder(outbox.DefaultMapping(), columns)
		require.ErrorContains(t, err, `column "key" cannot be the key of events`)
	})
	t.Run("takes a domain over an enum for the type", func(t *testing.T) {
		t.Parallel()
		columns := defaultColumns()
		columns[1].TypeOID, columns[1].BaseOID = 20_001, 20_002
		_, err := outbox.NewDecoder(outbox.DefaultMapping(), columns)
		require.NoError(t, err)
	})
	t.Run("wants the columns that the mapping names, and does without the others", func(t *testing.T) {
		t.Parallel()
		m := outbox.DefaultMapping()
		m.Optional = outbox.Optional{Key: true, Tenant: true, CreatedAt: true}
		columns := defaultColumns()
		few := []outbox.Column{columns[0], columns[1], columns[4]}
		_, err := outbox.NewDecoder(m, few)
		require.EqualError(t, err, `outbox table public.outbox has no column "headers" (mapped to headers): its columns are id, type, payload; `+
			`write headers = null in outbox.columns if events have none`)
		m.Optional.Headers = true
		e, err := newDecoder(t, m, few...).Decode([]outbox.Value{text("1"), text("a"), text("{}")})
		require.NoError(t, err)
		require.Equal(t, outbox.Event{ID: "1", Type: "a", Payload: []byte("{}")}, e)
	})
	t.Run("refuses a mapping that is incomplete", func(t *testing.T) {
		t.Parallel()
		_, err := outbox.NewDecoder(outbox.Mapping{Table: "a.b"}, defaultColumns())
		require.ErrorContains(t, err, `no column is named for "id"`)
	})
}

func TestDecode(t *testing.T) {
	t.Parallel()

	t.Run("reads every column", func(t *testing.T) {
		t.Parallel()
		e, err := newDecoder(t, outbox.DefaultMapping(), defaultColumns()...).Decode(defaultRow())
		require.NoError(t, err)
		require.Equal(t, outbox.Event{
			ID: "0198a000-0000-7000-8000-000000000001", Type: "order.created", Key: "order-7", Tenant: "acme",
			Payload:   []byte(`{"id": 7, "total": 12.50}`),
			Headers:   map[string]string{"traceparent": "00-ab-cd-01"},
			CreatedAt: time.Date(2026, 1, 31, 10, 20, 30, 123456000, time.UTC),
		}, e)
	})
	t.Run("keeps nothing of the read buffer", func(t *testing.T) {
		t.Parallel()
		d := newDecoder(t, outbox.DefaultMapping(), defaultColumns()...)
		want, err := d.Decode(defaultRow())
		require.NoError(t, err)
		for range 2 { // the second finds the type interned
			row := defaultRow()
			got, err := d.Decode(row)
			require.NoError(t, err)
			for _, v := range row {
				for i := range v.Data {
					v.Data[i] = '#'
				}
			}
			require.Equal(t, want, got)
		}
	})
	t.Run("takes NULLs for nothing", func(t *testing.T) {
		t.Parallel()
		e, err := newDecoder(t, outbox.DefaultMapping(), defaultColumns()...).
			Decode([]outbox.Value{text("1"), text("t"), null(), null(), null(), null(), null()})
		require.NoError(t, err)
		require.Equal(t, outbox.Event{ID: "1", Type: "t"}, e)
	})
	t.Run("does without the optional columns, in any order", func(t *testing.T) {
		t.Parallel()
		m := outbox.Mapping{Table: "app.events", ID: "nr", Type: "kind", Payload: "body"}
		d := newDecoder(t, m, outbox.Column{Name: "body", TypeOID: pgtype.TextOID}, outbox.Column{Name: "other", TypeOID: 600},
			outbox.Column{Name: "kind", TypeOID: pgtype.BPCharOID}, outbox.Column{Name: "nr", TypeOID: pgtype.Int8OID})
		e, err := d.Decode([]outbox.Value{text("not JSON"), null(), text("paid      "), text("-42")})
		require.NoError(t, err)
		require.Equal(t, outbox.Event{ID: "-42", Type: "paid", Payload: []byte("not JSON")}, e)
	})
	t.Run("tells an empty payload from none", func(t *testing.T) {
		t.Parallel()
		d := newDecoder(t, outbox.DefaultMapping(), defaultColumns()...)
		row := defaultRow()
		row[4] = text("")
		e, err := d.Decode(row)
		require.NoError(t, err)
		require.NotNil(t, e.Payload)
		require.Empty(t, e.Payload)
	})
	t.Run("reads bytea", func(t *testing.T) {
		t.Parallel()
		columns := defaultColumns()
		columns[4].TypeOID = pgtype.ByteaOID
		row := defaultRow()
		row[4] = text(`\x7b2261223a317d`)
		e, err := newDecoder(t, outbox.DefaultMapping(), columns...).Decode(row)
		require.NoError(t, err)
		require.Equal(t, `{"a":1}`, string(e.Payload))
	})
}

func TestDecodeErrors(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	for name, tc := range map[string]struct {
		change func(row []outbox.Value) []outbox.Value
		column string
		want   string
	}{
		"NULL id":       {func(r []outbox.Value) []outbox.Value { r[0] = null(); return r }, "id", "is NULL or empty"},
		"empty id":      {func(r []outbox.Value) []outbox.Value { r[0] = text(""); return r }, "id", "is NULL or empty"},
		"NULL type":     {func(r []outbox.Value) []outbox.Value { r[1] = null(); return r }, "type", "is NULL or empty"},
		"bad headers":   {func(r []outbox.Value) []outbox.Value { r[5] = text(`["` + secret + `"]`); return r }, "headers", "is not a JSON object"},
		"bad time":      {func(r []outbox.Value) []outbox.Value { r[6] = text(secret); return r }, "created_at", "is not a timestamp"},
		"bad bytea":     {func(r []outbox.Value) []outbox.Value { r[4] = text(`\x` + secret); return r }, "payload", "is not a bytea"},
		"short row":     {func(r []outbox.Value) []outbox.Value { return r[:4] }, "created_at", "is column 7 of a row of 4"},
		"empty row":     {func([]outbox.Value) []outbox.Value { return nil }, "id", "is column 1 of a row of 0"},
		"not sent":      {func(r []outbox.Value) []outbox.Value { r[4].Kind = outbox.UnchangedTOAST; return r }, "payload", "was left alone by an UPDATE"},
		"binary":        {func(r []outbox.Value) []outbox.Value { r[3].Kind = 'b'; return r }, "tenant", "is not in text form"},
		"unknown kind":  {func(r []outbox.Value) []outbox.Value { r[5].Kind = 0; return r }, "headers", "is not in text form"},
		"binary of key": {func(r []outbox.Value) []outbox.Value { r[2].Kind = 'b'; return r }, "key", "is not in text form"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			columns := defaultColumns()
			columns[4].TypeOID = pgtype.ByteaOID
			row := defaultRow()
			row[4] = text(`\x00`)
			e, err := newDecoder(t, outbox.DefaultMapping(), columns...).Decode(tc.change(row))

			var problem *outbox.DecodeError
			require.ErrorAs(t, err, &problem)
			require.Equal(t, "public.outbox", problem.Table)
			require.Equal(t, tc.column, problem.Column)
			require.Contains(t, problem.Problem, tc.want)
			require.NotContains(t, err.Error(), secret)
			if c := tc.column; c == "headers" || c == "payload" || c == "created_at" {
				require.Equal(t, "order.created", e.Type, "what could be read is there, to be recorded")
				require.NotEmpty(t, e.ID)
			}
		})
	}
}

// FuzzDecode: whatever the bytes of a row, Decode does not panic, keeps nothing of its input, and
// what it accepts is an event.
func FuzzDecode(f *testing.F) {
	f.Add(uint32(pgtype.UUIDOID), uint32(pgtype.JSONBOID), "ntttttt", "1", "a.b", "k", "t", `{"a":1}`, `{"h":"v"}`, "2026-01-31 10:20:30+00")
	f.Add(uint32(pgtype.Int8OID), uint32(pgtype.ByteaOID), "ttttttt", "1", "a.b", "k", "t", `\x00ff`, `{"h":1}`, "infinity")
	f.Add(uint32(pgtype.BPCharOID), uint32(pgtype.TextOID), "ttnnttt", "1 ", " ", "", "", ``, `{`, "0044-03-15 12:00:00+00 BC")
	f.Fuzz(func(t *testing.T, idOID, payloadOID uint32, kinds, id, eventType, key, tenant, payload, headers, createdAt string) {
		columns := defaultColumns()
		columns[0].TypeOID, columns[4].TypeOID = idOID, payloadOID
		d, err := outbox.NewDecoder(outbox.DefaultMapping(), columns)
		if err != nil {
			return
		}
		row := make([]outbox.Value, 0, len(kinds))
		for i, data := range []string{id, eventType, key, tenant, payload, headers, createdAt} {
			if i < len(kinds) {
				row = append(row, outbox.Value{Kind: outbox.ValueKind(kinds[i]), Data: []byte(data)})
			}
		}
		e, err := d.Decode(row)
		if err != nil {
			var problem *outbox.DecodeError
			require.ErrorAs(t, err, &problem)
			return
		}
		require.NotEmpty(t, e.ID)
		require.Equal(t, eventType, e.Type)
		if payloadOID != pgtype.ByteaOID && e.Payload != nil {
			require.Equal(t, payload, string(e.Payload))
		}
		for name := range e.Headers {
			require.Equal(t, strings.ToLower(name), name)
		}
		for _, v := range row {
			clear(v.Data)
		}
		require.Equal(t, eventType, e.Type)
		if idOID != pgtype.BPCharOID {
			require.Equal(t, id, e.ID)
		}
	})
}

func TestDecodeEmitted(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		content string
		want    outbox.Event
	}{
		"type only": {`{"type":"a.b"}`, outbox.Event{Type: "a.b"}},
		"everything": {
			`{"id":"x-1","type":"a.b","key":"k","tenant":"t","data":{ "n" : 1.0 },"headers":{"TraceParent":"00"},"created_at":"2026-01-31T10:20:30Z"}`,
			outbox.Event{
				ID: "x-1", Type: "a.b", Key: "k", Tenant: "t", Payload: []byte(`{ "n" : 1.0 }`),
				Headers: map[string]string{"traceparent": "00"}, CreatedAt: time.Date(2026, 1, 31, 10, 20, 30, 0, time.UTC),
			},
		},
		"extra":                {`{"type":"a","extra":{ "region":"eu","n":1.50 }}`, outbox.Event{Type: "a", Extra: []byte(`{ "region":"eu","n":1.50 }`)}},
		"payload for data":     {`{"type":"a","payload":[1, 2]}`, outbox.Event{Type: "a", Payload: []byte(`[1, 2]`)}},
		"numbers":              {`{"type":"a","id":12345678901234567890,"key":7,"tenant":-1}`, outbox.Event{Type: "a", ID: "12345678901234567890", Key: "7", Tenant: "-1"}},
		"nulls":                {`{"type":"a","id":null,"key":null,"tenant":null,"headers":null,"created_at":null,"data":null}`, outbox.Event{Type: "a", Payload: []byte(`null`)}},
		"other fields":         {` {"more":{"id":1},"type":"a"} `, outbox.Event{Type: "a"}},
		"Postgres' timestamps": {`{"type":"a","created_at":"2026-01-31T10:20:30.5+05:30"}`, outbox.Event{Type: "a", CreatedAt: time.Date(2026, 1, 31, 4, 50, 30, 5e8, time.UTC)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			content := []byte(tc.content)
			e, err := outbox.DecodeEmitted(content)
			require.NoError(t, err)
			clear(content)
			require.Equal(t, tc.want, e)
		})
	}
	for name, tc := range map[string]struct{ content, want string }{
		"nothing":           {``, `decode logical message: it is not a JSON object`},
		"an array":          {`[]`, `decode logical message: it is not a JSON object`},
		"null":              {`null`, `decode logical message: it is not a JSON object`},
		"binary":            {"\x00\xff", `decode logical message: it is not a JSON object`},
		"half":              {`{"type":"hunter2"`, `decode logical message: it is not valid JSON`},
		"two":               {`{"type":"hunter2"}{}`, `decode logical message: it is not valid JSON`},
		"too deep":          {`{"type":"a","data":` + strings.Repeat("[", 20000), `decode logical message: it is not valid JSON`},
		"no type":           {`{"id":"1"}`, `decode logical message: "type" is missing`},
		"empty type":        {`{"type":""}`, `decode logical message: "type" is missing`},
		"type is a number":  {`{"type":1}`, `decode logical message: "type" is not a string`},
		"id is an object":   {`{"type":"a","id":{"hunter2":1}}`, `decode logical message: "id" is neither a string nor a number`},
		"key is a boolean":  {`{"type":"a","key":true}`, `decode logical message: "key" is neither a string nor a number`},
		"NUL in tenant":     {`{"type":"a","tenant":"hunter2\u0000"}`, `decode logical message: "tenant" holds a NUL character, which Postgres cannot store`},
		"extra array":       {`{"type":"a","extra":["hunter2"]}`, `decode logical message: "extra" is not a JSON object`},
		"headers array":     {`{"type":"a","headers":["hunter2"]}`, `decode logical message: "headers" is not a JSON object`},
		"time is a number":  {`{"type":"a","created_at":1}`, `decode logical message: "created_at" is not a string`},
		"time is not one":   {`{"type":"a","created_at":"hunter2"}`, `decode logical message: "created_at" is not a time, for example 2026-01-31T10:00:00Z`},
		"data and payload":  {`{"type":"a","data":1,"payload":2}`, `decode logical message: "payload" is the same as "data"; give one of them`},
		"broken UTF-8 type": {"{\"type\":\"a\"\xff}", `decode logical message: it is not valid JSON`},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			t.Parallel()
			_, err := outbox.DecodeEmitted([]byte(tc.content))
			require.EqualError(t, err, tc.want)
			var problem *outbox.DecodeError
			require.ErrorAs(t, err, &problem)
		})
	}
}

func FuzzDecodeEmitted(f *testing.F) {
	f.Add([]byte(`{"id":"x","type":"a.b","key":1,"tenant":"t","data":{"n":1.0},"headers":{"h":"v"},"created_at":"2026-01-31T10:20:30Z"}`))
	f.Add([]byte(`{"type":"a","payload":null}`))
	f.Add([]byte(`{"TYPE":"a"}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		e, err := outbox.DecodeEmitted(content)
		if err != nil {
			var problem *outbox.DecodeError
			require.ErrorAs(t, err, &problem)
			return
		}
		require.NotEmpty(t, e.Type)
		require.Contains(t, string(content), string(e.Payload))
	})
}

func BenchmarkDecode(b *testing.B) {
	payload := `{"pad": "` + strings.Repeat("x", 480) + `"}`
	for name, headers := range map[string]outbox.Value{
		"bare":    null(),
		"headers": text(`{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}`),
	} {
		b.Run(name, func(b *testing.B) {
			d := newDecoder(b, outbox.DefaultMapping(), defaultColumns()...)
			row := defaultRow()
			row[4], row[5] = text(payload), headers
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Decode(row); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecodeEmitted(b *testing.B) {
	content := []byte(`{"id":"0198a000-0000-7000-8000-000000000001","type":"order.created","key":"k","data":{"pad": "` + strings.Repeat("x", 480) + `"}}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := outbox.DecodeEmitted(content); err != nil {
			b.Fatal(err)
		}
	}
}

func TestDecoderWithoutOptionalColumns(t *testing.T) {
	t.Parallel()
	m := outbox.DefaultMapping()
	m.Optional = outbox.Optional{Key: true, Headers: true, CreatedAt: true}
	columns := []outbox.Column{{Name: "id", TypeOID: pgtype.Int8OID}, {Name: "type", TypeOID: pgtype.TextOID}, {Name: "payload", TypeOID: pgtype.JSONBOID}}
	_, err := outbox.NewDecoder(m, columns)
	require.ErrorContains(t, err, `no column "tenant"`)

	m.Optional.Tenant = true
	d, err := outbox.NewDecoder(m, columns)
	require.NoError(t, err)
	ev, err := d.Decode([]outbox.Value{{Kind: outbox.TextValue, Data: []byte("7")}, {Kind: outbox.TextValue, Data: []byte("a.b")}, {Kind: outbox.TextValue, Data: []byte("{}")}})
	require.NoError(t, err)
	require.Equal(t, "7", ev.ID)
	require.Empty(t, ev.Key)

	lacks := m.Lacks([]string{"id", "type", "payload", "created_at"})
	require.Equal(t, []string{"key", "tenant", "headers"}, lacks, "id, type and payload are not optional")
	require.Equal(t, m.Fit([]string{"id", "type", "payload", "created_at"}), m.Without(lacks))
	require.Equal(t, m, m.Without(m.Lacks(m.Columns())))
	m.Optional = outbox.Optional{}
	require.Empty(t, m.Lacks(nil), "none is optional that was asked for by name")
}

func TestDecoder_takesTimesWithoutAZoneForThoseOfItsOwn(t *testing.T) {
	t.Parallel()
	zone, err := time.LoadLocation("America/Los_Angeles")
	require.NoError(t, err)
	for name, test := range map[string]struct {
		oid  uint32
		text string
		want time.Time
	}{
		"timestamp":                {pgtype.TimestampOID, "2026-01-31 02:00:00", time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC)},
		"in summer":                {pgtype.TimestampOID, "2026-07-01 03:00:00.5", time.Date(2026, 7, 1, 10, 0, 0, 5e8, time.UTC)},
		"date":                     {pgtype.DateOID, "2026-01-31", time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC)},
		"timestamptz says its own": {pgtype.TimestamptzOID, "2026-01-31 10:00:00+00", time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC)},
		"infinite":                 {pgtype.TimestamptzOID, "-infinity", time.Time{}},
		"of no era":                {pgtype.DateOID, "5000000-01-31", time.Time{}},
		"before our era":           {pgtype.TimestamptzOID, "0044-03-15 00:00:00+00 BC", time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := outbox.Mapping{Table: "public.outbox", ID: "id", Type: "type", Payload: "payload", CreatedAt: "created_at"}
			d, err := outbox.NewDecoder(m, []outbox.Column{
				{Name: "id", TypeOID: pgtype.TextOID},
				{Name: "type", TypeOID: pgtype.TextOID},
				{Name: "payload", TypeOID: pgtype.JSONBOID},
				{Name: "created_at", TypeOID: test.oid},
			})
			require.NoError(t, err)
			text := func(s string) outbox.Value { return outbox.Value{Kind: outbox.TextValue, Data: []byte(s)} }
			ev, err := d.In(zone).Decode([]outbox.Value{text("1"), text("a"), text("{}"), text(test.text)})
			require.NoError(t, err)
			require.True(t, test.want.Equal(ev.CreatedAt), "%s, want %s", ev.CreatedAt, test.want)
		})
	}
}
