package intake

import "github.com/tailpost/tailpost/relay/internal/source"

// Elsewhere takes transactions that others deliver, without their events: those a dispatcher passes
// on, between Begin and Commit. Its methods are called on the source's goroutine and must not
// block; each stored is called once, from any goroutine, when what it belongs to is where others
// find it whatever happens to this process.
type Elsewhere interface {
	Begin(tx source.Tx)
	// Row passes on a changed row of the table of endpoints.
	Row(endpoint string, row source.Row, stored func())
	// Due says that somebody changed an endpoint's rows in the table.
	Due(endpoint string, stored func())
	// Touched reports whether anything of the transaction was passed on so far.
	Touched() bool
	// Commit ends the transaction; stored is nil where nothing was passed on.
	Commit(tx source.Tx, stored func())
	// Flush says that nothing more is taken until some of what was passed on is stored.
	Flush()
	// Keepalive says that nothing below p is still to come.
	Keepalive(p source.Position)
}
