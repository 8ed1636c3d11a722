package postgres

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhichNamesMakeTheStreamAStandby(t *testing.T) {
	t.Parallel()
	for names, want := range map[string]bool{
		"": false, " ": false, "s1": false, "s1, s2": false, "FIRST 2 (s1, s2)": false, "ANY 1 (s1)": false, "2 (s1, s2)": false, `"tailpost"`: false,
		"first": false, `"tailpost shop s1"`: false,
		"*": true, " * ": true, `"*"`: true, "s1, *": true, "FIRST 1 (*)": true, "any 1( s1,* )": true, "1 (*)": true,
		`"Tailpost Shop"`: true, `FIRST 1 (s1, "tailpost shop")`: true,
	} {
		require.Equal(t, want, isStandby(names, "tailpost shop"), names)
	}
}
