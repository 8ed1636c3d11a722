// Package fleet has relays deliver together: the one that holds the slot, the reader, publishes
// what it routes to partitions, and every relay sends a share of them. It owns the connection to
// NATS, who sends which partition, and when the reader has to deliver alone. It never reads the
// slot and never decides about a delivery: those are the relay's hold, and dispatch's.
//
//	Fleet      connects, and says to how many partitions the next hold publishes
//	Reader     publishes what one hold of the slot reads; barriers pass where all partitions have
//	senders    own a share of the partitions by a lease, and give back what others are to have
//	partition  one hold of a partition: a source, a dispatcher, a ledger and an epoch of its own
//
// A fleet is in one of these states, as the reader sees it:
//
//	            NATS takes nothing for longer than hold
//	together ───────────────────────────────────────────▶ alone
//	    ▲                                                   │
//	    └────────── every stream is well for 5 s ───────────┘
//
// A reader that is cut off from NATS while others are not leaves the slot to them. A process sends
// only while its endpoints are those that the slot's holder routes by, and for as many partitions
// as that publishes to, whatever its own configuration says.
//
// A partition goes through these, as a sender sees it:
//
//	free ─ lock ─▶ taken ─ epoch, endpoints, queue ─▶ delivering ─▶ draining ─ unlock ─▶ free
//	                                                      │
//	                  given back, lease lost, deposed, a heal is due, a reload that concerns all
package fleet
