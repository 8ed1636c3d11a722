package webhook_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// squid is an egress proxy that others wrote, as a process. It knows the name example.com as
// 127.0.0.1, and the user me with squidPassword alone.
type squid struct {
	t       *testing.T
	dir     string
	address string
	cmd     *exec.Cmd
}

// squidPassword holds what has to be escaped in a URL, and what ends a user in one.
const squidPassword = "p:w @/%"

// newSquid starts a squid whose configuration has more rules, before the one that lets me through.
// Its buffer takes the largest request of a test: up to version 6.10 a squid takes a full one for
// the client's going (its bug 5405), and cuts what it sends on.
func newSquid(t *testing.T, rules ...string) *squid {
	t.Helper()
	s := &squid{t: t, dir: t.TempDir(), address: freePort(t)}
	// As root it gives up being root, and then wants to read and write here.
	require.NoError(t, os.Chmod(filepath.Dir(s.dir), 0o755))
	require.NoError(t, os.Chmod(s.dir, 0o777))
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644))
	}
	// A helper gets a line with user and password, in which a squid escapes blanks and percents.
	write("login", `while read -r user password; do
  if [ "$user $password" = "me p:w%20@/%25" ]; then echo OK; else echo ERR; fi
done`)
	write("hosts", "127.0.0.1 example.com\n")
	write("conf", fmt.Sprintf(`
http_port %[2]s
pid_filename none
pinger_enable off
cache deny all
client_request_buffer_max_size 16 MB
cache_log %[1]s/cache.log
logformat requests %%>p %%un %%rm %%ru %%>Hs
strip_query_terms off
access_log stdio:%[1]s/access.log requests
coredump_dir %[1]s
shutdown_lifetime 0 seconds
dns_nameservers 127.0.0.1
hosts_file %[1]s/hosts
auth_param basic program /bin/sh %[1]s/login
auth_param basic children 2 startup=1
acl me proxy_auth REQUIRED
%[3]s
http_access allow me
http_access deny all
`, s.dir, s.address, strings.Join(rules, "\n")))
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *squid) start() {
	s.t.Helper()
	s.cmd = peer(s.t, "squid", "-N", "-n", s.service(), "-f", filepath.Join(s.dir, "conf"))
	require.NoError(s.t, s.cmd.Start())
	awaitListening(s.t, s.address)
}

// service is the name under which it has shared memory, its own: of two that start at once with one
// name, one ends.
func (s *squid) service() string {
	return "tailpost" + s.address[strings.LastIndexByte(s.address, ':')+1:]
}

// stop ends it as a crash would, and removes the shared memory that this leaves on Linux.
func (s *squid) stop() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	left, _ := filepath.Glob("/dev/shm/" + s.service() + "-*")
	for _, path := range left {
		_ = os.Remove(path)
	}
}

// requests are the lines of its log with a word in them: the client's port, user, method, target
// and status of each.
func (s *squid) requests(word string, want int) [][]string {
	s.t.Helper()
	var lines [][]string
	require.Eventually(s.t, func() bool { // it writes its log behind its answers
		text, err := os.ReadFile(filepath.Join(s.dir, "access.log"))
		lines = nil
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, word) {
				lines = append(lines, strings.Fields(line))
			}
		}
		return err == nil && len(lines) >= want
	}, 30*time.Second, 10*time.Millisecond)
	require.Len(s.t, lines, want)
	return lines
}

// through is a client that reaches receivers through the squid, as user, which may be empty.
func (s *squid) through(user *url.Userinfo, recs []*receiver, change ...func(*webhook.Options)) *webhook.Client {
	s.t.Helper()
	o := webhook.Options{Network: only("127.0.0.1/32"), Resolver: resolvesTo("127.0.0.1")}
	o.Network.Proxy = config.NewSecret((&url.URL{Scheme: "http", User: user, Host: s.address}).String())
	for _, rec := range recs {
		if strings.HasPrefix(rec.URL, "https") {
			o.Roots = rootsOf(s.t, rec)
		}
	}
	for _, f := range change {
		f(&o)
	}
	return newClient(s.t, o)
}

func portOf(rec *receiver) string { return rec.URL[strings.LastIndexByte(rec.URL, ':')+1:] }

