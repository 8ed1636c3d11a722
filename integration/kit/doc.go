// Package kit is what the integration tests are made of: the product's binary run as a real
// process, receivers that behave as receivers do, the application's side of the database, and the
// public libraries that verify signatures.
//
// It owns the processes, servers and connections that it starts: each ends with the test that asked
// for it. It knows the product as its users do, by configuration, log, HTTP and SQL; of its
// packages it uses only outbox, which applications import. It never waits for time to pass: it
// polls, bound by a deadline, for what should become true.
//
//	Receiver  ◀── HTTP ── Relay (tailpost run) ── replication ──▶ Database
//	   ▲                    ▲                                        ▲
//	   │ behaviours         │ signals, configuration, log            │ events, ledger
//	   └────────────────── test ─────────────────────────────────────┘
package kit
