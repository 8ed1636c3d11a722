package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/signature"
)

// maxOrigins bounds how many receivers an endpoint's redirects may keep connections to.
const maxOrigins = 4

// Endpoint sends requests to one endpoint. It is safe for concurrent use.
type Endpoint struct {
	client          *Client
	id              string
	url             *url.URL // nil: redirects are not followed, and nothing else needs it
	shownURL        string   // for Attempt.URL: without user information
	timeout         time.Duration
	format          config.Format
	redirects       int
	concurrency     int
	signer          *signature.Signer
	signatureHeader string
	own             []byte // the headers of the endpoint's configuration, as lines
	ownUserAgent    bool
	contentType     string // in place of the format's; empty: the format's
	head            []byte // hopHead of first
	first           *origin

	mu     sync.Mutex
	closed bool
	others []*origin // of redirects, the one that was needed last at the end; most endpoints have none
}

func (e *Endpoint) setDefaults() error {
	if e.timeout <= 0 {
		e.timeout = defaultTimeout
	}
	if e.concurrency <= 0 {
		e.concurrency = defaultConcurrency
	}
	switch e.format {
	case config.FormatStandard, config.FormatRaw, config.FormatCloudEvents, config.FormatCloudEventsBinary:
	case "":
		e.format = config.FormatStandard
	default:
		return fmt.Errorf("unknown format %q", e.format)
	}
	return nil
}

func (e *Endpoint) setHeaders(u *url.URL, headers map[string]string) error {
	own, err := ownHeaders(headers, e.signatureHeader)
	if err != nil {
		return err
	}
	authorized := false
	for name, value := range headers {
		switch strings.ToLower(name) {
		case "user-agent":
			e.ownUserAgent = true
		case lowerContentType:
			e.contentType = value
		case "authorization":
			authorized = true
		}
	}
	if u.User != nil && !authorized {
		own = append(append(append(own, "Authorization: "...), basic(u.User)...), "\r\n"...)
	}
	e.own = own
	return nil
}

// Send makes one attempt: the request, and up to the endpoint's number of redirects. Whatever happens is in the Result;
// its attempt lacks only the Outcome. A done ctx ends the attempt at once.
func (e *Endpoint) Send(ctx context.Context, r *Request) Result {
	x, _ := e.client.exchanges.Get().(*exchange)
	res := Result{Attempt: outbox.Attempt{
		EventID: r.Event.ID, EventType: r.Event.Type, Tenant: r.Event.Tenant, EndpointID: e.id,
		Number: r.Number, Trigger: r.Trigger, URL: e.shownURL, AttemptedAt: r.Now, CommitLSN: r.Event.CommitLSN,
	}}
	if err := x.build(e, r); err != nil {
		res.Attempt.Error, res.Permanent = err.Error(), true
	} else {
		e.perform(ctx, x, &res)
	}
	x.release(&e.client.exchanges)
	return res
}

// perform makes the hops of an attempt and files what came of them.
func (e *Endpoint) perform(ctx context.Context, x *exchange, res *Result) {
	start := time.Now()
	err := e.follow(ctx, x, start.Add(e.timeout))
	if errors.Is(err, errNotHeld) {
		res.Unsent = true
		return
	}
	a := &res.Attempt
	a.Duration = time.Since(start)
	a.StatusCode = x.answer.status
	a.ResponseBody, a.ResponseTruncated = cleanBody(x.capture, x.answer.truncated)
	res.Delivered = a.StatusCode >= http.StatusOK && a.StatusCode < http.StatusMultipleChoices
	res.Reached = x.reached
	if err != nil {
		a.Error = explain(ctx, err, x.phase, e.timeout)
		res.Local = a.StatusCode == 0 && (ctx.Err() != nil || isLocal(err))
	}
	if x.answer.retryAfter != "" {
		res.RetryAfter, _ = ParseRetryAfter(x.answer.retryAfter, time.Now())
	}
}

// follow sends the request and follows redirects as far as the endpoint allows. A 307 or 308 that is not followed is an
// error; any other answer that is not success speaks for itself.
func (e *Endpoint) follow(ctx context.Context, x *exchange, deadline time.Time) error {
	o, at := e.first, e.url
	for hop := 0; ; hop++ {
		if err := o.roundTrip(ctx, x, deadline); err != nil {
			return err
		}
		if x.answer.status != http.StatusTemporaryRedirect && x.answer.status != http.StatusPermanentRedirect {
			return nil
		}
		if hop == e.redirects {
			return failuref("redirect not followed: the endpoint allows %d", e.redirects)
		}
		next, p, err := resolveLocation(at, o.place, x.answer.location)
		if err != nil {
			return err
		}
		if !p.secure && !e.client.network.AllowHTTP {
			return failuref("redirect not followed: to plain http")
		}
		o, at = e.origin(p), next
		x.rebase(e.hopHead(o, at, e.first.place.sameReceiver(p)))
	}
}

// resolveLocation reads a Location header. User information in it is ignored.
func resolveLocation(from *url.URL, origin place, location string) (*url.URL, place, error) {
	if location == "" {
		return nil, place{}, failuref("redirect not followed: without a Location")
	}
	u, err := from.Parse(location)
	if err != nil {
		return nil, place{}, failuref("redirect not followed: the Location is not a valid URL")
	}
	p, err := parsePlace(u)
	if err != nil {
		return nil, place{}, failuref("redirect not followed: %s", strings.Replace(err.Error(), "the URL", "the Location", 1))
	}
	if origin.secure && !p.secure {
		return nil, place{}, failuref("redirect not followed: from https to plain http")
	}
	return u, p, nil
}

// origin gives the connections to p. Of too many the one that was not needed for the longest goes.
func (e *Endpoint) origin(p place) *origin {
	if e.first.place == p {
		return e.first
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, o := range e.others {
		if o.place == p {
			e.others = append(slices.Delete(e.others, i, i+1), o)
			return o
		}
	}
	if len(e.others) == maxOrigins-1 {
		e.others[0].close()
		e.others = slices.Delete(e.others, 0, 1)
	}
	o := newOrigin(e.client, p, e.concurrency)
	if e.closed {
		o.close()
	}
	e.others = append(e.others, o)
	return o
}

// Close closes the endpoint's idle connections. Requests in flight end as they would; later ones still work, each on a
// connection of its own.
func (e *Endpoint) Close() {
	e.client.mu.Lock()
	delete(e.client.endpoints, e)
	e.client.mu.Unlock()
	e.closeOrigins()
}

func (e *Endpoint) closeOrigins() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	e.first.close()
	for _, o := range e.others {
		o.close()
	}
}
