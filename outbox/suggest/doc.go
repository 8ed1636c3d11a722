// Package suggest finds the name that somebody most likely meant by one that does not exist.
//
// It is below package outbox, which an application imports, and so imports nothing but the standard
// library.
package suggest
