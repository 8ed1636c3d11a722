// Package dispatch turns routed events into attempts and attempts into records.
//
// It owns what is between the stream and the ledger. It never reads the stream, and never speaks
// SQL or HTTP: those are behind Ledger and Sender.
//
//	Dispatcher   routes events to lanes, applies changes of endpoints, starts and drains
//	lane         one endpoint: composes its memory, ordered keys and health, and acts on them
//	memory       its deliveries in memory: those that may go, the fresh ones, the loaded ones
//	chain        one ordered key: what waits for what
//	chains       the keys of a lane that have one
//	sweep        finds in the table the keys that have none, because they are too many
//	company      which deliveries share a request, where an endpoint has batches
//	batch        such a request: taken in one go, settled one by one
//	health       may the endpoint be sent to: its status, its circuit, since when it is failing
//	gate         paces the start of requests over all lanes
//	budget       bounds what the stream may have in memory
//	recorder     writes every outcome in batches and moves the frontier
//	loader       brings parked deliveries back when they are due
//	Elsewhere    takes what others deliver; then lanes say who wants what, and nothing else
//
// A delivery in memory is in one of these phases:
//
//	        Dispatch                    worker                   answer
//	event ──────────▶ queued ──────────────────────▶ in flight ─────────▶ gone
//	   │  (ordered)     │ ▲                              │                 │
//	   └─▶ waiting ─────┘ │ loader                       │ park_after      │ recorder
//	          │           │                              ▼                 ▼
//	          └─────▶ parked (a row of tailpost.delivery) ◀──── retry ── recorded
//
// Everything but in flight can be evicted: written to the table, or, if it has a row already, just
// forgotten. memory, chain and health decide and never act: their methods are called with their
// lane's lock held, and the lane does what they say. Locks are taken in the order lane, gate,
// recorder inbox, loader; no lane's while another lane's is held.
package dispatch
