package token

import (
	"net/url"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAnyLifeOfATokenIsTaken: a token is good however its life is written, and without one where
// what is written is no number.
func TestAnyLifeOfATokenIsTaken(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		`3600`: 3600, `3600.0`: 3600, `3599.9`: 3599, `3.6e3`: 3600, `"3600"`: 3600, `"3600.0"`: 3600, `" 3600"`: 3600, `"36e2 "`: 3600,
		`99999999999`: 1<<31 - 1, `1e18`: 1<<31 - 1, `1e999`: 1<<31 - 1, `-5`: -1, `"-1e999"`: -1, `0`: 0,
		`""`: 0, `" "`: 0, `true`: 0, `null`: 0, `[3600]`: 0, `{"s": 3600}`: 0, `"soon"`: 0, `"inf"`: 0, `"NaN"`: 0, `"0x10"`: 0, `"1-1"`: 0,
	} {
		for _, name := range []string{"expires_in", "Expires_In"} {
			out, err := tidy("application/json; charset=utf-8", 200, []byte(`{"access_token": "T", "`+name+`": `+text+`, "scope": "a"}`))
			require.NoError(t, err, text)
			if want == 0 && text != `0` {
				require.JSONEq(t, `{"access_token": "T", "scope": "a"}`, string(out), text)
				continue
			}
			require.JSONEq(t, `{"access_token": "T", "scope": "a", "expires_in": `+strconv.Itoa(want)+`}`, string(out), text)
		}
	}
	for text, want := range map[string]url.Values{
		"access_token=T&expires_in=3600.5": {"access_token": {"T"}, "expires_in": {"3600"}}, "access_token=T&expires_in=soon": {"access_token": {"T"}},
	} {
		out, err := tidy("text/plain", 200, []byte(text))
		require.NoError(t, err)
		form, err := url.ParseQuery(string(out))
		require.NoError(t, err)
		require.Equal(t, want, form)
	}
}
