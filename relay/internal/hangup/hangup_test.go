package hangup_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/hangup"
)

// pair returns both ends of a connection.
func pair(t *testing.T) (ours, theirs net.Conn) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, listener.Close()) }()
	accepted := make(chan net.Conn, 1)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			accepted <- conn
		}
		close(accepted)
	}()
	ours, err = (&net.Dialer{}).DialContext(t.Context(), "tcp", listener.Addr().String())
	require.NoError(t, err)
	theirs = <-accepted
	require.NotNil(t, theirs)
	t.Cleanup(func() { _ = ours.Close() })   // a test may have closed it
	t.Cleanup(func() { _ = theirs.Close() }) // so
	return ours, theirs
}

func eventuallyDown(t *testing.T, l *hangup.Line) {
	t.Helper()
	require.Eventually(t, func() bool { return !l.Up() }, 30*time.Second, time.Millisecond)
	require.True(t, l.Gone())
}

func TestUp(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux can tell")
	}
	t.Run("what the peer closes is down, although bytes wait to be read", func(t *testing.T) {
		t.Parallel()
		ours, theirs := pair(t)
		l := hangup.New(ours)
		_, err := theirs.Write([]byte("last words"))
		require.NoError(t, err)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range 1000 {
					if !l.Up() {
						t.Error("down before it was closed")
						return
					}
				}
			})
		}
		all.Wait()
		require.NoError(t, theirs.Close())
		eventuallyDown(t, l)
		require.False(t, hangup.New(ours).Up(), "the first look is not put off")
		words := make([]byte, 10)
		_, err = ours.Read(words)
		require.NoError(t, err, "a look takes nothing away")
		require.Equal(t, "last words", string(words))
	})

	t.Run("what the peer resets is down", func(t *testing.T) {
		t.Parallel()
		ours, theirs := pair(t)
		l := hangup.New(ours)
		require.True(t, l.Up())
		tcp, _ := theirs.(*net.TCPConn)
		require.NoError(t, tcp.SetLinger(0))
		require.NoError(t, theirs.Close())
		eventuallyDown(t, l)
	})

	t.Run("what we close is down", func(t *testing.T) {
		t.Parallel()
		ours, _ := pair(t)
		l := hangup.New(ours)
		require.NoError(t, ours.Close())
		eventuallyDown(t, l)
	})

	t.Run("the socket under TLS counts", func(t *testing.T) {
		t.Parallel()
		server := httptest.NewTLSServer(nil)
		defer server.Close()
		roots := x509.NewCertPool()
		roots.AddCert(server.Certificate())
		dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
		conn, err := dialer.DialContext(t.Context(), "tcp", server.Listener.Addr().String())
		require.NoError(t, err)
		defer func() { _ = conn.Close() }()
		l := hangup.New(conn)
		require.True(t, l.Up())
		server.CloseClientConnections()
		eventuallyDown(t, l)
	})

	t.Run("without a socket nobody can tell", func(t *testing.T) {
		t.Parallel()
		ours, theirs := net.Pipe()
		l := hangup.New(ours)
		require.NoError(t, theirs.Close())
		require.True(t, l.Up())
	})
}

// BenchmarkUp is what a request pays, twice for each connection that is looked at.
func BenchmarkUp(b *testing.B) {
	listener, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	require.NoError(b, err)
	defer func() { require.NoError(b, listener.Close()) }()
	conn, err := (&net.Dialer{}).DialContext(b.Context(), "tcp", listener.Addr().String())
	require.NoError(b, err)
	defer func() { require.NoError(b, conn.Close()) }()
	l := hangup.New(conn)
	b.ReportAllocs()
	for b.Loop() {
		if !l.Up() {
			b.Fatal("down")
		}
	}
}
