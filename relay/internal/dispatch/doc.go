// Package dispatch turns routed events into attempts and attempts into records.
//
// It owns what is between the stream and the ledger: one lane per endpoint (its queue, its requests in flight, its rate,
// circuit and order), the budget that bounds what is in memory, the gate that paces the start of requests, the recorder
// that writes every outcome in batches and moves the frontier, and the loader that brings parked deliveries back when they
// are due. It never reads the stream, speaks no SQL and no HTTP: those are behind Ledger and Sender.
//
// A delivery in memory is in one of these phases:
//
//	          Take                      worker                   answer
//	event ──────────▶ queued ──────────────────────▶ in flight ─────────▶ gone
//	   │  (ordered)     │ ▲                              │                 │
//	   └─▶ waiting ─────┘ │ loader                       │ park_after      │ recorder
//	          │           │                              ▼                 ▼
//	          └─────▶ parked (a row of tailpost.delivery) ◀──── retry ── recorded
//
// Everything but in flight can be shed: written to the table, or, if it has a row already, just forgotten. Locks are
// taken in the order lane, gate, recorder inbox, loader; no lane's while another lane's is held.
package dispatch
