package outbox_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tailpost/tailpost/outbox"
)

func ExampleNewEvent() {
	event, err := outbox.NewEvent("order.created", map[string]any{"id": 7, "total": "12.50"})
	if err != nil {
		panic(err)
	}
	event.Key = "order-7"
	fmt.Println(event.Type, event.Key, string(event.Payload))

	_, err = outbox.NewEvent("", nil)
	fmt.Println(err, errors.Is(err, outbox.ErrInvalidEvent))
	// Output:
	// order.created order-7 {"id":7,"total":"12.50"}
	// invalid event: its type is empty true
}

func ExampleDecodeEmitted() {
	event, err := outbox.DecodeEmitted([]byte(`{"type": "cart.abandoned", "key": 9, "data": {"cart": 9}}`))
	fmt.Println(event.Type, event.Key, string(event.Payload), err)

	_, err = outbox.DecodeEmitted([]byte(`{"data": {"cart": 9}}`))
	fmt.Println(err)
	// Output:
	// cart.abandoned 9 {"cart": 9} <nil>
	// decode logical message: "type" is missing
}

func ExampleDecoder_Decode() {
	mapping := outbox.Mapping{Table: "app.events", ID: "nr", Type: "kind", Payload: "body", CreatedAt: "at"}
	decoder, err := outbox.NewDecoder(mapping, []outbox.Column{
		{Name: "nr", TypeOID: pgtype.Int8OID},
		{Name: "kind", TypeOID: pgtype.TextOID},
		{Name: "body", TypeOID: pgtype.JSONBOID},
		{Name: "at", TypeOID: pgtype.TimestamptzOID},
	})
	if err != nil {
		panic(err)
	}
	event, err := decoder.Decode([]outbox.Value{
		{Kind: outbox.TextValue, Data: []byte("42")},
		{Kind: outbox.TextValue, Data: []byte("order.created")},
		{Kind: outbox.TextValue, Data: []byte(`{"id": 7}`)},
		{Kind: outbox.TextValue, Data: []byte("2026-01-31 10:20:30.5+05:30")},
	})
	fmt.Println(event.ID, event.Type, string(event.Payload), event.CreatedAt.Format(time.RFC3339Nano), err)
	// Output: 42 order.created {"id": 7} 2026-01-31T04:50:30.5Z <nil>
}

func ExampleNewDecoder() {
	mapping := outbox.DefaultMapping()
	mapping.Payload = "paylod"
	_, err := outbox.NewDecoder(mapping, []outbox.Column{
		{Name: "id", TypeOID: pgtype.UUIDOID},
		{Name: "type", TypeOID: pgtype.TextOID},
		{Name: "key", TypeOID: pgtype.TextOID},
		{Name: "tenant", TypeOID: pgtype.TextOID},
		{Name: "payload", TypeOID: pgtype.JSONBOID},
		{Name: "headers", TypeOID: pgtype.JSONBOID},
		{Name: "created_at", TypeOID: pgtype.TimestamptzOID},
	})
	fmt.Println(err)
	// Output: outbox table public.outbox has no column "paylod" (mapped to payload): its columns are id, type, key, tenant, payload, headers, created_at; did you mean "payload"?
}

func ExampleMapping_Validate() {
	fmt.Println(outbox.DefaultMapping().Validate())
	fmt.Println(outbox.Mapping{Table: "outbox", ID: "id", Type: "type", Payload: "payload"}.Validate())
	// Output:
	// <nil>
	// outbox table "outbox": write it with its schema, for example "public.outbox"
}

func ExampleMapping_SchemaAndName() {
	schema, name := outbox.DefaultMapping().SchemaAndName()
	fmt.Println(schema, name)
	// Output: public outbox
}

func ExampleDefaultMapping() {
	mapping := outbox.DefaultMapping()
	mapping.Key = "aggregate_id"
	mapping.Headers = "" // the table has no such column
	fmt.Println(mapping.Table, mapping.Key, mapping.Headers == "")
	// Output: public.outbox aggregate_id true
}

func ExampleParseLSN() {
	lsn, err := outbox.ParseLSN("16/b374d848")
	fmt.Println(lsn, err)
	// Output: 16/B374D848 <nil>
}

func ExampleEndpointPublication() {
	fmt.Println(outbox.EndpointPublication("tailpost"))
	// Output: tailpost_endpoint
}
