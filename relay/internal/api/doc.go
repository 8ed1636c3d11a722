// Package api is the management API: HTTP in front of what package query reads and changes.
//
// It owns the HTTP surface, all of which stands in routes.go, who may use which part of it, the
// shape of what goes in and out, and the OpenAPI document that is generated from the code. It never
// delivers an event and knows no SQL.
//
// A request passes, in this order: limits of time and size, who it is (auth.go), what the
// operation's schema says (huma), the operation, and on the way out the one place that turns an
// error into a status (problem.go). What changes something is one transaction with its audit row
// and, where the caller gave an Idempotency-Key, with the answer (change.go).
package api
