// Package retry decides what becomes of a delivery after an attempt. It is pure: the caller brings
// the clock and the randomness, and acts on the decision.
//
//	attempt ──▶ 2xx, or Retry.Success ─────▶ delivered
//	        ──▶ cannot be built ───────────▶ dead, invalid
//	        ──▶ Retry.Permanent, or abort ─▶ dead, rejected
//	        ──▶ 410 Gone, or disable ──────▶ pending, disabled: waits until a person enables the
//	                                         endpoint
//	        ──▶ anything else ─┬───────────▶ pending, failed or auth_failed: next attempt by the
//	                           │             schedule, or by Retry-After if that is later
//	                           └───────────▶ dead, exhausted: the schedule is used up
//
// Abort and disable are what a receiver may ask for in the header webhook-delivery; disable takes
// effect after a success too.
//
// The package counts and remembers nothing: the circuit, the rate and disable_after belong to
// package dispatch.
package retry
