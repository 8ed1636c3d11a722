// Package doctor examines what a relay needs, before one is started and when one is ill: the
// server, the role, the slot, the publications, the tables, NATS, and the receivers.
//
// It owns the list of checks and their words: what was found, and what exactly mends it. It changes
// nothing, neither in the database nor in NATS nor at a receiver, and takes no lock that anybody
// would notice. What the stream itself would refuse it hears from source/postgres, and what a
// fan-out's streams would from source/jetstream, so that both say the same.
//
// A new check is one row in the table of checks, and a test that breaks a server in that way.
package doctor
