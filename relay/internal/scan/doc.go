// Package scan reads the application's outbox table as it is in the database: what its columns and
// its key are like, how many rows a range has, which events are gone, and its rows themselves, with
// what is recorded of them, piece by piece.
//
// A [Table] is what was found out about the table by [LookAt]; a [Sweep] reads its rows over a
// connection that others use too, in the order of its blocks, of its key, or of times. Nothing here
// writes but [Sweep.Delete], and nothing knows of slots, holds or deliveries in memory: healing and
// upkeep decide what follows from what was read, and package ledger records it. Its tests stand
// with those of the ledger, which writes what it reads.
package scan
