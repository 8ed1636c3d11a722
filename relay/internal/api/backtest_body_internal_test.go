package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDifferences(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want []string
	}{
		{`{"a":1}`, `{"a": 1}`, nil},
		{`{"a":1}`, `{"a":1.0}`, []string{"/a"}}, // receivers may tell them apart
		{`{"a":null}`, `{}`, []string{"/a"}},
		{`{"a":{"b/c":[1,2]}}`, `{"a":{"b/c":[1,3]}}`, []string{"/a/b~1c/1"}},
		{`{"a":[1]}`, `{"a":[1,2]}`, []string{"/a"}},
		{`{"a":1,"z":2}`, `{"b":1,"z":3}`, []string{"/a", "/b", "/z"}},
		{`1`, `"1"`, []string{""}},
		{`[]`, `{}`, []string{""}},
	} {
		require.Equal(t, c.want, differences(json.RawMessage(c.a), json.RawMessage(c.b)), "%s %s", c.a, c.b)
	}
	var many []string
	for i := range 500 {
		many = append(many, fmt.Sprintf(`"%03d":1`, i))
	}
	require.Len(t, differences(json.RawMessage(`{}`), json.RawMessage("{"+strings.Join(many, ",")+"}")), maxDifferences)
}
