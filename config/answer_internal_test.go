package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestValidStatus(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"200", "299", "409", "599", "2xx", "5xx"} {
		require.True(t, validStatus(text), text)
	}
	for _, text := range []string{"", "1xx", "6xx", "xxx", "4XX", "199", "600", "0400", "+22", "-22", "42", "422 ", "4.5", "ok", "２００"} {
		require.False(t, validStatus(text), text)
	}
}
