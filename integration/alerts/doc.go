// Package alerts holds the alert rules of examples/prometheus to what they say: it breaks what each
// of them watches, with a real relay and a real Postgres, and evaluates the rules with Prometheus'
// own packages on what the relay then shows.
//
// Time is virtual: what was scraped is stored at moments a minute apart, so that an alert that
// waits for ten minutes takes no longer than the scrapes. The package is a module of its own, so
// that Prometheus is no dependency of the product's.
package alerts
