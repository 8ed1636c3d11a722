// Package egress opens the connections that requests go out on, and no others: it resolves a name,
// judges every address, dials what it judged, and passes through the egress proxy where there is
// one.
//
//	Place ─▶ resolve ─▶ guard: every address, or none ─▶ dial, one address beside the next ─▶ TLS by the caller
//	                                                  └─▶ egress proxy ─▶ tunnel to the checked address
//
// The guard is [receiver.Guard] and, beside it, the relay's own listeners: no configuration allows
// a request to them. The package sends nothing, keeps no connection and logs nothing; who keeps
// connections is package http1.
package egress
