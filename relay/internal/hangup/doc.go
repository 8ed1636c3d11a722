// Package hangup tells whether the other side of a connection has hung up, from what the kernel
// knows of the socket: before anybody has read that far, and without reading. It knows nothing of
// what is said on the connection, and nothing of a peer that vanished without closing.
package hangup
