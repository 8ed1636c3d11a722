// Package schema makes and checks what Tailpost needs in the application's database: the tables of
// schema tailpost, the outbox table, and the privileges.
//
//	Migrate           brings the database to the version of this binary
//	Print             writes the same as a script for the user's own migration tool, with roles
//	                  and publications
//	Check             reports a database of another version
//	CheckTable        reports a table that events cannot come from
//	EnsurePartitions  makes the partitions of tailpost.attempt, which the relay does every day
//
// A step of the schema is a file of migrations/, numbered from 1; those that have been released
// stay as they are:
//
//	0 ─▶ 0001_init ─▶ 0002_… ─▶ … ─▶ the version of this binary
//
// The package opens no connection and logs nothing. An application that only writes events needs
// package outbox alone.
package schema
