package source_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tailpost/tailpost/relay/internal/source"
)

func at(lsn source.Position) time.Time { return time.Unix(int64(lsn), 0) }

func requireFrontier(t *testing.T, tr *source.Frontier, lsn source.Position, when time.Time) {
	t.Helper()
	got, gotAt := tr.Position()
	require.Equal(t, lsn, got)
	require.True(t, when.Equal(gotAt), "commit time %s, want %s", gotAt, when)
}

func TestFrontier(t *testing.T) {
	t.Parallel()

	t.Run("starts where it is told", func(t *testing.T) {
		t.Parallel()
		requireFrontier(t, source.NewFrontier(7), 7, time.Time{})
	})

	t.Run("what the stream brings again does not move it back", func(t *testing.T) {
		t.Parallel()
		tr := source.NewFrontier(100)
		tx := tr.Begin(at(90))
		tr.Commit(tx, 90)
		requireFrontier(t, tr, 100, at(90))
		tr.Keepalive(95)
		requireFrontier(t, tr, 100, at(90))
	})

	t.Run("a transaction without deliveries passes at its commit", func(t *testing.T) {
		t.Parallel()
		tr := source.NewFrontier(0)
		tx := tr.Begin(at(10))
		requireFrontier(t, tr, 0, time.Time{})
		tr.Commit(tx, 10)
		requireFrontier(t, tr, 10, at(10))
	})

	t.Run("a transaction that is used again says nothing of before", func(t *testing.T) {
		t.Parallel()
		tr := source.NewFrontier(0)
		tx := tr.Begin(at(10))
		tr.Commit(tx, 10)
		tx = tr.Begin(at(20))
		tx.Add(1)
		require.True(t, tr.Oldest().IsZero(), "it was not read whole")
		tr.Commit(tx, 20)
		require.True(t, at(20).Equal(tr.Oldest()))
		tr.Settle(tx, 1)
		require.True(t, tr.Oldest().IsZero())
	})

	t.Run("an open transaction never passes, however settled it is", func(t *testing.T) {
		t.Parallel()
		tr := source.NewFrontier(0)
		tx := tr.Begin(at(10))
		tx.Add(2)
		tr.Settle(tx, 2)
		requireFrontier(t, tr, 0, time.Time{})
		tx.Add(1)
		tr.Commit(tx, 10)
		requireFrontier(t, tr, 0, time.Time{})
		tr.Settle(tx, 1)
		requireFrontier(t, tr, 10, at(10))
	})

	t.Run("the oldest unsettled transaction tells when it was committed", func(t *testing.T) {
		t.Parallel()
		tr := source.NewFrontier(0)
		require.Zero(t, tr.Oldest())
		first := tr.Begin(at(10))
		first.Add(1)
		require.Zero(t, tr.Oldest(), "it was not read whole")
		tr.Commit(first, 10)
		second := tr.Begin(at(20))
		second.Add(1)
		tr.Commit(second, 20)
		require.Equal(t, at(10), tr.Oldest())
		tr.Settle(first, 1)
		require.Equal(t, at(20), tr.Oldest())
		tr.Settle(second, 1)
		require.Zero(t, tr.Oldest())
	})

	t.Run("a settled transaction waits for those before it", func(t *testing.T) {
		t.Parallel()
		tr := source.NewFrontier(0)
		first := tr.Begin(at(10))
		first.Add(1)
		tr.Commit(first, 10)
		second := tr.Begin(at(20))
		second.Add(1)
		tr.Commit(second, 20)
		tr.Settle(second, 1)
		requireFrontier(t, tr, 0, time.Time{})
		tr.Settle(first, 1)
		requireFrontier(t, tr, 20, at(20))
	})

	t.Run("a keepalive counts once everything before it is settled", func(t *testing.T) {
		t.Parallel()
		tr := source.NewFrontier(0)
		tr.Keepalive(5)
		requireFrontier(t, tr, 5, time.Time{})
		tx := tr.Begin(at(10))
		tx.Add(1)
		tr.Commit(tx, 10)
		tr.Keepalive(15)
		tr.Keepalive(12)
		requireFrontier(t, tr, 5, time.Time{})
		tr.Settle(tx, 1)
		requireFrontier(t, tr, 15, at(10))
		tr.Keepalive(11)
		requireFrontier(t, tr, 15, at(10))
	})

	t.Run("settling more than was added is a defect", func(t *testing.T) {
		t.Parallel()
		tr := source.NewFrontier(0)
		tx := tr.Begin(at(1))
		require.Panics(t, func() { tr.Settle(tx, 2) })
	})
}

// modelTx is a transaction of the naive model: a list that is walked from its start at every
// question.
type modelTx struct {
	tx        *source.Unsettled
	added     int
	settled   int
	committed bool
	keepalive bool
	end       source.Position
}

type model struct {
	start   source.Position
	entries []*modelTx
}

func (m *model) frontier() (source.Position, time.Time) {
	lsn, when := m.start, time.Time{}
	for _, e := range m.entries {
		if !e.committed || e.settled < e.added {
			break
		}
		lsn = max(lsn, e.end)
		if !e.keepalive {
			when = at(e.end)
		}
	}
	return lsn, when
}

func TestFrontierAgainstModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := &model{start: source.Position(rapid.Uint64Range(0, 100).Draw(t, "start"))}
		tr := source.NewFrontier(m.start)
		lsn := m.start
		var open *modelTx
		actions := map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				if open != nil {
					t.Skip("one is open")
				}
				lsn += source.Position(rapid.Uint64Range(1, 9).Draw(t, "step"))
				open = &modelTx{tx: tr.Begin(at(lsn))}
				m.entries = append(m.entries, open)
			},
			"add": func(t *rapid.T) {
				if open == nil {
					t.Skip("none is open")
				}
				n := rapid.IntRange(0, 3).Draw(t, "n")
				open.tx.Add(n)
				open.added += n
			},
			"commit": func(t *rapid.T) {
				if open == nil {
					t.Skip("none is open")
				}
				open.committed, open.end = true, lsn
				tr.Commit(open.tx, lsn)
				open = nil
			},
			"keepalive": func(t *rapid.T) {
				if open != nil {
					t.Skip("one is open")
				}
				// Postgres repeats positions and may send one from before the last commit.
				keep := lsn + source.Position(rapid.Uint64Range(0, 9).Draw(t, "step"))
				if rapid.Bool().Draw(t, "back") {
					keep = lsn - min(lsn, 3)
				}
				lsn = max(lsn, keep)
				m.entries = append(m.entries, &modelTx{committed: true, keepalive: true, end: keep})
				tr.Keepalive(keep)
			},
			"settle": func(t *rapid.T) {
				var left []*modelTx
				for _, e := range m.entries {
					if e.settled < e.added {
						left = append(left, e)
					}
				}
				if len(left) == 0 {
					t.Skip("nothing to settle")
				}
				e := rapid.SampledFrom(left).Draw(t, "tx")
				n := rapid.IntRange(1, e.added-e.settled).Draw(t, "n")
				e.settled += n
				tr.Settle(e.tx, n)
			},
		}
		var before source.Position
		actions[""] = func(t *rapid.T) {
			wantLSN, wantAt := m.frontier()
			got, gotAt := tr.Position()
			require.Equal(t, wantLSN, got)
			require.True(t, wantAt.Equal(gotAt), "commit time %s, want %s", gotAt, wantAt)
			require.GreaterOrEqual(t, got, before)
			before = got
		}
		t.Repeat(actions)
	})
}

// TestConcurrentSettle has one reader and several recorders, as the relay has; the race detector
// and the end state judge.
func TestConcurrentSettle(t *testing.T) {
	t.Parallel()
	const transactions, recorders = 5000, 4
	type part struct {
		tx *source.Unsettled
		n  int
	}
	tr := source.NewFrontier(0)
	parts := make(chan part, 256)
	var wg sync.WaitGroup
	for range recorders {
		wg.Go(func() {
			var before source.Position
			held := make([]part, 0, 8)
			for p := range parts {
				// Holding some back settles out of order.
				if len(held) < cap(held) && rand.IntN(2) == 0 {
					held = append(held, p)
					continue
				}
				tr.Settle(p.tx, p.n)
				for _, h := range held {
					tr.Settle(h.tx, h.n)
				}
				held = held[:0]
				now, _ := tr.Position()
				if now < before {
					t.Errorf("frontier went back from %s to %s", before, now)
				}
				before = now
			}
			for _, h := range held {
				tr.Settle(h.tx, h.n)
			}
		})
	}
	var lsn source.Position
	for i := range transactions {
		tx := tr.Begin(at(lsn + 10))
		for n := range i % 4 {
			tx.Add(n + 1)
			parts <- part{tx, n + 1}
		}
		lsn += 10
		tr.Commit(tx, lsn)
		tr.Keepalive(lsn + 1)
	}
	close(parts)
	wg.Wait()
	requireFrontier(t, tr, lsn+1, at(lsn))
}

func TestSteadyStateDoesNotAllocate(t *testing.T) { //nolint:paralleltest // AllocsPerRun counts the whole process
	tr := source.NewFrontier(0)
	var lsn source.Position
	when := at(1)
	allocs := testing.AllocsPerRun(1000, func() {
		a := tr.Begin(when)
		a.Add(1)
		lsn++
		tr.Commit(a, lsn)
		b := tr.Begin(when)
		b.Add(1)
		lsn++
		tr.Commit(b, lsn)
		tr.Keepalive(lsn)
		tr.Settle(b, 1)
		tr.Settle(a, 1)
	})
	require.Zero(t, allocs)
}

func BenchmarkTransaction(b *testing.B) {
	tr := source.NewFrontier(0)
	var lsn source.Position
	when := at(1)
	b.ReportAllocs()
	for b.Loop() {
		tx := tr.Begin(when)
		tx.Add(1)
		lsn++
		tr.Commit(tx, lsn)
		tr.Settle(tx, 1)
	}
}
