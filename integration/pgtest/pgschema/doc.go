// Package pgschema makes databases for tests that have schema tailpost already.
//
// The steps of the schema take longer than most tests. They run once for a server; a test gets a
// copy of what they made.
package pgschema
