// Package retry decides what becomes of a delivery after an attempt. It is pure: the caller brings
// the clock and the randomness, and acts on the decision.
//
//	attempt ──▶ 200–299 ───────────────────────▶ delivered
//	        ──▶ cannot be built ───────────▶ dead, invalid
//	        ──▶ 410 Gone ──────────────────▶ pending, disabled: no next attempt until a person enables the endpoint
//	        ──▶ anything else ─┬───────────▶ pending, failed: next attempt by the schedule or Retry-After, if that is later
//	                           └───────────▶ dead, exhausted: the schedule is used up
//
// The package never opens, counts or remembers anything: the circuit, the rate and disable_after
// are dispatch's.
package retry
