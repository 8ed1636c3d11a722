// Package source is the seam behind which an ordered stream of committed transactions stands;
// package postgres beneath it is one, a replication slot. It owns what every such stream has: a
// Position in its order, the Frontier below which everything is settled, and Barriers, which tell
// when that has passed a moment. It knows nothing of deliveries, endpoints or Postgres, never
// blocks but for a barrier, and does no I/O of its own.
//
// # The frontier
//
// A source is acknowledged as far as the frontier and never further. A transaction goes through
// these states:
//
//	                Commit, nothing left              all before it settled too
//	Begin ─▶ open ───────────────────────▶ settled ────────────────────────────▶ passed
//	         │  ▲ Add(n), Settle(n)           ▲
//	         └──┘                             │ Settle(the last)
//	         └─────── Commit ──▶ waiting ─────┘
//
// The frontier is the end of the last transaction passed. A transaction that settles early waits
// for those before it; a keepalive moves the end of the last transaction, or the frontier itself
// where none is left, so that an idle stream costs no memory however long it idles.
//
// # Barriers
//
//	Wait: sent ──Seen──▶ read, and something before it unsettled ──Settled──▶ passed: Wait returns
//
// A barrier is passed only when the frontier that covers its end was acknowledged, which comes
// after what settled it was recorded.
package source
