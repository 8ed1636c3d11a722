package ledger

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/jackc/pgx/v5"
)

const resealReadSQL = `
SELECT id, secrets
FROM tailpost.endpoint
WHERE secrets IS NOT NULL
ORDER BY id
FOR NO KEY UPDATE`

const resealWriteSQL = `
UPDATE tailpost.endpoint
SET secrets = @sealed
WHERE id = @id`

const resealVersionsSQL = `
SELECT endpoint_id, commit_lsn::text, seq, decode("row" ->> 'secrets', 'base64')
FROM tailpost.endpoint_version
WHERE "row" ? 'secrets'
ORDER BY endpoint_id, commit_lsn, seq
FOR NO KEY UPDATE`

const resealVersionSQL = `
UPDATE tailpost.endpoint_version
SET "row" = jsonb_set("row", '{secrets}', to_jsonb(@sealed::text))
WHERE endpoint_id = @id
  AND commit_lsn = @lsn::text::pg_lsn
  AND seq = @seq`

// Reseal has every endpoint's secrets sealed anew, in one transaction. Again gives what is to be stored instead of what is;
// nil: it stays. It returns how many endpoints have changed.
func (l *Ledger) Reseal(ctx context.Context, again func(endpointID string, sealed []byte) ([]byte, error)) (changed int, err error) {
	err = l.load(ctx, "seal the secrets anew", func(ctx context.Context, conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) (err error) {
			if changed, err = resealEndpoints(ctx, tx, again); err != nil {
				return err
			}
			return resealVersions(ctx, tx, again)
		})
	})
	return changed, err
}

func resealEndpoints(ctx context.Context, tx pgx.Tx, again func(string, []byte) ([]byte, error)) (changed int, err error) {
	rows, err := tx.Query(ctx, resealReadSQL)
	if err != nil {
		return 0, err
	}
	var (
		writes pgx.Batch
		id     string
		sealed []byte
	)
	_, err = pgx.ForEachRow(rows, []any{&id, &sealed}, func() error {
		fresh, err := again(id, sealed)
		if err != nil {
			return fmt.Errorf("endpoint %q: %w", id, err)
		}
		if fresh != nil {
			writes.Queue(resealWriteSQL, pgx.NamedArgs{"id": id, "sealed": fresh})
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return writes.Len(), tx.SendBatch(ctx, &writes).Close()
}

func resealVersions(ctx context.Context, tx pgx.Tx, again func(string, []byte) ([]byte, error)) error {
	rows, err := tx.Query(ctx, resealVersionsSQL)
	if err != nil {
		return err
	}
	var (
		writes  pgx.Batch
		id, lsn string
		seq     int64
		sealed  []byte
	)
	_, err = pgx.ForEachRow(rows, []any{&id, &lsn, &seq, &sealed}, func() error {
		fresh, err := again(id, sealed)
		if err != nil {
			return fmt.Errorf("a version of endpoint %q: %w", id, err)
		}
		if fresh != nil {
			writes.Queue(resealVersionSQL, pgx.NamedArgs{
				"id": id, "lsn": lsn, "seq": seq, "sealed": base64.StdEncoding.EncodeToString(fresh),
			})
		}
		return nil
	})
	if err != nil {
		return err
	}
	return tx.SendBatch(ctx, &writes).Close()
}
