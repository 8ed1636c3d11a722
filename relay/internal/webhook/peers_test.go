package webhook_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/pgserver"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// Receivers that others wrote, as processes: what they do to connections is theirs, and not made up
// here.

// startPeer runs a program until the test ends, and returns what it prints. A machine without it
// skips the test, unless it is CI's: .ci/peers.sh installs it.
func startPeer(t *testing.T, name string, args ...string) *bufio.Reader {
	t.Helper()
	cmd := peer(t, name, args...)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return bufio.NewReader(stdout)
}

// peer is a program that is not started yet.
func peer(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		require.Empty(t, os.Getenv("CI"), //nolint:forbidigo // a test
			"%s is not installed: .ci/peers.sh could not", name)
		t.Skipf("%s is not installed: run .ci/peers.sh", name)
	}
	return exec.CommandContext(t.Context(), path, args...)
}

func freePort(t *testing.T) string {
	t.Helper()
	port, err := pgserver.FreePort(t.Context())
	require.NoError(t, err)
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

func awaitListening(t *testing.T, addr string) {
	t.Helper()
	require.Eventually(t, func() bool {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
		if err != nil {
			return false
		}
		return c.Close() == nil
	}, 30*time.Second, 10*time.Millisecond)
}

// TestNginx: under load, with connections that end every 20 requests (HTTP/2: by GOAWAY), what
// nginx took and what the attempts say are the same; and it refuses a large body before it has read
// it.
func TestNginx(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	ca := newAuthority(t, key)
	pair := ca.issue(t, func(*x509.Certificate) {})
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	require.NoError(t, err)
	write := func(name, text string) {
		t.Helper()
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	write("cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})))
	write("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	plain, secure := freePort(t), freePort(t)
	write("nginx.conf", fmt.Sprintf(`
daemon off; master_process off; pid %[1]s/pid; error_log %[1]s/error.log;
events { worker_connections 256; }
http {
  log_format id $http_webhook_id; keepalive_requests 20; client_max_body_size 64k;
  client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
  server { listen %[2]s; access_log %[1]s/plain.log id; location / { return 200 ok; } }
  server {
    listen %[3]s ssl http2; access_log %[1]s/secure.log id; ssl_certificate cert.pem; ssl_certificate_key key.pem;
    location / { return 200 ok; }
  }
}`, dir, plain, secure))
	startPeer(t, "nginx", "-e", dir+"/start.log", "-p", dir, "-c", dir+"/nginx.conf")
	awaitListening(t, plain)
	awaitListening(t, secure)
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	for name, url := range map[string]string{"plain": "http://" + plain, "secure": "https://" + secure} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const lanes, each = 8, 50
			e := endpointOf(t, newClient(t, webhook.Options{Network: loopback(), Roots: roots}), url, func(ep *config.Endpoint) {
				ep.Concurrency, ep.Timeout = lanes, 30*time.Second
			})
			var delivered, reached atomic.Int64
			var wg sync.WaitGroup
			for range lanes {
				wg.Go(func() {
					for range each {
						res := e.Send(t.Context(), newRequest())
						if res.Delivered {
							delivered.Add(1)
						} else if !res.Again {
							t.Errorf("status %d, error %q", res.Attempt.StatusCode, res.Attempt.Error)
						}
						if res.Reached {
							reached.Add(1)
						}
					}
				})
			}
			wg.Wait()
			took := func() int64 { // it writes its log behind its answers
				log, err := os.ReadFile(filepath.Join(dir, name+".log"))
				require.NoError(t, err)
				return int64(bytes.Count(log, []byte("evt_1\n")))
			}
			require.Eventually(t, func() bool { return took() >= delivered.Load() }, 30*time.Second, 10*time.Millisecond)
			require.LessOrEqual(t, took(), reached.Load(), "none that no attempt tells of")
			require.Greater(t, delivered.Load(), int64(lanes*each*9/10))

			large := newRequest()
			large.Event.Payload = quoted(20 << 20)
			require.Equal(t, 413, e.Send(t.Context(), large).Attempt.StatusCode)
		})
	}
}

// TestNodeAndPython: receivers of the languages that most are written in take what is sent, one
// connection after the other.
func TestNodeAndPython(t *testing.T) {
	t.Parallel()
	const node = `
const server = require('http').createServer((req, res) => {
  let n = 0; req.on('data', d => n += d.length); req.on('end', () => res.end(String(n)));
});
server.keepAliveTimeout = 50; server.listen(0, '127.0.0.1', () => console.log('127.0.0.1:' + server.address().port));`
	const python = `
import http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = sys.argv[1]
    def log_message(self, *a): pass
    def do_POST(self):
        n = str(len(self.rfile.read(int(self.headers['Content-Length'])))).encode()
        self.send_response(200); self.send_header('Content-Length', str(len(n))); self.end_headers(); self.wfile.write(n)
s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), H)
print('127.0.0.1:%d' % s.server_port, flush=True)
s.serve_forever()`
	for name, command := range map[string][]string{
		"node":                 {"node", "-e", node},
		"python with HTTP/1.0": {"python3", "-c", python, "HTTP/1.0"},
		"python with HTTP/1.1": {"python3", "-c", python, "HTTP/1.1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr, err := startPeer(t, command[0], command[1:]...).ReadString('\n')
			require.NoError(t, err)
			e := newEndpoint(t, "http://"+addr[:len(addr)-1], func(ep *config.Endpoint) { ep.Format, ep.Timeout = config.FormatRaw, 30*time.Second })
			for i := range 40 {
				r := newRequest()
				r.Event.Payload = quoted(i * i * 100)
				res := e.Send(t.Context(), r)
				if res.Again { // closed at the moment of use
					continue
				}
				require.True(t, res.Delivered, res.Attempt.Error)
				require.Empty(t, res.Attempt.Error)
				require.Equal(t, fmt.Sprint(len(r.Event.Payload)), string(res.Attempt.ResponseBody))
			}
		})
	}
}
