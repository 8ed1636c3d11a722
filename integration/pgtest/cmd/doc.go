// Command cmd runs a command beside a throw-away Postgres that all tests of the command share:
//
//	go run ./integration/pgtest/cmd -- go test ./...
//	go run ./integration/pgtest/cmd -- bash             to try things by hand
//
// The command finds the server's address in TAILPOST_TEST_DATABASE_URL. If that is set already, no
// server is started. The exit status is the command's.
package main
