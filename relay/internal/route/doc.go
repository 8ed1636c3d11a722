// Package route says which endpoints an event goes to.
//
// It owns the index from tenant and event type to subscriptions, so that an event costs what
// matches, not all there is:
//
//	tenant ─▶ exact event types: a map
//	      └─▶ patterns: a trie of segments, with branches for * and **
//	      └─▶ all events: a list
//
// A Table never changes, but for its counters; a set that differs by a few endpoints is a new Table
// that shares the rest. The package does no I/O.
package route
