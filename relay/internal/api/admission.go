package api

import "time"

// Admission is how much of an endpoint's concurrency is in use, and what is left of it because its
// receiver has too much to do.
type Admission struct {
	Admitting   int        `json:"admitting" doc:"Requests that may wait for an answer at once: all of the concurrency, or less while the receiver refuses too many."`
	Concurrency int        `json:"concurrency" doc:"Of so many."`
	InFlight    int        `json:"in_flight" doc:"Requests that wait for an answer now."`
	Rate        float64    `json:"rate,omitempty" doc:"Requests a second that it gets at most for now; missing: no limit of the relay's own."`
	PausedUntil *time.Time `json:"paused_until,omitempty" doc:"Until then it gets nothing: it insisted on that by Retry-After."`
}
