package ledger

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox"
)

// EndpointVersion is an endpoint made through the API as it was from a place in the stream on.
type EndpointVersion struct {
	EndpointID string
	CommitLSN  outbox.LSN // of the change's commit record
	Seq        int64      // place of the change among those of endpoints in its transaction
	Row        []byte     // see EncodeVersion; nil: it was deleted
}

// Dropped says that an endpoint is gone: its deliveries of events before a place in the stream go
// too.
type Dropped struct {
	EndpointID string
	CommitLSN  outbox.LSN
	Seq        int64 // of the first event behind the place
}

// versionJSON is tailpost.endpoint_version.row: what decides where and how an endpoint's requests
// are made.
type versionJSON struct {
	Tenant        string          `json:"tenant,omitempty"`
	Name          string          `json:"name"`
	URL           string          `json:"url"`
	Description   string          `json:"description"`
	Subscriptions json.RawMessage `json:"subscriptions"`
	Policy        json.RawMessage `json:"policy"`
	Secrets       []byte          `json:"secrets,omitempty"`
}

// EncodeVersion returns the part of a row that is versioned. It holds no secret in the clear.
func EncodeVersion(row *EndpointRow) ([]byte, error) {
	text, err := json.Marshal(versionJSON{
		Tenant: row.Tenant, Name: row.Name, URL: row.URL, Description: row.Description,
		Subscriptions: row.Subscriptions, Policy: row.Policy, Secrets: row.Secrets,
	})
	if err != nil {
		return nil, fmt.Errorf("encode a version of endpoint %q: %w", row.ID, err)
	}
	return text, nil
}

func decodeVersion(text []byte, row *EndpointRow) error {
	var v versionJSON
	if err := json.Unmarshal(text, &v); err != nil {
		return fmt.Errorf("read a version of endpoint %q: %w", row.ID, err)
	}
	row.Tenant, row.Name, row.URL, row.Description = v.Tenant, v.Name, v.URL, v.Description
	row.Subscriptions, row.Policy, row.Secrets = v.Subscriptions, v.Policy, v.Secrets
	return nil
}

const versionSQL = `
INSERT INTO tailpost.endpoint_version AS v (endpoint_id, commit_lsn, seq, "row")
SELECT n.endpoint_id, n.commit_lsn, n.seq, n."row"::jsonb
FROM unnest($1::text[], $2::pg_lsn[], $3::bigint[], $4::text[]) AS n (endpoint_id, commit_lsn, seq, "row")
ON CONFLICT (endpoint_id, commit_lsn, seq) DO UPDATE
SET "row" = EXCLUDED."row"`

// leastSQL is where the partition is that is behind most; NULL: there are none. Nobody begins to
// stream below the least of that and the slot's place.
const leastSQL = `(SELECT min(p.settled_lsn) FROM tailpost.relay AS p WHERE p.partition_of IS NOT NULL AND p.partitions <> 0)`

// pruneSQL leaves of each endpoint's versions the newest before the frontier and those after it.
const pruneSQL = `
DELETE FROM tailpost.endpoint_version AS v
USING unnest($1::text[]) AS n (endpoint_id)
WHERE v.endpoint_id = n.endpoint_id
  AND EXISTS (
      SELECT 1
      FROM tailpost.endpoint_version AS o
      WHERE o.endpoint_id = v.endpoint_id
        AND o.commit_lsn < LEAST($2::pg_lsn, ` + leastSQL + `)
        AND (o.commit_lsn, o.seq) > (v.commit_lsn, v.seq)
  )`

const dropSQL = `
DELETE FROM tailpost.delivery AS d
USING unnest($1::text[], $2::pg_lsn[], $3::bigint[]) AS g (endpoint_id, commit_lsn, seq)
WHERE d.endpoint_id = g.endpoint_id
  AND (d.commit_lsn, d.seq) < (g.commit_lsn, g.seq)`

// versions writes the versions of a batch whose frontier is settled.
func (w *encoder) versions(vs []EndpointVersion, settled outbox.LSN) {
	w.bind(versionStatement, 4)
	column(w, oidText, vs, func(v *EndpointVersion) { w.text(v.EndpointID) })
	column(w, oidLSN, vs, func(v *EndpointVersion) { w.lsn(v.CommitLSN) })
	column(w, oidInt8, vs, func(v *EndpointVersion) { w.int8(v.Seq) })
	column(w, oidText, vs, func(v *EndpointVersion) {
		if v.Row == nil {
			w.null()
			return
		}
		w.bytes(v.Row)
	})
	w.run()
	w.bind(pruneStatement, 2)
	column(w, oidText, vs, func(v *EndpointVersion) { w.text(v.EndpointID) })
	w.lsn(settled)
	w.run()
}

func (w *encoder) drop(ds []Dropped) {
	w.bind(dropStatement, 3)
	column(w, oidText, ds, func(d *Dropped) { w.text(d.EndpointID) })
	column(w, oidLSN, ds, func(d *Dropped) { w.lsn(d.CommitLSN) })
	column(w, oidInt8, ds, func(d *Dropped) { w.int8(d.Seq) })
	w.run()
}

