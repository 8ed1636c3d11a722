package fleet

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/dispatch"
)

// Once the stream has missed something, the partitions that deliver begin anew, so that what has an
// order waits for the audit. Those that wait for it already, and those that are being taken, go on:
// otherwise nobody would deliver anything until the audit is over.
func TestAHealEndsThePartitionsThatDoNotKnowOfIt(t *testing.T) {
	t.Parallel()
	s := &senders{holds: make(map[int]*partition)}
	for n := range 3 {
		s.holds[n] = newPartition(s, nil, n, 3)
	}
	const delivers, waits, begins = 0, 1, 2
	s.holds[delivers].dispatcher, s.holds[waits].dispatcher = &dispatch.Dispatcher{}, &dispatch.Dispatcher{}
	s.holds[waits].healing = true
	for range 3 {
		s.heal(true)
	}
	require.Len(t, s.holds[delivers].broken, 1)
	require.ErrorIs(t, <-s.holds[delivers].broken, errHeal)
	require.Empty(t, s.holds[waits].broken)
	require.Empty(t, s.holds[begins].broken)
}
