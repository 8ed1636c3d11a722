// Command mutants breaks Tailpost on purpose, one small change at a time, and reports which of them
// the tests notice.
//
//	make mutants                     every mutant of the list
//	make mutants MUTANTS=12          a random dozen; it prints the seed that picks them again
//	go run ./integration/mutants -only dispatch-ack-before-record
//	go run ./integration/mutants -list
//
// A mutant is a change that a tired person could make: a comparison turned, a wait left out, an
// order swapped, a bound ignored, a state not reset. Beside the place and what is put there, the
// list holds the promise that it breaks and the test that has to fail. The lists are one file per
// area: dispatch.go, ledger.go, and so on; those of stranger.go, and later those of stranger2.go
// and stranger2_outer.go, were chosen by somebody who had written neither the code nor its tests,
// and are as good a measure of the suite as there is.
//
// The program copies the tree once for each worker, so the checkout is never changed:
//
//	copy ──▶ the tests pass unchanged ──▶ put the change in ──▶ go test ──▶ take it out ──▶ next
//	                                                              │
//	                        failed or timed out: killed ◀─────────┴─────────▶ passed: survived
//
// A change whose place is not found exactly once, that does not compile, or whose test does not
// exist is an error: the list must stay true when code moves.
package main
