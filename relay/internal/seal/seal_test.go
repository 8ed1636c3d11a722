package seal_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/seal"
)

func keyring(t require.TestingT, digits ...string) *seal.Keyring {
	var secrets config.Secrets
	for _, d := range digits {
		secrets.Keys = append(secrets.Keys, config.NewSecret(strings.Repeat(d, 32)))
	}
	k, err := seal.New(secrets)
	require.NoError(t, err)
	return k
}

func TestOpensWhatItSealed(t *testing.T) {
	t.Parallel()
	k := keyring(t, "0a")
	rapid.Check(t, func(t *rapid.T) {
		plaintext := rapid.SliceOf(rapid.Byte()).Draw(t, "plaintext")
		context := rapid.SliceOf(rapid.Byte()).Draw(t, "context")
		sealed, err := k.Seal(plaintext, context)
		require.NoError(t, err)
		if len(plaintext) > 8 {
			require.False(t, bytes.Contains(sealed, plaintext))
		}
		opened, err := k.Open(sealed, context)
		require.NoError(t, err)
		require.True(t, bytes.Equal(plaintext, opened))

		at := rapid.IntRange(0, len(sealed)-1).Draw(t, "at")
		sealed[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "flip"))
		_, err = k.Open(sealed, context)
		require.Error(t, err)
	})
}

// What an earlier release has sealed is in tables, and has to open.
func TestOpensWhatEarlierReleasesSealed(t *testing.T) {
	t.Parallel()
	sealed, err := hex.DecodeString("010e08aa6d39bfca935ad2a645bc0e8685db974189824346e9a27902e348ee4e088f930cd4eb58658cfdc425cd60f2bfedfee7471e55ddf113513fc7")
	require.NoError(t, err)
	opened, err := keyring(t, "0b").Open(sealed, []byte("ep_1"))
	require.NoError(t, err)
	require.Equal(t, "whsec_of_before", string(opened))
}

func TestSealsDifferentlyEachTime(t *testing.T) {
	t.Parallel()
	k := keyring(t, "0a")
	a, err := k.Seal([]byte("s"), nil)
	require.NoError(t, err)
	b, err := k.Seal([]byte("s"), nil)
	require.NoError(t, err)
	require.NotEqual(t, a, b)
}

func TestAnotherContextOpensNothing(t *testing.T) {
	t.Parallel()
	k := keyring(t, "0a")
	sealed, err := k.Seal([]byte("s"), []byte("ep_1"))
	require.NoError(t, err)
	_, err = k.Open(sealed, []byte("ep_2"))
	require.ErrorIs(t, err, seal.ErrDamaged)
	_, err = k.Open(sealed[:20], []byte("ep_1"))
	require.ErrorIs(t, err, seal.ErrDamaged)
	_, err = k.Open(nil, nil)
	require.ErrorIs(t, err, seal.ErrDamaged)
}

func TestKeysRotate(t *testing.T) {
	t.Parallel()
	old, both, only := keyring(t, "0a"), keyring(t, "0b", "0a"), keyring(t, "0b")
	sealed, err := old.Seal([]byte("s"), []byte("ep_1"))
	require.NoError(t, err)
	require.True(t, old.Current(sealed))
	require.False(t, both.Current(sealed))
	require.False(t, old.Current(sealed[:8]), "there is not even a header")

	opened, err := both.Open(sealed, []byte("ep_1"))
	require.NoError(t, err)
	require.Equal(t, "s", string(opened))
	_, err = only.Open(sealed, []byte("ep_1"))
	var unknown *seal.UnknownKeyError
	require.ErrorAs(t, err, &unknown)
	require.Len(t, unknown.ID, 8)
	require.ErrorContains(t, err, "not configured")

	again, err := both.Seal(opened, []byte("ep_1"))
	require.NoError(t, err)
	require.True(t, both.Current(again))
	_, err = only.Open(again, []byte("ep_1"))
	require.NoError(t, err)
}

func TestNoKeys(t *testing.T) {
	t.Parallel()
	var none seal.Keyring
	require.True(t, none.Empty())
	_, err := none.Seal([]byte("s"), nil)
	require.ErrorIs(t, err, seal.ErrNoKey)
	sealed, err := keyring(t, "0a").Seal(nil, nil)
	require.NoError(t, err)
	_, err = none.Open(sealed, nil)
	require.Error(t, err)
	require.False(t, none.Current(sealed))

	_, err = seal.New(config.Secrets{Keys: []config.Secret{config.NewSecret("hunter2")}})
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hunter2")
	require.NotErrorIs(t, err, seal.ErrNoKey)
}

// What was not sealed opens as nothing, whatever it is.
func FuzzOpen(f *testing.F) {
	k := keyring(f, "0a", "0b")
	sealed, err := k.Seal([]byte("s"), []byte("ep_1"))
	require.NoError(f, err)
	f.Add(sealed, []byte("ep_1"))
	f.Add(sealed[:30], []byte("ep_1"))
	f.Add([]byte{}, []byte{})
	f.Add(append([]byte{1}, sealed[5:]...), []byte("ep_1"))
	f.Fuzz(func(t *testing.T, value, context []byte) {
		opened, err := k.Open(value, context)
		if err != nil {
			require.Nil(t, opened)
			return
		}
		require.Equal(t, "ep_1", string(context))
		require.Equal(t, "s", string(opened))
	})
}
