// Package telemetry counts what the relay does and shows it to Prometheus, on an address of its own
// and through the API.
//
// It owns the counters of recorded batches and attempts, and the age of what the database last
// said. Counting is one call for each recorded batch. The database is asked only while somebody
// scrapes, and then no more often than every few seconds: a relay whose metrics nobody reads polls
// nothing.
//
// It never shows a payload, a URL or a secret: labels are ids of endpoints, outcomes and states.
package telemetry
