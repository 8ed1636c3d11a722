// Package filter compiles the expressions of subscriptions: where, which says whether an event
// passes, and body, which makes the JSON that is sent.
//
//	text ─▶ HCL's parser ─▶ compiler ─▶ Filter.Match(event), Body.Append(event)
//
// An expression knows the event alone: no environment, no files, no clock, no other event.
// Compiling finds every mistake that can be found without an event; what a Filter meets at run time
// is never an error but a missing value (see Filter). Of the payload it reads only the paths that
// the expression names, by package outbox/payload.
package filter
