package main

import (
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The bundle is read anew at each call, so that one that was replaced is taken.
func TestRootsAreReadAnew(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(nil)
	t.Cleanup(server.Close)
	path := filepath.Join(t.TempDir(), "bundle.pem")
	read := roots(func(name string) string {
		if name == "SSL_CERT_FILE" {
			return path
		}
		return ""
	})
	_, err := read()
	require.ErrorContains(t, err, "read SSL_CERT_FILE")
	require.NoError(t, os.WriteFile(path, []byte("nothing"), 0o600))
	_, err = read()
	require.ErrorContains(t, err, "SSL_CERT_FILE holds no certificate in PEM form")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	require.NoError(t, os.WriteFile(path, text, 0o600))
	first, err := read()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, append(text, text...), 0o600))
	second, err := read()
	require.NoError(t, err)
	require.True(t, first.Equal(second), "the same authorities")
	require.NotSame(t, first, second)

	system, err := roots(func(name string) string { return map[string]string{"SSL_CERT_DIR": t.TempDir()}[name] })()
	require.NoError(t, err)
	require.Nil(t, system, "Go reads the directory")
}
