package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// database is a database of a case's own, with Tailpost's tables, an outbox and a slot.
type database struct {
	b      *bench
	name   string
	url    string
	conn   *pgx.Conn
	config string // path

	proxied bool // requests go through the proxy that each process is told of
}

// endpoint is an endpoint block of a case.
type endpoint struct {
	path string
	url  string // without the path; empty: the receiver's
	hcl  string // attributes beside URL and secret
}

// endpoints makes n of them; each wants the events of one type, or all of them want all.
func endpoints(n int, all bool, hcl string) []endpoint {
	list := make([]endpoint, n)
	for i := range list {
		list[i] = endpoint{path: path(i), hcl: hcl}
		if !all {
			list[i].hcl += fmt.Sprintf("\n  subscription {\n    events = [%q]\n  }", eventType(i))
		}
	}
	return list
}

// eventType is the type of the events for the nth endpoint.
func eventType(n int) string { return fmt.Sprintf("bench.type_%d", n) }

// newDatabase makes a database and lets the relay take its slot once, so that what is inserted from
// now on is delivered. More are further blocks of the configuration.
func (b *bench) newDatabase(ctx context.Context, list []endpoint, more ...string) (*database, error) {
	b.sink.reset()
	b.number++
	d := &database{b: b, name: fmt.Sprintf("bench_%d", b.number)}
	d.url = b.server.URL(d.name)
	d.config = filepath.Join(b.dir, d.name+".hcl")
	if err := b.exec(ctx, "CREATE DATABASE "+d.name); err != nil {
		return nil, err
	}
	if err := d.configure(list, more...); err != nil {
		return nil, err
	}
	if out, err := d.command(ctx, "migrate").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("migrate: %w\n%s", err, out)
	}
	var err error
	if d.conn, err = pgx.Connect(ctx, d.url); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if _, err := d.conn.Exec(ctx, schema); err != nil {
		return nil, fmt.Errorf("make what the cases need: %w", err)
	}
	r, err := d.startRelay(ctx)
	if err != nil {
		return nil, err
	}
	return d, r.stop()
}

// schema is the poller's, and a procedure that fills either outbox on the server, many rows to a
// transaction.
const schema = pollerSchema + `;
CREATE PROCEDURE fill(outbox regclass, first_seq bigint, events bigint, per_transaction bigint, types bigint, filler text)
LANGUAGE plpgsql
AS $$
DECLARE
    last_seq bigint := first_seq + events - 1;
    tenant_column text := CASE outbox WHEN 'outbox'::regclass THEN ', tenant' ELSE '' END;
    tenant_value  text := CASE outbox WHEN 'outbox'::regclass THEN ', ''tenant_'' || i % $3 % 1000' ELSE '' END;
BEGIN
    FOR chunk IN 0 .. (events - 1) / per_transaction LOOP
        EXECUTE format(
            'INSERT INTO %s (type, payload%s)
             SELECT ''bench.type_'' || i %% $3, jsonb_build_object(''seq'', i, ''filler'', $4::text, ''sent_at'', 0)%s
             FROM generate_series($1::bigint, $2::bigint) AS i', outbox, tenant_column, tenant_value)
        USING first_seq + chunk * per_transaction,
              least(first_seq + (chunk + 1) * per_transaction - 1, last_seq), types, filler;
        COMMIT;
    END LOOP;
END
$$`

func (b *bench) exec(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, b.server.URL("postgres"))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("%.40s…: %w", sql, err)
	}
	return nil
}

// configure writes the configuration.
func (d *database) configure(list []endpoint, more ...string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "database {\n  url  = env(\"DATABASE_URL\")\n  slot = %q\n}\n", d.name)
	b.WriteString("network {\n  allow      = [\"127.0.0.0/8\"]\n  allow_http = true\n")
	if d.proxied {
		b.WriteString("  proxy      = env(\"PROXY\")\n")
	}
	b.WriteString("}\n")
	b.WriteString(strings.Join(more, ""))
	for i, e := range list {
		if e.url == "" {
			e.url = d.b.sink.url
		}
		fmt.Fprintf(&b, "endpoint \"endpoint_%d\" {\n  url    = %q\n  secret = env(\"SECRET\")\n  %s\n}\n", i, e.url+e.path, e.hcl)
	}
	if err := os.WriteFile(d.config, []byte(b.String()), 0o600); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return nil
}

// command is the binary with this database's configuration.
func (d *database) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, d.b.binary, append(args, "-c", d.config)...) //nolint:gosec // the binary to measure
	cmd.Env = append(os.Environ(), "DATABASE_URL="+d.url, "SECRET="+secret)
	return cmd
}

// fillTenants inserts n events of types that take turns, each type's of the tenant of its endpoint.
func (d *database) fillTenants(ctx context.Context, n, types, tenants int) error {
	_, err := d.conn.Exec(ctx, `
INSERT INTO outbox (type, payload, tenant)
SELECT 'bench.type_' || i % $2, jsonb_build_object('seq', i, 'filler', $4::text, 'sent_at', 0), 'tenant_' || i % $2 % $3
FROM generate_series(0, $1::bigint - 1) AS i`, n, types, tenants, filler)
	if err != nil {
		return fmt.Errorf("fill outbox: %w", err)
	}
	return nil
}

// fill inserts n events, of types that take turns, into the outbox or the poller's table.
func (d *database) fill(ctx context.Context, table string, n, perTransaction, types int) error {
	_, err := d.conn.Exec(ctx, "CALL fill($1::text::regclass, 0, $2, $3, $4, $5)", table, n, perTransaction, types, filler)
	if err != nil {
		return fmt.Errorf("fill %s: %w", table, err)
	}
	return nil
}

// wal is how far the server has written.
func (d *database) wal(ctx context.Context) (bytes int64, err error) {
	err = d.conn.QueryRow(ctx, "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").Scan(&bytes)
	return bytes, err
}

// close drops the slot and the database.
func (d *database) close(ctx context.Context) error {
	errs := []error{d.conn.Close(ctx)}
	// The server may need a moment to see that the relay is gone.
	for deadline := time.Now().Add(10 * time.Second); ; {
		err := d.b.exec(ctx, fmt.Sprintf("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '%s'", d.name))
		if err == nil || time.Now().After(deadline) {
			errs = append(errs, err)
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return errors.Join(append(errs, d.b.exec(ctx, "DROP DATABASE "+d.name+" WITH (FORCE)"))...)
}
