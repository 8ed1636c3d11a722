// Package pgserver runs throw-away Postgres servers, for the demo, for benchmarks and for tests.
//
// It owns the servers that it starts: their processes and their folders. It never touches a server
// that it did not start, and it does not import package testing. The states of a Server:
//
//	Start ──▶ running ◀──▶ stopped ──▶ closed
//	             │ Stop, Restart          ▲
//	             └──────── Close ─────────┘
//
// Each server has a watchdog, a shell that waits for the end of the process that called Start and
// then stops the server and removes its folder. Nothing is left behind, even after SIGKILL.
package pgserver
