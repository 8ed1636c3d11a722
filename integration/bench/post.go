package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tailpost/tailpost/relay/signature"
)

// secret signs everything; it guards nothing.
const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" //nolint:gosec // the public test vector's

// poster sends signed webhooks with net/http, tuned as far as that goes: kept connections, no
// compression, no proxy.
type poster struct {
	client *http.Client
	signer *signature.Signer
}

func newPoster(connections int, http2 bool) (*poster, error) {
	signer, err := signature.NewSigner(secret)
	if err != nil {
		return nil, err
	}
	return &poster{signer: signer, client: &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{}).DialContext,
			MaxIdleConns:        connections,
			MaxIdleConnsPerHost: connections,
			DisableCompression:  true,
			ForceAttemptHTTP2:   http2,
		},
	}}, nil
}

func (p *poster) post(ctx context.Context, url, id string, body []byte) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	now := time.Now()
	req.Header["Content-Type"] = []string{"application/json"}
	req.Header["Webhook-Id"] = []string{id}
	req.Header["Webhook-Timestamp"] = []string{strconv.FormatInt(now.Unix(), 10)}
	req.Header["Webhook-Signature"] = []string{string(p.signer.Append(nil, id, now, body))}
	res, err := p.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

// payload is an event of about 500 bytes as the default outbox table prints it.
func payload(seq, sentAt int64) []byte {
	b := make([]byte, 0, 520)
	b = append(b, `{"seq": `...)
	b = strconv.AppendInt(b, seq, 10)
	b = append(b, `, "filler": "`...)
	b = append(b, filler...)
	b = append(b, `", "sent_at": `...)
	b = strconv.AppendInt(b, sentAt, 10)
	return append(b, '}')
}

var filler = strings.Repeat("tailpost ", 49)

// runPost is the child process of the limit: it posts for a while and prints its rate.
func runPost(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("post", flag.ContinueOnError)
	url := flags.String("url", "", "address without a path")
	paths := flags.Int("paths", 1, "paths that take turns")
	concurrency := flags.Int("concurrency", 64, "requests at once")
	n := flags.Int64("n", 50_000, "requests")
	http2 := flags.Bool("http2", false, "offer HTTP/2")
	fresh := flags.Bool("fresh", false, "a connection for each request")
	if err := flags.Parse(args); err != nil {
		return err
	}
	urls := make([]string, *paths)
	for i := range urls {
		urls[i] = *url + path(i)
	}
	began := time.Now()
	if err := postAll(ctx, urls, *n, *concurrency, *http2, *fresh); err != nil {
		return err
	}
	rate := float64(*n) / time.Since(began).Seconds()
	return json.NewEncoder(stdout).Encode(postResult{Rate: rate, CPU: cpuSeconds(os.Getpid())})
}

// postAll posts n events to the URLs in turns.
func postAll(ctx context.Context, urls []string, n int64, concurrency int, http2, fresh bool) error {
	p, err := newPoster(concurrency, http2)
	if err != nil {
		return err
	}
	if t, ok := p.client.Transport.(*http.Transport); ok {
		t.DisableKeepAlives = fresh
	}
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range concurrency {
		group.Go(func() error {
			for {
				seq := next.Add(1) - 1
				if seq >= n {
					return nil
				}
				status, err := p.post(ctx, urls[seq%int64(len(urls))], "evt_"+strconv.FormatInt(seq, 10), payload(seq, 0))
				if err == nil && status != http.StatusOK {
					err = fmt.Errorf("answered %d", status)
				}
				if err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}

// postResult is what the child prints.
type postResult struct {
	Rate float64 `json:"rate"`
	CPU  float64 `json:"cpu"`
}

// path is that of the nth endpoint.
func path(n int) string { return "/endpoint/" + strconv.Itoa(n) + "/" }
