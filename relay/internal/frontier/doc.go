// Package frontier tells how far a stream of transactions is settled, so that the slot is acknowledged that far and
// never further. It owns the order of the transactions and the count of what each still waits for. It knows nothing of
// deliveries, endpoints or Postgres, never blocks and never does I/O.
//
// A transaction goes through these states:
//
//	                Commit, nothing left              all before it settled too
//	Begin ─▶ open ───────────────────────▶ settled ────────────────────────────▶ passed
//	         │  ▲ Add(n), Settle(n)           ▲
//	         └──┘                             │ Settle(the last)
//	         └─────── Commit ──▶ waiting ─────┘
//
// The frontier is the end of the last transaction passed. A transaction that settles early waits for those before it; a
// keepalive moves the end of the last transaction, or the frontier itself where none is left, so that an idle stream
// costs no memory however long it idles.
package frontier
