package dispatch

import (
	"slices"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tailpost/tailpost/outbox"
)

func numbered(i int) *delivery {
	return &delivery{ev: &event{Event: outbox.Event{ID: strconv.Itoa(i)}}}
}

// An id that is used again while the event that had it before is in flight hides that from nobody:
// the loader would send it a second time.
func TestMemory_keepsTheRowOfAnEarlierEventWithTheSameID(t *testing.T) {
	t.Parallel()
	m := memory{bytes: new(atomic.Int64)}
	first, second := numbered(1), numbered(1)
	first.cost, second.cost = 10, 100
	m.load(first)
	m.fresh.push(second)
	m.load(second)
	m.forget(second)
	require.True(t, m.has("1"), "the first is in memory")
	require.EqualValues(t, 10, m.bytes.Load())
	m.forget(first)
	require.False(t, m.has("1"))
	require.Zero(t, m.bytes.Load())
}

// What had no room in a request weighs again, or what waits with it would wait for company though
// there is enough for a whole request.
func TestMemory_weighsWhatGoesBack(t *testing.T) {
	t.Parallel()
	m := memory{bytes: new(atomic.Int64)}
	dl := numbered(1)
	dl.ev.Payload = []byte(`{"total": 7}`)
	m.fresh.push(dl)
	m.enqueue(dl)
	weight := m.weight
	require.Positive(t, weight)
	require.Same(t, dl, m.start())
	require.Zero(t, m.weight)
	m.requeue(dl)
	require.Equal(t, weight, m.weight)
	require.Equal(t, 1, m.size())
	require.Same(t, dl, m.start())
}

// What goes back though others have taken its room is before them, and takes nobody's place.
func TestMemory_takesBackWhatFoundItFull(t *testing.T) {
	t.Parallel()
	m := memory{bytes: new(atomic.Int64)}
	for i := range 4 {
		m.enqueue(numbered(i))
	}
	back := m.start()
	m.enqueue(numbered(4))
	m.requeue(back)
	for i := range 5 {
		require.Equal(t, strconv.Itoa(i), m.start().ev.ID)
	}
}

// TestMemory_keepsTheOrderAndItsCounts holds a memory against a plain list, whatever comes, goes,
// waits or is evicted.
func TestMemory_keepsTheOrderAndItsCounts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := memory{bytes: new(atomic.Int64)}
		var queue, waits []*delivery
		n := 0
		remove := func(list []*delivery, i int) []*delivery { return append(list[:i:i], list[i+1:]...) }
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0, 1:
				dl := numbered(n)
				n++
				if rapid.Bool().Draw(t, "loaded") {
					m.load(dl)
				} else {
					m.fresh.push(dl)
				}
				if rapid.Bool().Draw(t, "behind another") {
					m.wait(dl)
					waits = append(waits, dl)
				} else {
					m.enqueue(dl)
					queue = append(queue, dl)
				}
			case 2:
				if len(waits) > 0 && rapid.Bool().Draw(t, "goes with the one before it") {
					m.board(waits[0])
					require.Equal(t, inFlight, waits[0].phase)
					m.fresh.remove(waits[0])
					m.forget(waits[0])
					waits = waits[1:]
				} else if len(waits) > 0 {
					m.enqueue(waits[0])
					queue, waits = append(queue, waits[0]), waits[1:]
				}
			case 3:
				got := m.start()
				if len(queue) == 0 {
					require.Nil(t, got)
					continue
				}
				require.Same(t, queue[0], got)
				require.Equal(t, inFlight, got.phase)
				queue = queue[1:]
				m.fresh.remove(got)
				m.forget(got)
			case 4:
				if len(queue) > 0 {
					i := rapid.IntRange(0, len(queue)-1).Draw(t, "queued")
					fresh := queue[i].fresh
					require.Equal(t, fresh, m.evict(queue[i]))
					queue = remove(queue, i)
				}
			case 5:
				if len(waits) > 0 {
					i := rapid.IntRange(0, len(waits)-1).Draw(t, "waiting")
					fresh := waits[i].fresh
					require.Equal(t, fresh, m.evict(waits[i]))
					waits = remove(waits, i)
				}
			}
			weight := 0
			for _, dl := range slices.Concat(queue, waits) {
				weight += dl.weight()
			}
			require.Equal(t, weight, m.weight, "of what waits, and of nothing else")
			require.Equal(t, len(queue), m.queue.live)
			require.Equal(t, len(queue)+len(waits), m.size())
			require.GreaterOrEqual(t, m.bytes.Load(), int64(0))
			left := 0
			for range m.waits() {
				left++
			}
			require.Equal(t, m.size(), left)
		}
	})
}

// TestMemory_knowsWhatTheLoaderReadTooLate: a row that left memory while the table was read is
// stale in the answer.
func TestMemory_knowsWhatTheLoaderReadTooLate(t *testing.T) {
	t.Parallel()
	m := memory{bytes: new(atomic.Int64)}
	before, during := numbered(1), numbered(2)
	m.load(before)
	m.load(during)
	m.forget(before)
	require.Equal(t, []string{"2"}, m.beginLoad())
	require.True(t, m.has("2"), "it is in memory")
	m.forget(during)
	require.True(t, m.has("2"), "it was answered while the table was read")
	require.False(t, m.has("1"))
	m.endLoad()
	require.False(t, m.has("2"), "the next answer is younger than that")
}

func TestMemory_knowsWhatItsRowsTake(t *testing.T) {
	t.Parallel()
	m := memory{bytes: new(atomic.Int64)}
	one, two := numbered(1), numbered(2)
	one.cost, two.cost = 100, 1000
	m.load(one)
	m.load(two)
	require.EqualValues(t, 1100, m.bytes.Load())
	m.forget(one)
	m.forget(one)
	require.EqualValues(t, 1000, m.bytes.Load())
	m.enqueue(two)
	m.evict(two)
	require.Zero(t, m.bytes.Load())
}

func TestMemory_forgetsOnlyTheDeliveryThatItHas(t *testing.T) {
	t.Parallel()
	m := memory{bytes: new(atomic.Int64)}
	old, again := numbered(1), numbered(1)
	m.load(old)
	m.forget(old)
	m.load(again)
	m.forget(old)
	require.True(t, m.has("1"))
}

func TestQueue_givesALargeRingBack(t *testing.T) {
	t.Parallel()
	var q queue
	for i := range 5000 {
		dl := numbered(i)
		dl.phase = queued
		q.push(dl)
	}
	for range 5000 {
		require.NotNil(t, q.pop())
	}
	require.Nil(t, q.pop())
	require.Empty(t, q.items)
}
