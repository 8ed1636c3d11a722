package outbox_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tailpost/tailpost/outbox"
)

// exampleConn stands for the application's connection.
func exampleConn(ctx context.Context) (*pgx.Conn, error) {
	return pgx.Connect(ctx, os.Getenv("DATABASE_URL"))
}

func ExampleNewEvent() {
	event, err := outbox.NewEvent("order.created", map[string]any{"id": 7, "total": "12.50"})
	if err != nil {
		log.Fatal(err)
	}
	event.Key = "order-7"
	fmt.Println(event.Type, event.Key, string(event.Payload))

	_, err = outbox.NewEvent("", nil)
	fmt.Println(err, errors.Is(err, outbox.ErrInvalidEvent))
	// Output:
	// order.created order-7 {"id":7,"total":"12.50"}
	// invalid event: its type is empty true
}

func ExampleInsert() {
	ctx := context.Background()
	conn, err := exampleConn(ctx)
	if err != nil {
		log.Fatal(err)
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "INSERT INTO orders (id, total) VALUES ($1, $2)", 7, "12.50"); err != nil {
			return err
		}
		event, err := outbox.NewEvent("order.created", map[string]any{"id": 7})
		if err != nil {
			return err
		}
		_, err = outbox.Insert(ctx, tx, event)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
}

func ExampleInsertSQL() {
	ctx := context.Background()
	insertOrder := func(db *sql.DB) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
		if _, err := tx.ExecContext(ctx, "INSERT INTO orders (id, total) VALUES ($1, $2)", 7, "12.50"); err != nil {
			return err
		}
		ids, err := outbox.InsertSQL(ctx, tx, outbox.Event{Type: "order.created", Payload: json.RawMessage(`{"id":7}`)})
		if err != nil {
			return err
		}
		log.Printf("event %s", ids[0])
		return tx.Commit()
	}
	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	if err := insertOrder(db); err != nil {
		log.Fatal(err)
	}
}

func ExampleNewWriter() {
	ctx := context.Background()
	// CREATE TABLE app.events (
	//     nr bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, kind text NOT NULL, aggregate_id text, body bytea
	// )
	writer, err := outbox.NewWriter(
		outbox.Mapping{Table: "app.events", ID: "nr", Type: "kind", Key: "aggregate_id", Payload: "body"},
		outbox.WithDatabaseIDs(), outbox.WithByteaPayload(),
	)
	if err != nil {
		log.Fatal(err)
	}
	conn, err := exampleConn(ctx)
	if err != nil {
		log.Fatal(err)
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		_, err := writer.Insert(ctx, tx,
			outbox.Event{Type: "order.created", Key: "7", Payload: json.RawMessage(`{"id":7}`)},
			outbox.Event{Type: "order.paid", Key: "7", Payload: json.RawMessage(`{"id":7}`)},
		)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
}

func ExampleEmit() {
	ctx := context.Background()
	conn, err := exampleConn(ctx)
	if err != nil {
		log.Fatal(err)
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		_, err := outbox.Emit(ctx, tx, "myapp", outbox.Event{Type: "cart.abandoned", Payload: json.RawMessage(`{"cart":9}`)})
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
}

func ExampleEmitSQL() {
	ctx := context.Background()
	emit := func(tx *sql.Tx) error {
		_, err := outbox.EmitSQL(ctx, tx, "myapp", outbox.Event{Type: "cart.abandoned"})
		return err
	}
	_ = emit
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
		log.Fatal(err)
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
		{Name: "id", TypeOID: pgtype.UUIDOID}, {Name: "type", TypeOID: pgtype.TextOID}, {Name: "key", TypeOID: pgtype.TextOID},
		{Name: "tenant", TypeOID: pgtype.TextOID}, {Name: "payload", TypeOID: pgtype.JSONBOID}, {Name: "headers", TypeOID: pgtype.JSONBOID},
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
	fmt.Println(mapping.Table, mapping.Key)
	// Output: public.outbox aggregate_id
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

func ExampleMigrate() {
	ctx := context.Background()
	conn, err := exampleConn(ctx)
	if err != nil {
		log.Fatal(err)
	}
	result, err := outbox.Migrate(ctx, conn, outbox.MigrateOptions{Mapping: outbox.DefaultMapping()})
	if errors.Is(err, outbox.ErrNewerSchema) {
		log.Fatal("this release is too old for the database: ", err)
	}
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range result.Applied {
		log.Printf("applied migration %d: %s", m.Version, m.Name)
	}
}

func ExampleCheckSchema() {
	ctx := context.Background()
	conn, err := exampleConn(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if err := outbox.CheckSchema(ctx, conn); err != nil {
		log.Fatal(err)
	}
}

func ExampleCheckTable() {
	ctx := context.Background()
	conn, err := exampleConn(ctx)
	if err != nil {
		log.Fatal(err)
	}
	warnings, err := outbox.CheckTable(ctx, conn, outbox.DefaultMapping())
	if err != nil {
		log.Fatal(err)
	}
	for _, w := range warnings {
		log.Print(w)
	}
}

func ExampleEnsurePartitions() {
	ctx := context.Background()
	conn, err := exampleConn(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := outbox.EnsurePartitions(ctx, conn, time.Now(), 4); err != nil {
		log.Fatal(err)
	}
}

func ExamplePrintSQL() {
	var script strings.Builder
	err := outbox.PrintSQL(&script, outbox.PrintOptions{Mapping: outbox.DefaultMapping(), Slot: "tailpost"})
	if err != nil {
		log.Fatal(err)
	}
	for line := range strings.Lines(script.String()) {
		if strings.HasPrefix(line, "GRANT INSERT ON ") {
			fmt.Print(line)
		}
	}
	// Output: GRANT INSERT ON "public"."outbox" TO "tailpost_application";
}
