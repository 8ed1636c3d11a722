// Package receiver holds what may be written for a receiver of webhooks: its URL, its address, the
// headers that go to it.
//
// The configuration, the API and the sender all ask here, so that what one of them takes the others
// can use. The package resolves no name and opens no connection: a [Guard] judges addresses, and
// whoever dials asks it for each.
//
//	URL ─▶ Parse ─▶ Place: scheme, host in the one form that is looked up and compared, port
//	                  └─ an address written out ─▶ Guard.Check ─▶ DenialError: loopback, private, metadata, …
//	headers ─▶ CheckHeader
package receiver
