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
// A relay holds the slot for as long as the server believes so, and it may lose the slot without
// being told: a process may be stopped (SIGSTOP, a suspended machine) and wake when another one
// delivers. The epoch keeps it from recording. Two checks keep it from sending: one before a
// request is begun, and one right before it is written, when name, connection and TLS are done. A
// check fails if the server may have given this relay up (wal_sender_timeout after it last heard
// from it), or has hung up on the stream's or the recording connection, as it does when it crashes.
//
// What remains are requests between the check and the write, and a server whose machine vanished
// while its standby was promoted, until it would have given the relay up.
//
// # The parts
//
//	source/postgres ──▶ intake ──▶ dispatch ──▶ webhook ──▶ the receiver
//	  ▲      │                        │  ▲
//	  │ ack  │ barriers               │  └─ ledger: what waits in tailpost.delivery
//	  │      ▼                        ▼
//	  └─── frontier ◀──────────── ledger: attempts, queue, counters, position: one transaction
//
//	heal       finds in the outbox table what the stream did not bring
//	upkeep     retention, summaries, replays, resends, the watch on the publication
//	api, panel, telemetry    run whether this relay holds the slot or not
//
// The doc.go of each part says what it owns, what it never does, and its states.
//
// # A fleet
//
// With a fan-out the relay that holds the slot, the reader, delivers nothing itself: its dispatcher
// routes, and publishes to partitions what their endpoints are to get. Every relay is a sender,
// too: it owns a share of the partitions, each with a source, a dispatcher, a ledger and an epoch
// of its own, and what runs beside delivery stays with the reader. See package fleet.
//
//	slot ─▶ intake ─▶ dispatch ─▶ fleet.Reader ─▶ jetstream.Publisher ─▶ streams      (the reader)
//	streams ─▶ jetstream.Source ─▶ intake ─▶ dispatch ─▶ webhook; ledger        (each partition)
//	                     ▲
//	                   lease: who owns which
//
// A transaction is settled for the slot when all of it is stored in the streams, and for a
// partition when what it got of it is recorded there. A barrier is passed once all partitions are
// beyond it. Where NATS takes nothing for too long, the reader deposes the senders and delivers
// alone.
//
// # Why nothing is lost
//
// An event leaves the stream in one of three ways, and none of them comes before its deliveries are
// committed, as attempts or as rows of the queue:
//
//   - The slot lets it go. The slot is acknowledged up to a frontier that was read before the
//     recording transaction that committed it, or while nothing was left to record. Only the
//     recorder settles deliveries, so such a frontier covers nothing that is not committed. Hence,
//     at any moment, confirmed_flush_lsn <= tailpost.relay.settled_lsn.
//   - The source skips its transaction, because the commit record begins below the recorded
//     frontier. A frontier is the end of a commit record or the position of a keepalive, both
//     borders between records, so that the transaction ended at or below it: it was settled when
//     that frontier was recorded.
//   - The dispatcher skips the delivery, once, because it is recorded or parked already. It learns
//     that from the tables; a missing row would only have the delivery sent twice.
//
// A relay that dies leaves at most one recording transaction under way. Its successor takes the
// epoch by updating the row that this transaction updated first, and so waits for it to end. The
// frontier and the tables that it reads afterwards have all of that transaction or nothing of it,
// and a transaction that has not begun by then finds the epoch gone.
package relay
