package kit_test

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

func TestAssertNowhereFindsASecretInEveryForm(t *testing.T) {
	t.Parallel()
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	bare := strings.TrimPrefix(secret, "whsec_")
	key, err := base64.StdEncoding.DecodeString(bare)
	require.NoError(t, err)
	for name, text := range map[string]string{
		"itself":                   "x" + secret + "x",
		"without its prefix":       `{"secret": "` + bare + `"}`,
		"bytea":                    `(\x00` + hex.EncodeToString([]byte(secret)) + `)`,
		"bytea, in capitals":       strings.ToUpper(hex.EncodeToString([]byte(secret))),
		"base64":                   base64.StdEncoding.EncodeToString([]byte(secret)),
		"base64 behind a byte":     base64.StdEncoding.EncodeToString([]byte("x" + secret + "yz")),
		"base64 behind two bytes":  base64.RawURLEncoding.EncodeToString([]byte("xy" + secret + "z")),
		"bytea of base64":          hex.EncodeToString([]byte(base64.StdEncoding.EncodeToString([]byte("[" + secret + "]")))),
		"bytea of the key":         `\x` + hex.EncodeToString(key),
		"base64 of the key within": base64.StdEncoding.EncodeToString(append([]byte("key:"), key...)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := try(t, func(t kit.TB) { kit.AssertNowhere(t, []string{secret}, map[string]string{"a log": text}) })
			require.NotEmpty(t, found)
			require.Equal(t, "secret 1 of 1 of the test is in a log", found[0])
		})
	}
	require.Empty(t, try(t, func(t kit.TB) {
		kit.AssertNowhere(t, []string{secret}, map[string]string{"a log": "whsec_MfKQ9r [redacted]"})
	}))
}

func TestEverythingHasWhatTablesHave(t *testing.T) {
	t.Parallel()
	db := kit.NewDatabase(t)
	db.Run(t, "CREATE TABLE kept (a bytea, b text)")
	db.Run(t, "INSERT INTO kept VALUES ('a secret of many letters', 'another one of many letters')")
	found := try(t, func(t kit.TB) {
		kit.AssertNowhere(t, []string{"a secret of many letters", "another one of many letters"}, db.Everything(t))
	})
	require.Contains(t, found, "secret 1 of 2 of the test is in table public.kept")
	require.Contains(t, found, "secret 2 of 2 of the test is in table public.kept")
}

func TestArgumentsAreThoseOfChildrenToo(t *testing.T) {
	t.Parallel()
	p := kit.Start(t, shell("trap 'kill $!' TERM; sleep 30.25 >/dev/null 2>&1 & echo here; wait"))
	p.AwaitMatch(t, "here")
	kit.Eventually(t, kit.Patience, func() error {
		if text := p.Arguments(t); !strings.Contains(text, "sleep\x0030.25") {
			return errors.New("no child yet")
		}
		return nil
	})
	require.Contains(t, p.Arguments(t), "echo here")
	p.Stop(t)
}
