// Package heal finds what the stream did not bring, and has it delivered from the outbox table. It
// owns what tells of a gap (one table of detectors), how many gaps are healed before a person must
// look (Limit), and the audit. It never sends, and never records an attempt: what is missing
// becomes a row of tailpost.delivery, under the epoch.
//
//	detectors ─▶ a heal is due, noted in the slot's row ─▶ the cause is mended ─▶ audit ─▶ gap row
//	                                                                                ▲
//	                                                    every audit_interval ───────┘
//
// An audit ends with a row of tailpost.gap. That of an interval writes one only if something was
// lost. A new cause is a row in detectors, and one in TestDetectors.
//
// # The audit
//
// The stream may miss events: the slot is dropped or invalidated, the publication or the table
// is changed, a standby without the slot is promoted, somebody moves the slot. Each of these shows
// in what the slot's row remembers (system identifier, timeline, settled position, identity of
// publication and table), or in what opening the stream finds; while the relay runs, it looks at
// the publication some seconds after the server wrote WAL. A heal is noted in the slot's row before
// its cause is mended, so that no crash forgets it, and it is done once an audit has ended:
//
//  1. Send a barrier (a logical message of ours) and wait until the frontier has passed it. What
//     was committed before has by then an attempt or a queue row, or the stream did not bring it.
//  2. Read some blocks of the outbox table, with the endpoints that have something of each row. A
//     row that an entitled endpoint has nothing of is suspicious; some of these were committed
//     after step 1 and are on their way.
//  3. Send a barrier and wait until the frontier has passed it: whatever was visible in step 2 was
//     committed before, so it is not on its way any more.
//  4. Read the suspicious rows again, with what is recorded by now. What is still missing never
//     comes, and is queued in tailpost.delivery (reason audit) under the epoch. Go on with step 2.
//
// So the stream and the audit never both deliver an event. Barriers are needed because a row does
// not tell its LSN, and snapshots would not do: those of other connections do not know the
// subtransactions of what was running.
//
// # Old rows and new ones
//
// A row is known by its table, its id and the transaction that wrote it, not by a clock: created_at
// is the application's and may be anything. Each audit that ends notes a horizon, the oldest
// transaction that was under way an hour before it (tailpost.relay.horizon). What older
// transactions wrote was visible to it, so it is settled. What a gap lost was written behind the
// horizon, whatever its created_at and however long its transaction took. Two rows may share a
// place (partitions), so a row that is read again is compared with its id.
//
// This does not tell a new row from an old one that somebody has updated, as an update writes a row
// anew. An updated row is known if any endpoint has an attempt or a delivery of it. One that no
// endpoint has anything of, and whose created_at is before the slot or before the attempts that are
// kept, is not delivered but counted in the gap's note; an outbox row is meant to be written once.
// Where no horizon is known (a database that moved to another cluster, and until the first audit
// after an upgrade), created_at decides: rows since an hour before the last settled transaction;
// rows without a created_at are counted too.
//
// # Who is entitled
//
// An endpoint is entitled to what it wants since it wants what it wants now
// (tailpost.endpoint.routed_since). An endpoint of the configuration is also entitled to what
// nobody had read when the gap began, as the stream routes by the configuration of the moment it is
// read. Where the endpoint is younger than the horizon, created_at decides; else it wanted all that
// the gap has. Rows from before the slot was first taken are nobody's, but for the backfill of
// outbox.start, which is the same sweep.
//
// # What an audit reads
//
// A sweep reads every block of the table once, at a tenth of the speed that it could have, or at
// half of it where a gap is known; only rows behind the horizon cost more than that. Whatever it
// does in the database, reading or queueing, is rested for, and rested for once.
//
// The audit of an interval, when nothing tells of a gap, reads only blocks with rows created since
// an hour before the last one, if an index finds those (a BRIN does), and goes on with a round
// through the whole table: as many blocks again, and at least 4096 (32 MiB) in all its parts
// together. Its cost grows with what is new, and not with the table. A round judges what was
// written since the last one began, so that it also comes upon rows whose created_at is older than
// they are; its place (tailpost.relay.round_block) outlives the relay. Where no gap is known, a row
// that nobody has and that has no created_at is not sent but logged, up to 1000 an audit. What an
// audit finds is queued in transactions of at most 500 deliveries or 1 MiB, as recording waits for
// each.
//
// # After a crash
//
// A relay lets go of WAL without events up to 64 MiB ahead of what it records, so that after a
// crash the slot stands ahead of the slot's row. Most likely nobody has moved it, and a glance is
// enough: blocks with rows created since five minutes before the last settled transaction, if an
// index finds those and they are no more than 16,384 blocks. What a transaction of more than five
// minutes wrote, and what no index finds, is left to the audit of the interval; a glance does not
// replace that.
//
// # Order
//
// An ordered endpoint sends nothing while a gap is being healed. After a crash, which leaves a slot
// ahead of what was recorded and most likely nothing lost, it does send. What is found comes before
// all that the stream brings after the gap, in the order of created_at, and of the table where that
// is the same.
//
// # The limit
//
// The fourth gap within an hour ends the relay instead, so that whatever breaks the stream is
// noticed: every start ends like that until the first of them is an hour old, or a person has run
// `tailpost heal` (ClearGaps).
//
// # Another cluster
//
// On another cluster (another system identifier: a dump was restored, or files were put together)
// earlier positions mean nothing and may be higher than what is committed now. What waits from
// there is put before everything that the stream brings.
//
// Where pg_upgrade has kept the slot (Postgres 17 or later), nothing is lost: it does so only for a
// slot that had confirmed all WAL with something for it. Such a cluster is known by later positions
// and the table's OID. The table is looked at while deliveries go on, and a gap is reported only if
// something was lost after all.
//
// # Ids that are used again
//
// An id may be used again in a gap (TRUNCATE ... RESTART IDENTITY, natural ids). Where the row's
// created_at is after the last transaction that the stream brought, what is recorded of its id from
// before that belongs to another event. A row that does not say so is taken for the event that had
// its id before. If it was written after anything was recorded of that event, it is counted in the
// gap's note: it is a new event, or the old one that somebody has updated. Uuids are not counted.
// Where no horizon is known, only rows without a created_at, or with one in the future, are. Behind
// an earlier event that is not delivered yet, the new one is dead, under an id of its own and with
// that reason.
//
// # What is not found
//
// Logical messages, rows that were deleted, and rows that somebody updates while a sweep or a round
// goes on, so that they move from blocks that it has not read to ones that it has, as VACUUM FULL
// does with all.
package heal
