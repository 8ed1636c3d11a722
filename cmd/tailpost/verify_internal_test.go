package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/signature"
)

// TestATimeThatIsTooFarAwayIsNotAnotherSecret: whichever way it is away.
func TestATimeThatIsTooFarAwayIsNotAnotherSecret(t *testing.T) {
	t.Parallel()
	secret := signature.GenerateSecret()
	signer, err := signature.NewSigner(secret)
	require.NoError(t, err)
	body := filepath.Join(t.TempDir(), "body.json")
	require.NoError(t, os.WriteFile(body, []byte("{}"), 0o600))
	for away, code := range map[time.Duration]int{0: exitOK, -time.Hour: exitFailed, time.Hour: exitFailed} {
		args := []string{"tailpost", "verify", "--tolerance=5m", "--secret=" + secret, body}
		for name, values := range signer.Sign("e", time.Now().Add(away), []byte("{}")) {
			args = append(args, "--header="+name+": "+strings.Join(values, ","))
		}
		var out, errors bytes.Buffer
		require.Equal(t, code, run(t.Context(), args, func(string) string { return "" }, nil, &out, &errors), errors.String())
		require.Equal(t, code == exitFailed, strings.Contains(errors.String(), "Try: a larger --tolerance"), errors.String())
	}
}
