package postgres

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// checkSynchronous returns an error with the remedy where the server takes the stream for a standby
// that commits wait for. Those of the application would wait until their events are delivered, and
// those that record deliveries for ever, as the stream confirms nothing before they are made. And
// what only the relay has confirmed would count as safe.
func checkSynchronous(names, application string) error {
	if !isStandby(names, application) {
		return nil
	}
	return fmt.Errorf("%w: synchronous_standby_names is %q, which makes the relay's stream (application %q) one of the standbys that commits wait for, those "+
		"of the relay too: run ALTER SYSTEM SET synchronous_standby_names = '…'; as a superuser, with the standbys by their names, then SELECT pg_reload_conf();",
		ErrSynchronous, names, application)
}

// isStandby reports whether a value of synchronous_standby_names has a connection's name, or any.
func isStandby(names, application string) bool {
	if head := regexp.MustCompile(`(?i)^\s*(?:(?:first|any)\s+)?\d+\s*\(`).FindString(names); head != "" {
		names = strings.TrimSuffix(strings.TrimSpace(names[len(head):]), ")")
	}
	return slices.ContainsFunc(libraryNames(names), func(name string) bool { return name == "*" || strings.EqualFold(name, application) })
}
