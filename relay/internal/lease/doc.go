// Package lease decides who owns which partition of a slot's fan-out. A Lease is a session of
// Postgres that holds an advisory lock for each partition that this process owns, and one that
// counts it among the members. Share says which partitions a member is to take and to give back.
//
// It reads and writes no table, publishes and delivers nothing, and fences nothing: an owner still
// takes the partition's row in tailpost.relay, whose epoch decides who may record. It elects nobody
// and keeps no list of members: who has no session is no member.
//
// # The session
//
// The server ends a session that asks nothing for the TTL (idle_session_timeout), and its locks go
// with it. So a process that was stopped, or is cut off, loses its partitions without anybody's
// doing, and knows it by its own clock before others can have them:
//
//	           no answer for the TTL - margin
//	Open ──▶ held ──────────────────────────▶ doubtful
//	          ▲ │                              │ │
//	          └─┼──────────── an answer ───────┘ │
//	            └── hung up, no answer for the TTL ──▶ lost
//
// Held is true in the first state alone. What is lost stays lost: open another Lease.
//
// What a clock cannot tell: a server whose machine vanished while its standby was promoted has no
// locks to inherit, so that another member may own a partition for up to the TTL before this one
// finds out. The epoch of the partition's row keeps it from recording.
//
// # Keys
//
// Postgres has one space of advisory locks in a database, which applications use too. A key is two
// integers: the first is made of the slot's name, the second is the partition. Where an application
// holds the same key, that partition is not free, and nobody takes it for one of a member: Survey
// logs it. Nothing else comes of it.
package lease
