// Package relay runs Tailpost: it holds a replication slot, delivers what the stream and the queue
// of parked deliveries bring, and records it.
//
// It owns the lives of all long-lived goroutines and the order in which the parts start and stop;
// it decides nothing about a single delivery. A relay is in one of these states:
//
//	           slot is in use by another
//	          ┌──────── standby ◀───────┐
//	          ▼                         │
//	starting ──▶ taking the slot ──▶ delivering ──▶ draining ──▶ stopped
//	                 ▲                                 │
//	                 └── connection lost, deposed ─────┘
//
// What was in flight when a connection is lost is still answered and recorded before the slot is
// taken again, unless another relay took it meanwhile: then nothing more is recorded.
//
// # Who may send
//
// The slot is a relay's as long as the server believes so, and not every loss of it is said: a
// process may be stopped (SIGSTOP, a suspended machine) and wake when another one delivers. The
// epoch keeps it from recording; what keeps it from sending are two looks, before a request is
// taken up and right before it is written, when name, connection and TLS are done. A look says no
// if the server can have given this relay up (wal_sender_timeout after it last heard of it), or has
// hung up on the stream's or the recording connection, as it does when it crashes. What remains are
// requests that were between the look and the write, and a server whose machine vanished while a
// standby of it was promoted: until the relay would be given up.
//
// # The parts
//
//	source/postgres ──▶ intake ──▶ dispatch ──▶ webhook ──▶ the receiver
//	  ▲      │                        │  ▲
//	  │ ack  │ barriers               │  └─ ledger: what waits in tailpost.delivery
//	  │      ▼                        ▼
//	  └─── frontier ◀──────────── ledger: attempts, queue, counters and position in one transaction
//
//	heal      what the stream did not bring, from the outbox table
//	upkeep    retention, summaries, replays, resends, the watch on the publication
//	api, metrics, panel    beside all that, whether this relay holds the slot or not
//
// Every part has a page of its own: the package comments say what it owns, what it never does, and
// its states.
//
// # Why nothing is lost
//
// An event can leave the stream in three ways only, and none of them comes before what stands for
// it is committed:
//
//   - The slot lets it go. It is told a frontier that was read before the recording transaction
//     which committed it, or while nothing was left to record; only the recorder settles
//     deliveries, so such a frontier covers nothing that is not committed. Hence, at any moment,
//     confirmed_flush_lsn <= tailpost.relay.settled_lsn.
//   - The source skips its transaction, because the commit record begins below the recorded
//     frontier. A frontier is the end of a commit record or the position of a keepalive, both
//     borders between records, so that the transaction ended at or below it: it was settled when
//     that frontier was recorded.
//   - The dispatcher skips the delivery, once, because it is recorded or parked. That is read from
//     the tables; a row too few there would send it twice.
//
// A relay that dies leaves at most one recording transaction under way. Whoever comes next takes
// the epoch by updating the row that this transaction updated first, so it waits for its end: the
// frontier that it then reads, and the tables that it reads after that, have all of it or nothing,
// and a transaction that has not begun by then finds the epoch gone.
package relay
