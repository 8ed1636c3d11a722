// Package integration holds the black-box tests: a real Postgres, the built binary and receivers
// that behave as receivers do. They prove the promises that the README makes, through the
// interfaces that users have: configuration, log, HTTP and SQL.
//
//	kit/        what the tests are made of
//	pgserver/   throw-away Postgres servers
//	pgtest/     a database for each test
//	receivers/  a Node project that verifies requests with the public libraries
package integration
