// Package upkeep is everything that runs beside delivery while a relay holds the slot: it removes
// what is old, summarises attempts, carries out replays and resends, and watches the publication.
// It decides nothing about a delivery that is under way, and nothing here is needed for an event to
// be delivered: a task that fails is tried again later, and says so.
//
// # Tasks
//
// A Task has a name, what wakes it, and a Run that ends with its context. Upkeep.Tasks lists them;
// the relay runs each in a goroutine of its own for as long as it holds the slot:
//
//	            Wake, or its own pause is over
//	resting ──────────────────────────────────▶ working, a short statement at a time ──▶ resting
//	   └───────────────────────── the hold ends ─────────────────────────────────────▶ over
//
// A new task is one file with a constructor, and one line in New.
//
// # Operations
//
// Replays and resends of many deliveries are what people asked for: rows of tailpost.replay and
// tailpost.resend. Each is moved a page at a time and in turn, so that a long one does not keep the
// others waiting. A page and how far it is are one short transaction under the epoch, so that it is
// done once, whoever does it, and that cancelling leaves nothing half done. No query runs while
// nothing is asked for.
package upkeep
