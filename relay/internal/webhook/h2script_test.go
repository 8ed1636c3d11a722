package webhook_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2Script is an HTTP/2 receiver that says exactly what a test has it say.
type h2Script struct {
	url   string
	roots *x509.CertPool
	conns atomic.Int64
	http1 atomic.Int64 // connections that settled on HTTP/1.1
	// streams is how many requests a connection takes at once; 0: it says nothing of that.
	streams atomic.Uint32
}

// h2Request is one request, read to its end.
type h2Request struct {
	*http2.Framer

	conn     net.Conn
	stream   uint32
	nth, all int // of this connection's requests, and of all, from 1
}

// respond answers with a status and no body.
func (r *h2Request) respond(status string) { r.head(status, true) }

// head sends the head of an answer: its status, and pairs of names and values.
func (r *h2Request) head(status string, end bool, pairs ...string) {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	_ = e.WriteField(hpack.HeaderField{Name: ":status", Value: status})
	for i := 0; i < len(pairs); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	_ = r.WriteHeaders(http2.HeadersFrameParam{StreamID: r.stream, BlockFragment: b.Bytes(), EndStream: end, EndHeaders: true})
}

// newH2Script starts a receiver that calls serve, on one goroutine per connection, for each whole
// request. What settles on HTTP/1.1 gets says' answer.
func newH2Script(t *testing.T, serve func(*h2Request)) *h2Script {
	t.Helper()
	certs := httptest.NewTLSServer(nil)
	t.Cleanup(certs.Close)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &h2Script{url: "https://" + l.Addr().String() + "/in", roots: x509.NewCertPool()}
	s.roots.AddCert(certs.Certificate())
	config := &tls.Config{Certificates: certs.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	var all atomic.Int64
	wg.Go(func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, raw)
			mu.Unlock()
			wg.Go(func() {
				defer raw.Close()
				c := tls.Server(raw, config)
				if c.HandshakeContext(t.Context()) != nil {
					return
				}
				s.conns.Add(1)
				if c.ConnectionState().NegotiatedProtocol != "h2" {
					s.http1.Add(1)
					_, _ = c.Read(make([]byte, 64<<10))
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
					_, _ = io.Copy(io.Discard, c)
					return
				}
				s.serveH2(c, &all, serve)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return s
}

func (s *h2Script) serveH2(c net.Conn, all *atomic.Int64, serve func(*h2Request)) {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c, preface); err != nil {
		return
	}
	framer := http2.NewFramer(c, c)
	if most := s.streams.Load(); most > 0 {
		_ = framer.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: most})
	} else {
		_ = framer.WriteSettings()
	}
	for n := 0; ; {
		frame, err := framer.ReadFrame()
		if err != nil {
			return
		}
		ended := false
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = framer.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				_ = framer.WritePing(true, f.Data)
			}
		case *http2.HeadersFrame:
			ended = f.StreamEnded()
		case *http2.DataFrame:
			ended = f.StreamEnded()
		}
		if ended {
			n++
			serve(&h2Request{Framer: framer, conn: c, stream: frame.Header().StreamID, nth: n, all: int(all.Add(1))})
		}
	}
}
