package token

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Requests of before may be refused while there is a new token already: that one is kept.
func TestRefusedIsTheTokenThatWasSent(t *testing.T) {
	t.Parallel()
	s := &Source{kept: kept{value: "new"}}
	s.Refused("old")
	value, err := s.known(time.Now())
	require.NoError(t, err)
	require.Equal(t, "new", value)
	s.Refused("new")
	value, err = s.known(time.Now())
	require.NoError(t, err)
	require.Empty(t, value)
}
