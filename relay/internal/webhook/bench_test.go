//go:build unix

package webhook_test

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// sink is the leanest receiver that understands the two clients' requests, so that the benchmarks
// measure the clients.
func sink(b *testing.B) string {
	b.Helper()
	l, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	require.NoError(b, err)
	b.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serveSink(c)
		}
	}()
	return "http://" + l.Addr().String() + "/in"
}

func serveSink(c net.Conn) {
	defer c.Close()
	br := bufio.NewReaderSize(c, 8<<10)
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	length := []byte("content-length: ")
	for {
		n := 0
		for {
			line, err := br.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) == 2 {
				break
			}
			if len(line) > len(length) && bytes.EqualFold(line[:len(length)], length) {
				n, _ = strconv.Atoi(string(bytes.TrimSpace(line[len(length):])))
			}
		}
		if _, err := br.Discard(n); err != nil {
			return
		}
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

func benchEvent() *outbox.Event {
	return &outbox.Event{
		ID: "0191d1f6-2f3a-7cc0-98b0-bd5e6f1a2b3c", Type: "order.created", CreatedAt: time.Now(),
		Payload: json.RawMessage(`{"id":"evt_1","bench_seq":1,"sent_at":1234567890,"filler":"` + strings.Repeat("lorem-ipsum-", 35) + `"}`),
	}
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var ru syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &ru))
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// BenchmarkSend is a whole attempt of this package's client.
func BenchmarkSend(b *testing.B) {
	e := newEndpoint(b, sink(b))
	ctx := b.Context()
	b.ReportAllocs()
	b.SetParallelism(32)
	before := cpu(b)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		ev := benchEvent()
		for pb.Next() {
			res := e.Send(ctx, &webhook.Request{Event: ev, Number: 1, Trigger: outbox.TriggerStream, Now: time.Now()})
			if res.Attempt.StatusCode != http.StatusOK || res.Attempt.Error != "" {
				b.Errorf("status %d, error %q", res.Attempt.StatusCode, res.Attempt.Error)
				return
			}
		}
	})
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op")
}

// BenchmarkNetHTTP is the same attempt, without an envelope or a record, by a well-tuned net/http
// client.
func BenchmarkNetHTTP(b *testing.B) {
	url := sink(b)
	const conns = 64
	tr := &http.Transport{
		MaxIdleConns: 2 * conns, MaxIdleConnsPerHost: conns, IdleConnTimeout: 90 * time.Second,
		DisableCompression: true, WriteBufferSize: 4 << 10, ReadBufferSize: 4 << 10,
	}
	b.Cleanup(tr.CloseIdleConnections)
	client := &http.Client{Transport: tr, Timeout: 10 * time.Second}
	secret := []byte("bench-secret-bench-secret-bench!")
	ctx := b.Context()
	b.ReportAllocs()
	b.SetParallelism(32)
	before := cpu(b)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		ev := benchEvent()
		for pb.Next() {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(ev.Payload))
			if err != nil {
				b.Error(err)
				return
			}
			ts := strconv.FormatInt(time.Now().Unix(), 10)
			m := hmac.New(sha256.New, secret)
			_, _ = m.Write([]byte(ev.ID + "." + ts + "."))
			_, _ = m.Write(ev.Payload)
			req.Header["Content-Type"] = []string{"application/json"}
			req.Header["Webhook-Id"] = []string{ev.ID}
			req.Header["Webhook-Timestamp"] = []string{ts}
			req.Header["Webhook-Signature"] = []string{"v1," + base64.StdEncoding.EncodeToString(m.Sum(nil))}
			resp, err := client.Do(req)
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
	})
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op")
}
