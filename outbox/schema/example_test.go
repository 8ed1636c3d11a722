package schema_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/integration/pgtest"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
)

// withDatabase runs f with a fresh database that has what ddl makes and, unless ddl is empty,
// schema tailpost.
func withDatabase(name, ddl string, f func(ctx context.Context, conn *pgx.Conn) error) {
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
	if err := f(e.Context(), conn); err != nil {
		panic(err)
	}
}

func ExampleMigrate() {
	withDatabase("Migrate", "", func(ctx context.Context, conn *pgx.Conn) error {
		for range 2 {
			result, err := schema.Migrate(ctx, conn, schema.MigrateOptions{Mapping: outbox.DefaultMapping()})
			if err != nil {
				return err
			}
			fmt.Println("up to date:", len(result.Applied) == 0, "outbox table created:", result.OutboxCreated, "partitions made:", result.Partitions)
		}
		return nil
	})
	// Output:
	// up to date: false outbox table created: true partitions made: 4
	// up to date: true outbox table created: false partitions made: 0
}

func ExampleCheck() {
	withDatabase("Check", "", func(ctx context.Context, conn *pgx.Conn) error {
		err := schema.Check(ctx, conn)
		fmt.Println(errors.Is(err, schema.ErrOlder), err)
		return nil
	})
	// Output: true the database has no schema tailpost, or this role may not see it: run tailpost migrate
}

func ExampleCheckTable() {
	withDatabase("CheckTable", "ALTER TABLE public.outbox SET UNLOGGED", func(ctx context.Context, conn *pgx.Conn) error {
		warnings, err := schema.CheckTable(ctx, conn, outbox.DefaultMapping())
		fmt.Println(len(warnings), err)
		return nil
	})
	// Output: 0 outbox table public.outbox is UNLOGGED, so its rows never reach the WAL and none would be delivered: ALTER TABLE "public"."outbox" SET LOGGED
}

func ExampleEnsurePartitions() {
	withDatabase("EnsurePartitions", "CREATE TABLE orders ()", func(ctx context.Context, conn *pgx.Conn) error {
		made, err := schema.EnsurePartitions(ctx, conn, time.Date(2031, 12, 31, 0, 0, 0, 0, time.UTC), 2)
		fmt.Println(made)
		return err
	})
	// Output: 2
}

func ExamplePrint() {
	var script strings.Builder
	err := schema.Print(&script, schema.PrintOptions{Mapping: outbox.DefaultMapping(), Slot: "tailpost"})
	if err != nil {
		panic(err)
	}
	for line := range strings.Lines(script.String()) {
		if strings.HasPrefix(line, "GRANT INSERT ON ") {
			fmt.Print(line)
		}
	}
	// Output: GRANT INSERT ON "public"."outbox" TO "tailpost_application";
}
