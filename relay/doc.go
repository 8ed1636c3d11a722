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
package relay
