// Package relay runs Tailpost: it holds a replication slot, delivers what the stream and the queue of parked deliveries
// bring, and records it.
//
// It owns the lives of all long-lived goroutines and the order in which the parts start and stop; it decides nothing
// about a single delivery. A relay is in one of these states:
//
//	           slot is in use by another
//	          ┌──────── standby ◀───────┐
//	          ▼                         │
//	starting ──▶ taking the slot ──▶ delivering ──▶ draining ──▶ stopped
//	                 ▲                                 │
//	                 └── connection lost, deposed ─────┘
//
// What was in flight when a connection is lost is still answered and recorded before the slot is taken again, unless
// another relay took it meanwhile: then nothing more is recorded.
//
// # Who may send
//
// The slot is a relay's as long as the server believes so, and not every loss of it is said: a process may be stopped (SIGSTOP, a
// suspended machine) and wake when another one delivers. The epoch keeps it from recording; what keeps it from sending are two
// looks, before a request is taken up and right before it is written, when name, connection and TLS are done. A look says no if
// the server can have given this relay up (wal_sender_timeout after it last heard of it), or has hung up on the stream's or the
// recording connection, as it does when it crashes. What remains are requests that were between the look and the write, and a
// server whose machine vanished while a standby of it was promoted: until the relay would be given up.
//
// # The audit
//
// Events may pass the stream by: the slot is dropped or invalidated, the publication or the table is changed, a standby
// without the slot is promoted, somebody moves the slot. Each of these is told from what the slot's row remembers (system
// identifier, timeline, settled position, identity of publication and table), or from what opening the stream finds; while
// the relay runs the publication is looked at some seconds after the server wrote WAL. A heal is noted in the slot's row
// before what tells of it is mended, so that no crash forgets it, and it is done once an audit has ended:
//
//  1. Send a mark (a logical message of ours) and wait until the frontier has passed it. What was committed before has by
//     then an attempt or a queue row, or the stream did not bring it.
//  2. Read some blocks of the outbox table, with the endpoints that have something of each row. Rows of which somebody who
//     is entitled to it has nothing are suspicious; some of them were committed after step 1 and are on their way.
//  3. Send a mark and wait until the frontier has passed it: whatever was visible in step 2 was committed before, so it is
//     not on its way any more.
//  4. Read the suspicious rows again, with what is recorded by now. What is still missing never comes, and is queued in
//     tailpost.delivery (reason audit) under the epoch. Go on with step 2.
//
// So the stream and the audit never both deliver an event. Marks are needed because a row does not tell its LSN, and
// snapshots would not do: those of other connections do not know the subtransactions of what was running.
//
// Entitled is an endpoint since it wants what it wants now (tailpost.endpoint.routed_since), and one of the configuration
// also to what nobody had read when the gap began, as the stream routes by the configuration of the moment it is read. This goes
// by clocks: an event whose transaction overlapped with the one that made the endpoint may go to it although it was committed
// before. The other way round it might go to nobody. Rows
// created before the slot was first taken are nobody's, but for the backfill of outbox.start, which is the same sweep. A
// sweep reads every block of the table once, at a tenth of the speed that it could have; only rows created since the last
// audit, or since an hour before the last settled transaction, cost more than that.
//
// An endpoint with an order sends nothing while a gap is being healed. What is found comes before all that the stream brings
// after the gap, in the order of created_at, and of the table where that is the same.
//
// The fourth gap within an hour ends the relay instead, so that whatever breaks the stream is noticed: every start ends like
// that until the first of them is an hour old, or a person has run `tailpost heal` (ClearGaps).
//
// On another cluster (another system identifier: a dump was restored, or files were put together) positions of before mean
// nothing and may be higher than what is committed now. What waits from there is put before everything that the stream brings.
//
// Not found again are logical messages, rows that were deleted, and rows of a table without created_at, unless the server
// has track_commit_timestamp on: old rows could not be told from lost ones. Nor are rows that somebody updates while a sweep goes
// on, so that they move from blocks that it has not read to ones that it has.
//
// # Replays and resends
//
// What people ask for through the API is a row of tailpost.replay or tailpost.resend, and carried out by whoever holds the slot, a
// page of each in turn (rounds). A page and how far it is are one short transaction under the epoch, so that it is done once,
// whoever does it, and that cancelling leaves nothing half done. Both wake with the message by which the API says what is due, and
// run no query while nothing is asked for.
//
// A replay goes through the outbox table and adds rows to the queue, so it waits while its endpoint has enough to do. A resend goes
// through the queue, endpoint by endpoint in the order of commits, and changes rows that are there: those that have not changed
// since it began, which ends it although deliveries may fail faster than it goes.
//
// # Why nothing is lost
//
// An event can leave the stream in three ways only, and none of them comes before what stands for it is committed:
//
//   - The slot lets it go. It is told a frontier that was read before the recording transaction which committed it, or
//     while nothing was left to record; only the recorder settles deliveries, so such a frontier covers nothing that is
//     not committed. Hence, at any moment, confirmed_flush_lsn <= tailpost.relay.settled_lsn.
//   - The pipeline skips its transaction, because the commit record begins below the recorded frontier. A frontier is the
//     end of a commit record or the position of a keepalive, both borders between records, so that the transaction ended
//     at or below it: it was settled when that frontier was recorded.
//   - The dispatcher skips the delivery, once, because it is recorded or parked. That is read from the tables; a row too
//     few there would send it twice.
//
// A relay that dies leaves at most one recording transaction under way. Whoever comes next takes the epoch by updating the
// row that this transaction updated first, so it waits for its end: the frontier that it then reads, and the tables that it
// reads after that, have all of it or nothing, and a transaction that has not begun by then finds the epoch gone.
package relay