// lastVersions leaves the last of several versions of one place, which is that of a transaction
// that is read again.
func lastVersions(vs []EndpointVersion) []EndpointVersion {
	type place struct {
		id  string
		lsn outbox.LSN
		seq int64
	}
	at := make(map[place]int, len(vs))
	kept := make([]EndpointVersion, 0, len(vs))
	for _, v := range vs {
		p := place{v.EndpointID, v.CommitLSN, v.Seq}
		if i, again := at[p]; again {
			kept[i] = v
			continue
		}
		at[p] = len(kept)
		kept = append(kept, v)
	}
	return kept
}

// endpointColumns are the columns of scanEndpoint, in its order.
const endpointColumns = `
SELECT e.id, COALESCE(e.tenant, ''), e.name, e.url, e.description, e.subscriptions::text, e.policy::text, e.status,
       COALESCE(e.disabled_reason, ''), e.failing_since, e.source, e.secrets, COALESCE(e.secret_prefix, ''),
       COALESCE(e.origin, ''), e.version, e.created_at, e.updated_at, COALESCE(e.verified, '')`

func scanEndpoint(row pgx.CollectableRow) (e EndpointRow, err error) {
	var (
		subscriptions, policy string
		failing               *time.Time
	)
	err = row.Scan(&e.ID, &e.Tenant, &e.Name, &e.URL, &e.Description, &subscriptions, &policy, &e.Status,
		&e.DisabledReason, &failing, &e.Source, &e.Secrets, &e.SecretPrefix, &e.Origin, &e.Version, &e.CreatedAt, &e.UpdatedAt,
		&e.Verified)
	e.Subscriptions, e.Policy = []byte(subscriptions), []byte(policy)
	if failing != nil {
		e.FailingSince = failing.UTC()
	}
	return e, err
}

const versionsClearSQL = `DELETE FROM tailpost.endpoint_version`

const versionsFillSQL = `
INSERT INTO tailpost.endpoint_version (endpoint_id, commit_lsn, seq, "row")
SELECT id, '0/0', 0, jsonb_strip_nulls(jsonb_build_object(
    'tenant', tenant, 'name', name, 'url', url, 'description', description,
    'secrets', translate(encode(secrets, 'base64'), E'\n', '')
)) || jsonb_build_object('subscriptions', subscriptions, 'policy', policy)
FROM tailpost.endpoint
WHERE source = 'api'`

const versionsPruneSQL = `
DELETE FROM tailpost.endpoint_version AS v
WHERE v.commit_lsn < LEAST(@before::text::pg_lsn, ` + leastSQL + `)
  AND (
      EXISTS (
          SELECT 1
          FROM tailpost.endpoint_version AS o
          WHERE o.endpoint_id = v.endpoint_id
            AND o.commit_lsn < LEAST(@before::text::pg_lsn, ` + leastSQL + `)
            AND (o.commit_lsn, o.seq) > (v.commit_lsn, v.seq)
      )
      OR v."row" IS NULL
  )`

const versionsReadSQL = `
SELECT v.endpoint_id, v."row"::text, e.status, COALESCE(e.disabled_reason, ''), e.failing_since, e.version, COALESCE(e.verified, '')
FROM (
    SELECT DISTINCT ON (endpoint_id) endpoint_id, "row"
    FROM tailpost.endpoint_version
    WHERE commit_lsn < @before::text::pg_lsn
    ORDER BY endpoint_id, commit_lsn DESC, seq DESC
) AS v
JOIN tailpost.endpoint AS e ON e.id = v.endpoint_id
WHERE v."row" IS NOT NULL
  AND e.source = 'api'
ORDER BY v.endpoint_id`

const versionsBegunSQL = `
SELECT count(*) > 0
FROM tailpost.relay
WHERE slot = @slot
  AND system_id = @system_id`

// ResetVersions notes the endpoints made through the API as they are now, where the stream does not
// lead up to now without a gap: when asked to, and when the slot's row was never taken on this
// cluster. It belongs before Take, so that a relay that dies in between does it again.
func (e *Endpoints) ResetVersions(ctx context.Context, slot, systemID string, gap bool) error {
	return e.link.Run(ctx, "note the endpoints made through the API", func(ctx context.Context, conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			var begun bool
			err := tx.QueryRow(ctx, versionsBegunSQL, pgx.NamedArgs{"slot": slot, "system_id": systemID}).Scan(&begun)
			if err != nil || (begun && !gap) {
				return err
			}
			for _, sql := range []string{versionsClearSQL, versionsFillSQL} {
				if _, err := tx.Exec(ctx, sql); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// Versions returns the endpoints made through the API as they were at a place in the stream, with
// their state of now: what a relay that streams from there begins with. One that is deleted by now
// is left out: it gets nothing more.
func (e *Endpoints) Versions(ctx context.Context, before outbox.LSN) ([]EndpointRow, error) {
	var found []EndpointRow
	err := e.link.Run(ctx, "load the endpoints made through the API", func(ctx context.Context, conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) (err error) {
			found, err = versions(ctx, tx, before)
			return err
		})
	})
	return found, err
}

func versions(ctx context.Context, tx pgx.Tx, before outbox.LSN) ([]EndpointRow, error) {
	args := pgx.NamedArgs{"before": before.String()}
	if _, err := tx.Exec(ctx, versionsPruneSQL, args); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, versionsReadSQL, args)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (EndpointRow, error) {
		var (
			e       = EndpointRow{Source: SourceAPI}
			text    string
			failing *time.Time
		)
		if err := row.Scan(&e.ID, &text, &e.Status, &e.DisabledReason, &failing, &e.Version, &e.Verified); err != nil {
			return e, err
		}
		if failing != nil {
			e.FailingSince = failing.UTC()
		}
		return e, decodeVersion([]byte(text), &e)
	})
}

