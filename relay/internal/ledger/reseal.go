package ledger

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/jackc/pgx/v5"
)

const resealReadSQL = `
SELECT id, policy::text, secrets
FROM tailpost.endpoint
WHERE secrets IS NOT NULL
ORDER BY id
FOR NO KEY UPDATE`

const resealWriteSQL = `
UPDATE tailpost.endpoint
SET policy = @policy::text::jsonb,
    secrets = @secrets
WHERE id = @id`

const resealVersionsSQL = `
SELECT endpoint_id, commit_lsn::text, seq, "row"::text
FROM tailpost.endpoint_version
WHERE "row" ? 'secrets'
ORDER BY endpoint_id, commit_lsn, seq
FOR NO KEY UPDATE`

const resealVersionSQL = `
UPDATE tailpost.endpoint_version
SET "row" = "row" || jsonb_build_object('policy', @policy::text::jsonb, 'secrets', @secrets::text)
WHERE endpoint_id = @id
  AND commit_lsn = @lsn::text::pg_lsn
  AND seq = @seq`

// Resealer puts into a row, of which it has id, policy and secrets, what is to be stored instead,
// and reports whether it did.
type Resealer func(row *EndpointRow) (changed bool, err error)

// Reseal has what is secret of every endpoint sealed anew, in one transaction. It returns how many
// endpoints have changed.
func (e *Endpoints) Reseal(ctx context.Context, again Resealer) (changed int, err error) {
	err = e.link.Run(ctx, "seal the secrets anew", func(ctx context.Context, conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) (err error) {
			if changed, err = resealEndpoints(ctx, tx, again); err != nil {
				return err
			}
			return resealVersions(ctx, tx, again)
		})
	})
	return changed, err
}

func resealEndpoints(ctx context.Context, tx pgx.Tx, again Resealer) (changed int, err error) {
	rows, err := tx.Query(ctx, resealReadSQL)
	if err != nil {
		return 0, err
	}
	var (
		writes     pgx.Batch
		id, policy string
		sealed     []byte
	)
	_, err = pgx.ForEachRow(rows, []any{&id, &policy, &sealed}, func() error {
		row := EndpointRow{ID: id, Policy: []byte(policy), Secrets: sealed}
		changed, err := again(&row)
		if err != nil {
			return fmt.Errorf("endpoint %q: %w", id, err)
		}
		if changed {
			writes.Queue(resealWriteSQL, pgx.NamedArgs{"id": id, "policy": string(row.Policy), "secrets": row.Secrets})
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return writes.Len(), tx.SendBatch(ctx, &writes).Close()
}

func resealVersions(ctx context.Context, tx pgx.Tx, again Resealer) error {
	rows, err := tx.Query(ctx, resealVersionsSQL)
	if err != nil {
		return err
	}
	var (
		writes        pgx.Batch
		id, lsn, text string
		seq           int64
	)
	_, err = pgx.ForEachRow(rows, []any{&id, &lsn, &seq, &text}, func() error {
		row := EndpointRow{ID: id}
		if err := decodeVersion([]byte(text), &row); err != nil {
			return err
		}
		changed, err := again(&row)
		if err != nil {
			return fmt.Errorf("a version of endpoint %q: %w", id, err)
		}
		if changed {
			writes.Queue(resealVersionSQL, pgx.NamedArgs{
				"id": id, "lsn": lsn, "seq": seq, "policy": string(row.Policy),
				"secrets": base64.StdEncoding.EncodeToString(row.Secrets),
			})
		}
		return nil
	})
	if err != nil {
		return err
	}
	return tx.SendBatch(ctx, &writes).Close()
}
