package config_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

// A rate is above zero: no rate would be none at all to some, and no limit to others.
func TestRates(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]float64{"100/s": 100, "30/m": 0.5, " 7200 /h": 2, "0.5/s": 0.5, "1e12/s": 1e12} {
		got, ok := config.ParseRate(text)
		require.True(t, ok, text)
		require.InDelta(t, want, got, 1e-9, text)
	}
	for _, text := range []string{"0/s", "-1/s", "NaN/s", "Inf/s", "1e13/s", "1", "1/d", "/s", "x/s", ""} {
		got, ok := config.ParseRate(text)
		require.False(t, ok, text)
		require.Zero(t, got, text)
	}
}

// A size is bounded, in whatever unit it is written.
func TestSizes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"1B": 1, "500KB": 500_000, "500kB": 500_000, "1 MB": 1_000_000, "256KiB": 256 << 10, "2MiB": 2 << 20, "2048MiB": 1 << 31,
	} {
		got, ok := config.ParseSize(text)
		require.True(t, ok, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"0B", "-1KB", "1", "1GB", "2049MiB", "2147483647MB", "1.5MB", "B", "", "99999999999B"} {
		_, ok := config.ParseSize(text)
		require.False(t, ok, text)
	}
}