// bothSchemes runs a test with a receiver of each.
func bothSchemes(t *testing.T, test func(t *testing.T, rec *receiver, secure bool)) {
	t.Helper()
	for name, start := range map[string]func(*httptest.Server){"https": tlsOnly, "http": plainHTTP} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newReceiver(t, start, func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/gone":
					w.WriteHeader(http.StatusGone)
				case "/length":
					_, _ = fmt.Fprint(w, r.ContentLength)
				case "/elsewhere":
					http.Redirect(w, r, "/in?a=b", http.StatusTemporaryRedirect)
				case "/closes":
					w.Header().Set("Connection", "close")
				case "/proxy":
					w.Header().Set("Proxy-Authenticate", "Basic")
					w.WriteHeader(http.StatusProxyAuthRequired)
				}
			}), name == "https")
		})
	}
}

// TestSquid: what is sent through a squid arrives, over connections that are kept, whatever the
// receiver does with its own.
func TestSquid(t *testing.T) {
	t.Parallel()
	bothSchemes(t, func(t *testing.T, rec *receiver, secure bool) {
		t.Helper()
		s := newSquid(t)
		c := s.through(url.UserPassword("me", squidPassword), []*receiver{rec})
		at := named(t, rec, "example.com")
		e := endpointOf(t, c, at+"/in?a=b")
		for range 3 {
			res := e.Send(t.Context(), newRequest())
			require.True(t, res.Delivered, res.Attempt.Error)
			got := <-rec.requests
			require.Equal(t, "/in?a=b", got.uri)
			require.Equal(t, strings.TrimPrefix(strings.TrimPrefix(at, "https://"), "http://"), got.host)
			require.Empty(t, got.header.Get("Proxy-Authorization"))
		}
		c.Close() // a tunnel is in the log once it has ended
		if secure {
			line := s.requests("CONNECT", 1)[0]
			require.Equal(t, []string{"me", "CONNECT", "127.0.0.1:" + portOf(rec), "200"}, line[1:], "the checked address")
		} else {
			lines := s.requests("POST", 3)
			for _, line := range lines {
				require.Equal(t, lines[0][0], line[0], "one connection")
				require.Equal(t, []string{"me", "POST", at + "/in?a=b", "200"}, line[1:])
			}
		}

		c = s.through(url.UserPassword("me", squidPassword), []*receiver{rec})
		for path, status := range map[string]int{"/gone": 410, "/length": 200, "/elsewhere": 200} {
			r := newRequest()
			r.Event.Payload = quoted(5 << 20)
			e := endpointOf(t, c, at+path, func(ep *config.Endpoint) { ep.Format, ep.Redirects, ep.Timeout = config.FormatRaw, 1, time.Minute })
			res := e.Send(t.Context(), r)
			require.Equal(t, status, res.Attempt.StatusCode, "%s: %s", path, res.Attempt.Error)
			require.Empty(t, res.Attempt.Error)
			if path == "/length" {
				require.Equal(t, fmt.Sprint(len(r.Event.Payload)), string(res.Attempt.ResponseBody))
			}
		}
		e = endpointOf(t, c, at+"/closes")
		for range 3 {
			require.True(t, e.Send(t.Context(), newRequest()).Delivered)
		}
		if !secure {
			lines := s.requests("/closes", 3)
			require.Equal(t, lines[0][0], lines[2][0], "the receiver's connection is the proxy's")
		}
	})
}

// TestSquidBars: a proxy that does not know the relay has no receiver blamed for it, and what it
// answers is nobody's answer.
func TestSquidBars(t *testing.T) {
	t.Parallel()
	const why = " with status 407: check the user and password in network.proxy"
	bothSchemes(t, func(t *testing.T, rec *receiver, secure bool) {
		t.Helper()
		s := newSquid(t)
		for _, user := range []*url.Userinfo{nil, url.User("me"), url.UserPassword("me", "other"), url.UserPassword("you", squidPassword)} {
			e := endpointOf(t, s.through(user, []*receiver{rec}), rec.URL+"/in", func(ep *config.Endpoint) {
				ep.Retry.Permanent = []string{"4xx"}
			})
			res := e.Send(t.Context(), newRequest())
			if secure {
				require.Equal(t, "the egress proxy refused the connection"+why, res.Attempt.Error)
			} else {
				require.Equal(t, "the egress proxy refused the request"+why, res.Attempt.Error)
			}
			require.True(t, res.Barred)
			require.False(t, res.Reached)
			require.Zero(t, res.Attempt.StatusCode)
			require.Empty(t, res.Attempt.ResponseBody, "the proxy's page")
		}
		require.Empty(t, rec.requests)
	})
}

