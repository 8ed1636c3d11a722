// Package intake receives what a source brings: it counts the deliveries of each transaction in the
// frontier, hands events to the dispatcher, and turns rows of the table of endpoints into changes
// of the routing. Everything happens at its place in commit order: an event is routed by the
// endpoints as they were when it committed. It never sends, never records and never blocks, and it
// decides nothing about a delivery.
//
//	            ┌─ Event, Invalid ──▶ rows so far are applied ──▶ dispatcher
//	Begin ──▶ open                                                   ──▶ Commit ──▶ frontier
//	            └─ Endpoint ──▶ waits for the next event, or Commit
//
// Where others deliver, Elsewhere gets the transactions too, at their place: rows of endpoints,
// what is due, and their ends, beside the events that the dispatcher passes on.
//
// An endpoint made through the API is what its row says. One of the configuration is known already:
// only its status comes from its row. An endpoint that cannot be used (a secret that no key opens,
// a filter of a later release) is Blocked: its events are parked until its row is corrected.
package intake
