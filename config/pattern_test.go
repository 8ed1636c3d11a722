package config_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

func TestPatternsTakeWholeSegments(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		pattern, taken, left string // event types, separated by blanks
	}{
		{"order.created", "order.created", "order order.created.x order.createdx order.CREATED xorder.created order."},
		{"order.*", "order.created order.paid order.", "order order.item.added orders.x"},
		{"*.created", "order.created .created", "created order.item.created order.created.x"},
		{"order.*.added", "order.item.added", "order.added order.a.b.added order.item.added.x"},
		{"*", "order order-created", "order.created ."},
		{"**", "order order.created a.b.c .", ""},
		{"order.**", "order.created order.item.added order.", "order orders orders.x"},
		{"*.**", "a.b a.b.c", "a"},
	} {
		p, err := config.ParsePattern(tc.pattern)
		require.NoError(t, err)
		for eventType := range strings.FieldsSeq(tc.taken) {
			require.True(t, p.Match(eventType), "%s should take %s", tc.pattern, eventType)
		}
		for eventType := range strings.FieldsSeq(tc.left) {
			require.False(t, p.Match(eventType), "%s should leave %s", tc.pattern, eventType)
		}
	}
}

func TestPatternsThatTakeOneTypeOnly(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]bool{"order": true, "order.created": true, "order.*": false, "*.created": false, "order.**": false, "**": false} {
		p, err := config.ParsePattern(pattern)
		require.NoError(t, err)
		require.Equal(t, want, p.Exact(), pattern)
	}
}

func TestPatternsThatAreNone(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{"", ".", "a.", ".a", "a..b", "a.**.b", "**.a", "or*der", "***", "a b", "a\tb", "a\x00", strings.Repeat("x", 256)} {
		_, err := config.ParsePattern(pattern)
		require.Error(t, err, pattern)
	}
	_, err := config.ParsePattern(strings.Repeat("x", 255))
	require.NoError(t, err)
}