// TestSquidRefuses: what a squid refuses, or does not reach, is told of a tunnel; without one its
// answer stands for the receiver's, and only 407 never does.
func TestSquidRefuses(t *testing.T) {
	t.Parallel()
	bothSchemes(t, func(t *testing.T, rec *receiver, secure bool) {
		t.Helper()
		denied, down := newReceiver(t, plainHTTP, nil), newReceiver(t, plainHTTP, nil)
		down.Close()
		s := newSquid(t, "acl closed port "+portOf(denied), "http_access deny closed")
		c := s.through(url.UserPassword("me", squidPassword), []*receiver{rec})
		for status, there := range map[int]*receiver{403: denied, 503: down} {
			at, err := url.Parse(rec.URL)
			require.NoError(t, err)
			at.Host = "127.0.0.1:" + portOf(there)
			res := endpointOf(t, c, at.String()).Send(t.Context(), newRequest())
			require.False(t, res.Barred)
			if secure {
				require.Equal(t, fmt.Sprintf("the egress proxy refused the connection with status %d", status), res.Attempt.Error)
				require.Zero(t, res.Attempt.StatusCode)
				require.False(t, res.Reached)
				continue
			}
			require.Empty(t, res.Attempt.Error)
			require.Equal(t, status, res.Attempt.StatusCode)
			require.Contains(t, string(res.Attempt.ResponseBody), "<html>")
		}
		require.Empty(t, denied.requests)

		res := endpointOf(t, c, rec.URL+"/proxy").Send(t.Context(), newRequest())
		<-rec.requests
		require.True(t, res.Reached)
		require.False(t, res.Barred, "a squid passes 407 on, and keeps what asks for a password to itself")
		if secure {
			require.Equal(t, 407, res.Attempt.StatusCode)
			return
		}
		require.Zero(t, res.Attempt.StatusCode)
		require.Equal(t, "407 is no receiver's answer: the egress proxy refused the request, or the receiver took itself for a proxy", res.Attempt.Error)
	})
}

// TestSquidResolves: with proxy_resolves the squid looks the name up, and the relay does not.
func TestSquidResolves(t *testing.T) {
	t.Parallel()
	bothSchemes(t, func(t *testing.T, rec *receiver, _ bool) {
		t.Helper()
		s := newSquid(t)
		c := s.through(url.UserPassword("me", squidPassword), []*receiver{rec}, func(o *webhook.Options) {
			o.Network.ProxyResolves, o.Resolver = true, resolvesTo()
		})
		e := endpointOf(t, c, named(t, rec, "example.com"))
		res := e.Send(t.Context(), newRequest())
		require.True(t, res.Delivered, res.Attempt.Error)
		e.Close()
		s.requests("example.com:"+portOf(rec), 1)
	})
}

// TestSquidStops: a proxy that goes in the middle of a request costs that one, and who comes back
// is used again.
func TestSquidStops(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*httptest.Server){"https": tlsOnly, "http": plainHTTP} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hold := make(chan struct{})
			rec := newReceiver(t, start, func(_ http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/held" {
					<-hold
				}
			})
			t.Cleanup(func() { close(hold) })
			s := newSquid(t)
			c := s.through(url.UserPassword("me", squidPassword), []*receiver{rec})
			held, e := endpointOf(t, c, rec.URL+"/held"), endpointOf(t, c, rec.URL+"/in")
			require.True(t, e.Send(t.Context(), newRequest()).Delivered)
			<-rec.requests
			done := make(chan webhook.Result)
			go func() { done <- held.Send(t.Context(), newRequest()) }()
			<-rec.requests
			s.stop()
			res := <-done
			require.Contains(t, []string{"connection closed while waiting for headers", "connection reset while waiting for headers"}, res.Attempt.Error)
			require.True(t, res.Reached)
			require.Equal(t, "no connection to the egress proxy: connection refused", e.Send(t.Context(), newRequest()).Attempt.Error)
			s.start()
			require.True(t, e.Send(t.Context(), newRequest()).Delivered)
		})
	}
}

// TestSquidTakesTokenRequests: an authorization server is reached as receivers are.
func TestSquidTakesTokenRequests(t *testing.T) {
	t.Parallel()
	a := newAuthorizer(t, time.Hour)
	rec := a.guarded(t)
	s := newSquid(t)
	for password, want := range map[string]string{
		squidPassword: "",
		"other":       "OAuth 2: the egress proxy refused the request with status 407: check the user and password in network.proxy",
	} {
		e := endpointOf(t, s.through(url.UserPassword("me", password), nil), rec.URL, a.client)
		res := e.Send(t.Context(), newRequest())
		require.Equal(t, want, res.Attempt.Error)
		require.Equal(t, want == "", res.Delivered)
		require.Equal(t, want != "", res.Barred)
	}
	require.EqualValues(t, 1, a.fetches.Load())
	for _, line := range s.requests("POST "+a.URL, 2) {
		require.Contains(t, []string{"200", "407"}, line[4])
	}
}
