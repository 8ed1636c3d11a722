// Package plan says what a configuration would change, before a relay reads it: endpoints that
// come, change or go, how many of the newest events each would get more or less, and what is queued
// for it.
//
// It owns the comparison of the configuration with what the relay read last: of endpoints with
// tailpost.endpoint, of version and other blocks with their fingerprints in tailpost.configuration.
// It changes nothing. A change of secrets, of values of headers and of what is redacted of a URL is
// not seen, for the tables do not have them, nor is one of where a relay connects, listens and
// logs, which is each relay's own.
package plan
