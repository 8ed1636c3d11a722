package jetstream_test

import (
	"context"
	"strings"
	"testing"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/source/jetstream"
)

// sink is a Handler that tells when it has reached a position.
type sink struct {
	taker

	end  source.Position
	done chan struct{}
}

func (*sink) Begin(source.Tx)           {}
func (*sink) Event(outbox.Event)        {}
func (*sink) Keepalive(source.Position) {}
func (*sink) Ready() <-chan struct{}    { return nil }
func (k *sink) Commit(tx source.Tx) {
	if tx.End == k.end {
		close(k.done)
	}
}

// What an event of 500 bytes costs from the reader to the sender's handler, in transactions of ten,
// with a server of NATS in the same process.
func BenchmarkStream(b *testing.B) {
	n := newNode(b, nil)
	f := open(b, options(n.Addr().String()))
	k := &sink{end: source.Position(b.N) * 10, done: make(chan struct{})}
	s := f.NewSource(jetstream.SourceOptions{})
	p := f.NewPublisher(jetstream.PublisherOptions{By: byOf(1, 1)})
	run(b, func(ctx context.Context) error { return s.Run(ctx, k) })
	run(b, p.Run)
	ev := eventOf(1, 0)
	ev.Payload = []byte(`"` + strings.Repeat("x", 498) + `"`)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		tx := source.Tx{Commit: source.Position(i)*10 + 5, End: source.Position(i+1) * 10}
		if i%10 == 0 {
			p.Begin(tx)
		}
		ev.Seq = int64(i)
		p.Event(0, ev, nil)
		if i%10 == 9 || i == b.N-1 {
			p.Commit(tx, nil)
		}
		if room := p.Full(); room != nil {
			<-room
		}
	}
	<-k.done
}
