// Package plan says what a configuration would change, before a relay reads it: endpoints that
// come, change or go, how many of the newest events each would get more or less, and what is queued
// for it.
//
// It owns the comparison of the configuration with tailpost.endpoint, which has what the relay read
// last. It changes nothing. Secrets, values of headers and what is redacted of a URL are not in the
// table, so that a change of them alone is not seen.
package plan
