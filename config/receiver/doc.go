// Package receiver holds the rules for receivers of webhooks: which URLs, addresses and headers an
// endpoint may have.
//
// The configuration, the API and the sender all ask here, so that what one of them accepts the
// others can use. The package resolves no name and opens no connection: a [Guard] judges addresses,
// and whoever dials asks it for each.
//
//	URL ─▶ Parse ─▶ Place: scheme, host in its one canonical form, port
//	                  └─ a literal address ─▶ Guard.Check ─▶ DenialError: loopback, private, …
//	headers ─▶ CheckHeader
package receiver
