// Package pgtest makes databases for tests.
//
// It owns the databases that it makes and the replication slots in them, and drops them when their
// test ends. All tests share one server:
//
//	make test      one server for all packages, named by TAILPOST_TEST_DATABASE_URL (see the command in ./cmd)
//	go test ./x    one server for the test binary, started by its first NewDB, gone when the binary is gone
//
// Tests that stop, crash or configure a server start their own with package pgserver.
package pgtest
