// Package pglink owns what every connection to Postgres has in common: how a connection string is
// read, what a session needs before it runs anything, and what an error means for whoever ran into
// it.
//
// It opens no connection by itself and runs no statement of its caller; Configure returns a pgx
// configuration that does the rest whichever way it is used: one connection, a pool, or a
// replication connection.
//
// # The session
//
// All settings are runtime parameters of the startup message, never SET: they hold from the first
// statement on, a name that somebody else defined in the schema public is never found
// (search_path), and row-level security makes a statement fail instead of hiding rows from it. A
// connection pooler passes few of them on, and what follows SET on a pooled connection would land
// in the sessions of the application. So each new connection asks once whether it has what it was
// promised, before anything else is sent:
//
//	connected ──▶ settings read ──┬──▶ as promised: in use
//	                              └──▶ others: ErrPooler, nothing was changed
//
// # Errors
//
// Judge sorts errors by what helps: trying again on this connection, on another one, or nothing but
// a person. Describe makes an error fit for people. Nothing of this package prints a connection
// string or a part of one.
package pglink
