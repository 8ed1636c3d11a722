// Package outbox is Tailpost's contract with the application's database: the types that stand for
// its rows, the ways to write an event, and what turns rows and logical messages into events again.
//
// An application imports it to write events inside its own transaction:
//
//	Insert, InsertSQL, Writer   a row of the outbox table, by pgx or database/sql
//	Emit, EmitSQL               a logical message, where no table is wanted
//
// An event exists if and only if that transaction commits:
//
//	NewEvent ─▶ Insert or Emit ─▶ commit ─▶ WAL ─▶ Decoder.Decode or DecodeEmitted ─▶ the relay
//	                         └──▶ rollback: the event never was
//
// A row is written once. The stream delivers it as the INSERT wrote it, also where the same
// transaction updates it afterwards; a resend or a replay delivers what the row has by then, under
// the same webhook-id.
//
// What makes and checks the tables is package outbox/schema, which an application that only writes
// events does not need.
//
// The package opens no connection, starts no goroutine, logs nothing, and never begins, commits or
// rolls back a transaction of the application's. It imports the standard library and pgx only, so
// that importing it costs an application nothing else.
package outbox
