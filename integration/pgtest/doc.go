// Package pgtest runs throw-away Postgres servers for tests and for the demo.
//
// It owns the servers it starts: their data directories, their processes and, for tests, the databases and replication
// slots in them. It never touches a server that it did not start, other than the one that TAILPOST_TEST_DATABASE_URL
// names, in which it makes and drops databases of its own.
//
// A test asks for a database with NewDB. All tests share one server:
//
//	make test      one server for all packages, named by TAILPOST_TEST_DATABASE_URL (see the command in ./cmd)
//	go test ./x    one server for the test binary, started by its first NewDB, gone when the binary is gone
//
// Tests that stop, crash or configure a server start their own with Start. The states of a Server:
//
//	Start ──▶ running ◀──▶ stopped ──▶ closed
//	             │ Stop, Restart          ▲
//	             └──────── Close ─────────┘
//
// Each server has a watchdog, a shell that waits for the end of the process that called Start and then stops the server
// and removes its directory. Nothing is left behind, even after SIGKILL.
package pgtest
