package source

import "github.com/tailpost/tailpost/outbox"

// Position is a place in a source's order: of two transactions, the one that comes later has the
// higher one. What the number counts is the source's own affair; for a replication slot it is an
// LSN. Zero is before everything.
type Position uint64

// String returns the position as the ledger's columns have it: in the form of pg_lsn, like
// 16/B374D848.
func (p Position) String() string { return outbox.LSN(p).String() }
