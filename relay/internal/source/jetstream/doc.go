// Package jetstream carries what a slot brings to the senders of a fleet: the reader publishes it
// into one JetStream stream per partition, and each partition is a source.Source of its own. It
// owns the connection to NATS, the streams, and the form of their messages. It never decides how
// far anything is settled, never routes and never records; it knows nothing of deliveries or
// Postgres. What it is not told to let go of it keeps.
//
// # Publishing
//
//	Begin ─▶ Event, Row, Due … ─▶ Commit         Keepalive
//	            │ encoded at once      │             │
//	            ▼                      ▼             ▼
//	       the queue of the partition, in commit order, bounded over all of them
//	            │ as much as a message holds, one message in flight
//	            ▼
//	       published ── no answer, refused ──▶ pause ──▶ published again, with the same id
//	            │ acknowledged
//	            ▼
//	       stored is called
//
// A queue is taken when a transaction ends, when it holds a part of a message that is worth one, or
// when there is no room left. The next message waits until the one before it is stored, so that
// nothing overtakes anything. A stream that is gone is made anew.
//
// # Reading
//
//	 ┌───────────── anything unexpected, with a pause ─────────────┐
//	 ▼                                                             │
//	looking ─▶ consumer from the last message ─▶ is it the same? ─▶ reading
//	 ▲                                               │ no
//	 └─────────────── from the first message ◀───────┘
//
// A consumer is made for one connection and one look at the stream, and acknowledges nothing. It
// begins with the last message that was read, which proves that the stream is still the one it was:
// a server that came back from an older store, or a stream that was made anew, has another message
// there, or none. Then everything is read again. That message is never purged.
//
// Each message says which hold of the slot published it (the origin of its row, the timeline, the
// epoch), and has a number within that hold and the transaction that is open where it begins. What
// comes again is told by that:
//
//   - A message of another origin is ignored: its database is gone, or is not ours.
//   - A message of an older hold than one read before is ignored, as is one whose number came. A
//     reader that finds a later hold's message last does not publish behind it.
//   - A transaction that begins below what was brought whole is skipped.
//   - A transaction that is open goes on behind its last event and its last row.
//   - A transaction whose end was lost with its reader, or with the stream, is ended for the
//     Handler at a position that settles nothing of it.
//
// # Purging
//
// A message is purged once everything that it has a part of is acknowledged, be it ignored or not:
// whoever reads the stream next may find a deposed reader's message first. Where positions go
// back, because the timeline is another one, an acknowledgement counts only once it is beyond all
// that was brought before: it might be that of the other timeline.
//
// # Streams
//
// A stream keeps its messages until they are purged, and has no bound of age, count or bytes: a
// bound would drop what no sender has recorded. What bounds a stream is its reader, which is told
// by refused publishes when the server's own storage is full, and waits. Direct gets are off: a
// follower answers them, which may lag.
package jetstream