const presentSQL = endpointColumns + `
FROM tailpost.endpoint AS e
WHERE e.source = 'api'
  AND (@ids::text[] IS NULL OR e.id = ANY (@ids))
ORDER BY e.id`

// Present returns the endpoints made through the API as they are now; of no ids: all of them.
func (e *Endpoints) Present(ctx context.Context, ids []string) (rows []EndpointRow, err error) {
	err = e.link.Run(ctx, "load endpoints", func(ctx context.Context, conn *pgx.Conn) error {
		found, err := conn.Query(ctx, presentSQL, pgx.NamedArgs{"ids": ids})
		if err != nil {
			return err
		}
		rows, err = pgx.CollectRows(found, scanEndpoint)
		return err
	})
	return rows, err
}

func parseBytea(text string) ([]byte, error) {
	digits, ok := strings.CutPrefix(text, `\x`)
	data, err := hex.DecodeString(digits)
	if !ok || err != nil {
		return nil, errors.New("read secrets: not bytea in its hexadecimal form")
	}
	return data, nil
}

// RowParser reads streamed rows of tailpost.endpoint.
type RowParser struct{ columns map[string]int }

// NewRowParser makes a RowParser of the table's columns.
func NewRowParser(columns []outbox.Column) (*RowParser, error) {
	p := &RowParser{columns: make(map[string]int, len(columns))}
	for i, c := range columns {
		p.columns[c.Name] = i
	}
	for _, name := range []string{"id", "tenant", "name", "url", "description", "subscriptions", "policy", "status", "disabled_reason", "failing_since", "source", "secrets", "version"} {
		if _, ok := p.columns[name]; !ok {
			return nil, fmt.Errorf("tailpost.endpoint has no column %q: run the tailpost release that migrated the database", name)
		}
	}
	return p, nil
}

// text copies a value; empty for NULL and where it is not there.
func (p *RowParser) text(row []outbox.Value, name string) string {
	i, ok := p.columns[name]
	if !ok || i >= len(row) || row[i].Kind != outbox.TextValue {
		return ""
	}
	return string(row[i].Data)
}

// ID returns the id of a row, which also a deleted one has.
func (p *RowParser) ID(row []outbox.Value) string { return p.text(row, "id") }

// Source returns the source of a row, which also a deleted one has.
func (p *RowParser) Source(row []outbox.Value) string { return p.text(row, "source") }

// Parse reads a whole row. Nothing of it aliases the values.
func (p *RowParser) Parse(row []outbox.Value) (EndpointRow, error) {
	e := EndpointRow{
		ID: p.text(row, "id"), Tenant: p.text(row, "tenant"), Name: p.text(row, "name"), URL: p.text(row, "url"),
		Description: p.text(row, "description"), Status: p.text(row, "status"), DisabledReason: p.text(row, "disabled_reason"),
		Source: p.text(row, "source"), SecretPrefix: p.text(row, "secret_prefix"), Verified: p.text(row, "verified"), Origin: p.text(row, "origin"),
		Subscriptions: []byte(p.text(row, "subscriptions")), Policy: []byte(p.text(row, "policy")),
	}
	for _, v := range row {
		if v.Kind == outbox.UnchangedTOAST {
			return e, errors.New("a value is missing in the stream: ALTER TABLE tailpost.endpoint REPLICA IDENTITY FULL")
		}
	}
	var err error
	if text := p.text(row, "secrets"); text != "" {
		if e.Secrets, err = parseBytea(text); err != nil {
			return e, err
		}
	}
	if text := p.text(row, "version"); text != "" {
		if e.Version, err = strconv.ParseInt(text, 10, 64); err != nil {
			return e, fmt.Errorf("read version: %w", err)
		}
	}
	if text := p.text(row, "failing_since"); text != "" {
		// As the stream's session has it: ISO, UTC.
		at, err := time.Parse("2006-01-02 15:04:05.999999999Z07", text)
		if err != nil {
			return e, fmt.Errorf("read failing_since: %w", err)
		}
		e.FailingSince = at.UTC()
	}
	return e, nil
}
