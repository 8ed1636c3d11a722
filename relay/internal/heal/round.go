package heal

import (
	"context"

	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/scan"
)

// roundBlocks is how many blocks of a round an audit reads at least, 32 MiB, in all parts of the
// table together.
const roundBlocks = 4 << 10

// part is the part that one audit reads of the round through the whole table that audits of an
// interval share.
type part struct {
	scan.Span

	settled scan.Horizon // what was written before it was judged by the last round
	next    ledger.Round // where the round is once the part is read
}

// part returns what the audit of an interval reads beside the blocks with new rows: as many again,
// and at least roundBlocks, so that it costs what is new and no more. False: nothing tells yet what
// is settled.
func (a *Auditor) part(ctx context.Context, table Table, recent int64, now scan.Horizon) (p part, ok bool, err error) {
	round := a.round
	if round.Settled.XID == 0 {
		round.Settled = a.horizons.settled()
	}
	if round.Settled.XID == 0 {
		return part{}, false, nil
	}
	if round.Block == 0 {
		round.Began = now
	}
	most, all, err := table.Blocks(ctx)
	if err != nil {
		return part{}, false, err
	}
	n := max(roundBlocks, recent)
	if all > most {
		n = max(1, n*most/all) // a block of each part
	}
	p = part{Span: scan.Span{From: round.Block, To: min(round.Block+n, most)}, settled: round.Settled}
	if p.next = round; p.To < most {
		p.next.Block = p.To
	} else {
		p.next = ledger.Round{Settled: round.Began}
	}
	return p, true, nil
}

// goRound reads the next part of the round. Rows are judged by what wrote them, so that those whose
// time is older than they are come up too.
func (s *sweep) goRound(ctx context.Context, recent []scan.Span, now scan.Horizon) (next ledger.Round, err error) {
	blocks := int64(0)
	for _, span := range recent {
		blocks += span.To - span.From
	}
	p, ok, err := s.part(ctx, s.table, blocks, now)
	if err != nil || !ok {
		return s.round, err
	}
	s.scope = scan.Scope{Horizon: p.settled}
	if s.table, err = s.Open(ctx, s.scope); err != nil {
		return s.round, err
	}
	return p.next, s.read(ctx, []scan.Span{p.Span})
}
