// Package pace is the home of every pause: how long to wait before something is tried again, how
// long to rest after work on the host database, and which of two times comes first.
//
// Three rules cover all of them:
//
//	Backoff   after a failure: twice as long each time, within bounds, reset once it works
//	Rest      after work on the host database: a multiple of what the work took, so that it never
//	          takes more than a share of the time
//	Wait      everything else: a fixed time, or until the context ends
//
// No value of these types makes a loop without a pause: the zero Backoff and the zero Rest pause
// too.
//
// The package owns no goroutine and keeps no clock: under testing/synctest its time is the
// bubble's.
package pace
