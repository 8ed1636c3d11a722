package outbox_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/integration/pgtest"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
)

// withDatabase runs f with a fresh database that has what ddl makes and, unless ddl is empty,
// schema tailpost.
func withDatabase(name, ddl string, f func(ctx context.Context, conn *pgx.Conn, databaseURL string) error) {
	e, cleanup := pgtest.ExampleTB(context.Background(), name)
	defer cleanup()
	db := pgtest.NewDB(e)
	conn := db.Conn(e)
	if ddl != "" {
		if _, err := schema.Migrate(e.Context(), conn, schema.MigrateOptions{Mapping: outbox.DefaultMapping()}); err != nil {
			panic(err)
		}
		if _, err := conn.PgConn().Exec(e.Context(), ddl).ReadAll(); err != nil {
			panic(err)
		}
	}
	if err := f(e.Context(), conn, db.URL); err != nil {
		panic(err)
	}
}

const ordersTable = "CREATE TABLE orders (id bigint PRIMARY KEY, total numeric NOT NULL)"

func ExampleInsert() {
	withDatabase("Insert", ordersTable, func(ctx context.Context, conn *pgx.Conn, _ string) error {
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "INSERT INTO orders (id, total) VALUES ($1, $2)", 7, "12.50"); err != nil {
				return err
			}
			event, err := outbox.NewEvent("order.created", map[string]any{"id": 7})
			if err != nil {
				return err
			}
			ids, err := outbox.Insert(ctx, tx, event)
			fmt.Println("events in this transaction:", len(ids))
			return err
		})
		if err != nil {
			return err
		}
		var eventType, payload string
		err = conn.QueryRow(ctx, "SELECT type, payload FROM public.outbox").Scan(&eventType, &payload)
		fmt.Println(eventType, payload)
		return err
	})
	// Output:
	// events in this transaction: 1
	// order.created {"id": 7}
}

func ExampleInsertSQL() {
	createOrder := func(ctx context.Context, db *sql.DB) (eventID string, err error) {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return "", err
		}
		defer func() { _ = tx.Rollback() }() // after Commit it does nothing
		if _, err := tx.ExecContext(ctx, "INSERT INTO orders (id, total) VALUES ($1, $2)", 7, "12.50"); err != nil {
			return "", err
		}
		ids, err := outbox.InsertSQL(ctx, tx, outbox.Event{
			Type: "order.created", Key: "order-7", Payload: json.RawMessage(`{"id":7}`),
		})
		if err != nil {
			return "", err
		}
		return ids[0], tx.Commit()
	}
	withDatabase("InsertSQL", ordersTable, func(ctx context.Context, _ *pgx.Conn, databaseURL string) error {
		db, err := sql.Open("pgx", databaseURL)
		if err != nil {
			return err
		}
		defer func() { _ = db.Close() }()
		id, err := createOrder(ctx, db)
		fmt.Println("characters of the id:", len(id))
		return err
	})
	// Output: characters of the id: 36
}

func ExampleNewWriter() {
	const existingTable = `
CREATE SCHEMA app;
CREATE TABLE app.events (
    nr           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind         text NOT NULL,
    aggregate_id text,
    body         bytea
)`
	withDatabase("NewWriter", existingTable, func(ctx context.Context, conn *pgx.Conn, _ string) error {
		writer, err := outbox.NewWriter(
			outbox.Mapping{Table: "app.events", ID: "nr", Type: "kind", Key: "aggregate_id", Payload: "body"},
			outbox.WithDatabaseIDs(), outbox.WithByteaPayload(),
		)
		if err != nil {
			return err
		}
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			ids, err := writer.Insert(ctx, tx,
				outbox.Event{Type: "order.created", Key: "7", Payload: json.RawMessage(`{"id":7}`)},
				outbox.Event{Type: "order.paid", Key: "7", Payload: json.RawMessage(`{"id":7}`)},
			)
			fmt.Println(ids)
			return err
		})
	})
	// Output: [1 2]
}

func ExampleEmit() {
	withDatabase("Emit", "", func(ctx context.Context, conn *pgx.Conn, _ string) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			ids, err := outbox.Emit(ctx, tx, "myapp", outbox.Event{ID: "cart-9", Type: "cart.abandoned", Payload: json.RawMessage(`{"cart":9}`)})
			fmt.Println(ids)
			return err
		})
	})
	// Output: [cart-9]
}

func ExampleEmitSQL() {
	withDatabase("EmitSQL", "", func(ctx context.Context, _ *pgx.Conn, databaseURL string) error {
		db, err := sql.Open("pgx", databaseURL)
		if err != nil {
			return err
		}
		defer func() { _ = db.Close() }()
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // after Commit it does nothing
		ids, err := outbox.EmitSQL(ctx, tx, "myapp", outbox.Event{ID: "cart-9", Type: "cart.abandoned"})
		if err != nil {
			return err
		}
		fmt.Println(ids)
		return tx.Commit()
	})
	// Output: [cart-9]
}
