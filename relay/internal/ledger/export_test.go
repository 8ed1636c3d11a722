package ledger

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Watching reports whether Watch has the connection now.
func Watching(l *Ledger) bool {
	loan := l.link.loan
	loan.mu.Lock()
	defer loan.mu.Unlock()
	return loan.unwatch != nil
}

// Statements of what waits, for their plans.
const (
	PageSQL, NextSQL   = pageSQL, nextSQL
	HeadsSQL, FirstSQL = headsSQL, firstSQL
	DueKeysSQL         = dueKeysSQL
	UnblockSQL         = unblockSQL
)

// Explain returns the plan of a statement on the connection for what waits, with what it read.
func (w *Parked) Explain(ctx context.Context, sql string, args pgx.NamedArgs) (plan []byte, err error) {
	err = w.link.Once(ctx, "explain", func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "EXPLAIN (ANALYZE, FORMAT JSON)"+sql, args).Scan(&plan)
	})
	return plan, err
}
