// Command bench measures Tailpost beside what bounds it and what it replaces, and prints one table:
//
//	limit     signed POSTs of a tuned net/http client to the same receiver, without a database
//	poller    the relay that teams write by hand: pages of SELECT … FOR UPDATE SKIP LOCKED
//	tailpost  the built binary
//
// The three take turns within every run, against the same receiver and the same throw-away Postgres
// (fsync on), so that their ratios mean something on a machine that is slow, shared or both; the
// absolute figures are those of the machine. Each of the three is a process of its own, whose CPU
// and memory are read from /proc, so this runs on Linux alone. The receiver and the writer of
// events live in this process.
//
// Receivers are plain HTTP, or speak TLS with certificates of an authority that the relay and the
// limit trust by SSL_CERT_FILE. Some refuse requests: at once, and with what a case has them say.
//
// Fleets (the cases named fanout) are as many processes of the binary as they have senders, around
// a node of NATS that is a process too and writes each message to the disk before it acknowledges
// it. They take turns with one process without a fan-out. All connections stand and all partitions
// are shared out before the slot is let go of, from where CPU and WAL are counted; a case ends well
// only once every delivery is recorded and has been received. A process of Tailpost has no bound of
// its requests over all endpoints: where a case wants one, each process has a proxy of its own that
// lets so many through at once.
//
//	go run ./integration/bench -bin bin/tailpost            # every row, 3 runs
//	go run ./integration/bench -bin bin/tailpost -quick     # one run with less of everything
//	go run ./integration/bench -bin bin/tailpost -rows 'drain|latency' -runs 5
package main
