// Package ledger holds all SQL that the relay runs against the application's database: it takes the
// slot's row, records attempts together with what they change, parks deliveries and loads those
// that are due.
//
// It never talks to the replication connection, never sends a request and never decides what
// happens to a delivery.
//
// # Connections
//
// A Ledger has three connections, never more, none of which runs a query while there is nothing to
// do:
//
//	recorder   Record and nothing else
//	Parked     loads what is due, so that nothing but other retries keeps a retry waiting
//	Link       everything else: taking the slot, the audit, replays and resends, what is old
//
// All have a statement timeout and a lock timeout, and come back by themselves: after the first
// loss at once, then after pauses that grow and in which the connection is free for others. While
// Link is unused, Watch waits on it for the server's goodbye, so that the relay lets go of the
// stream at once: a server that shuts down waits for its walsenders, and they wait for the relay.
//
// # The outbox table
//
// A Sweep reads the outbox table by blocks (ctid ranges), for the audit and for retention: that
// needs no index, reads each block once, and works on partitioned tables, whose parts are read side
// by side. Rows that an UPDATE moves behind the sweep are left to the next one. Deleting and
// dropping what is old never waits for a lock that others would queue behind.
//
// # Recording
//
// Record sends a whole batch in one round trip, as one pipeline that ends with the only Sync.
// Postgres runs such a pipeline as one transaction: all of it takes effect, or nothing does. Its
// first statement moves the slot's row on and fails unless the row has the epoch and the batch
// number that this relay knows, so that nothing of a deposed relay, and nothing a second time, is
// ever written:
//
//	         ┌────────────── lost: reconnect, read the row ◀──────────────┐
//	         ▼                                                            │
//	known (epoch e, batch n) ── pipeline ──▶ committed ──▶ known (e, n+1) │
//	         │                     │ └─────────────────────────────────────
//	         │                     └──▶ epoch moved on ──▶ deposed
//	         └── ctx done while it runs ──▶ uncertain: only Take goes on
//
// # Partitions
//
// The holder of a slot may publish to partitions, whose owners record. A partition has a row of its
// own, and a hold of it is one of a slot in every respect. What the slot's row says is settled is
// then only published. Publishing alone makes partitions' rows, where the slot is before anything
// is published, and takes them out of use:
//
//	not there ──▶ laid, at the slot's position (epoch 0) ──TakePartition──▶ owned (epoch e)
//	                        ▲                                                │
//	                        └─── published again ─── out of use ◀── Publishing of another number
//
// Out of use its epoch is one higher, so that its owner has been deposed, and nobody takes it.
package ledger
