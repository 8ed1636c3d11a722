// Package postgres reads the write-ahead log: it is the sole owner of the replication connection.
// It makes and checks the publications and the slot, streams committed transactions to a Handler in
// commit order, and tells Postgres how far the slot may let go. It never decides how far that is
// (the caller does, with Ack), never interprets a row and never retries: whatever goes wrong ends
// Run with an error that says what it was, and the caller opens a new Stream.
//
// A Stream goes through these states:
//
//	Open ─▶ ready ── Start ──▶ streaming ── Run ends, Close ──▶ closed
//	          ▲        │
//	          └────────┘ ErrSlotActive: another relay holds the slot; stand by and Start again
//
// While Run reads, a transaction looks like this:
//
//	        Begin              Commit
//	idle ───────────▶ inside ─────────▶ idle
//	 │ ▲                │ ▲
//	 └─┘ Keepalive      └─┘ Change, Message
//
// One goroutine, that of Run, uses the connection. It waits for the server without polling:
// everything that needs it sooner (an Ack, a status that is due, the end of its context) moves the
// connection's read deadline.
//
// Postgres decodes what the relay itself writes, to find that it is not published: about 2 µs a
// row. Half of that would be saved on 16 and later by giving the recording session a replication
// origin and streaming with origin 'none'. That option also leaves out outbox rows that came into
// this database by logical replication, which nobody would then be told of, and the operational
// events that the relay emits. So it is not used.
package postgres
