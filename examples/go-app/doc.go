// Command go-app is a service that takes orders over HTTP and tells the world about them through an
// outbox table.
//
// It owns the orders, and the events about them up to their commit; it delivers nothing. Its
// configuration of Tailpost is tailpost.hcl beside it.
package main
