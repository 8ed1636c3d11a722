package api

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/kit"
)

// TestABrokenRenewalIsInTheLog: while the files of the API's certificate are no pair the old one
// goes on, and the log says what is wrong with which file, once and now and then again.
func TestABrokenRenewalIsInTheLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		files := config.TLS{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
		written := time.Now()
		write := func(path, text string) {
			written = written.Add(time.Second)
			require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			require.NoError(t, os.Chtimes(path, written, written))
		}
		cert, key := kit.Certificate(t)
		other, otherKey := kit.Certificate(t)
		write(files.Cert, cert)
		write(files.Key, key)
		var log bytes.Buffer
		p := &keyPair{files: files, log: zerolog.New(&log)}
		// served looks as often as handshakes do, and returns what the log has of it.
		served := func(want string, during time.Duration) []string {
			log.Reset()
			for range during / (5 * time.Second) {
				<-time.After(5 * time.Second)
				pair, err := p.get(nil)
				require.NoError(t, err)
				block, _ := pem.Decode([]byte(want))
				require.Equal(t, block.Bytes, pair.Certificate[0])
			}
			return strings.Split(strings.TrimSpace(log.String()), "\n")
		}
		require.Equal(t, []string{""}, served(cert, time.Minute))

		write(files.Cert, other)
		lines := served(cert, 30*time.Minute)
		require.Len(t, lines, 1)
		require.Contains(t, lines[0], `"level":"error"`)
		require.Contains(t, lines[0], files.Cert+" and "+files.Key+" are not a certificate with its key")
		require.Contains(t, lines[0], "the API goes on with its old TLS certificate")
		require.Len(t, served(cert, 2*time.Hour), 2)

		write(files.Cert, "")
		require.NoError(t, os.Chtimes(files.Cert, time.Time{}, written.Add(-time.Hour)), "older than the key")
		lines = served(cert, time.Minute)
		require.Len(t, lines, 1)
		require.Contains(t, lines[0], files.Cert+" is empty")
		require.NoError(t, os.Remove(files.Cert))
		require.Contains(t, served(cert, time.Minute)[0], files.Cert+" cannot be read: no such file or directory")

		write(files.Cert, other)
		write(files.Key, otherKey)
		<-time.After(lookEvery)
		require.Equal(t, []string{""}, served(other, time.Hour))
		require.NoError(t, os.Remove(files.Cert), "the older file")
		require.Contains(t, served(other, time.Minute)[0], files.Cert+" cannot be read")
	})
}

// TestTheListenerSpeaksTLS where the configuration names a certificate: HTTP/2, and no old version.
func TestTheListenerSpeaksTLS(t *testing.T) {
	t.Parallel()
	files := config.TLS{Cert: filepath.Join(t.TempDir(), "cert.pem"), Key: filepath.Join(t.TempDir(), "key.pem")}
	_, err := Listen(t.Context(), &config.API{Listen: "127.0.0.1:0", TLS: files}, zerolog.Nop())
	require.Error(t, err, "there is no certificate")
	cert, key := kit.Certificate(t)
	require.NoError(t, os.WriteFile(files.Cert, []byte(cert), 0o600))
	require.NoError(t, os.WriteFile(files.Key, []byte(key), 0o600))
	listener, err := Listen(t.Context(), &config.API{Listen: "127.0.0.1:0", TLS: files}, zerolog.Nop())
	require.NoError(t, err)
	shake := func(most uint16) (*tls.Conn, error) {
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			if conn, err := listener.Accept(); err == nil {
				if secure, ok := conn.(*tls.Conn); ok {
					_ = secure.HandshakeContext(t.Context())
				}
				_ = conn.Close()
			}
		}()
		dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: most, NextProtos: []string{"h2"}}}
		conn, err := dialer.DialContext(t.Context(), "tcp", listener.Addr().String())
		<-answered
		if err != nil {
			return nil, err
		}
		secure, _ := conn.(*tls.Conn)
		return secure, conn.Close()
	}
	conn, err := shake(tls.VersionTLS13)
	require.NoError(t, err)
	require.Equal(t, "h2", conn.ConnectionState().NegotiatedProtocol)
	block, _ := pem.Decode([]byte(cert))
	require.Equal(t, block.Bytes, conn.ConnectionState().PeerCertificates[0].Raw)
	_, err = shake(tls.VersionTLS11)
	require.Error(t, err)
	require.NoError(t, listener.Close())
}
