// Package pgtest makes databases for tests.
//
// It owns the databases that it makes and the replication slots in them, and drops them when their
// test ends. All tests share one server:
//
//	make test      one for all packages, in TAILPOST_TEST_DATABASE_URL (see the command in ./cmd)
//	go test ./x    one for the test binary, started by its first NewDB and gone when it ends
//
// Tests that stop, crash or configure a server start their own with package pgserver.
package pgtest
