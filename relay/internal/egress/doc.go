// Package egress opens the connections that requests go out on: it resolves a name, checks every
// address, dials what it checked, and passes through the egress proxy where there is one.
//
//	Place ─▶ resolve ─▶ guard: all addresses ─▶ dial, several at once ─▶ TLS by the caller
//	                                         └─▶ egress proxy ─▶ tunnel to the checked address
//
// One denied address denies the name. The guard is [receiver.Guard] and the relay's own listeners:
// no configuration allows a request to those. The package sends nothing, logs nothing and keeps no
// connection; packages http1 and http2 do that.
package egress
