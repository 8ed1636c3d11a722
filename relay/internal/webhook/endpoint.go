package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/config/receiver"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/egress"
	"github.com/tailpost/tailpost/relay/internal/token"
	"github.com/tailpost/tailpost/relay/signature"
)

// maxOrigins bounds how many receivers an endpoint's redirects may keep connections to.
const maxOrigins = 4

// Endpoint sends requests to one endpoint. It is safe for concurrent use.
type Endpoint struct {
	*manner

	client       *Client
	id           string
	url          *url.URL      // nil: redirects are not followed, and nothing else needs it
	shownURL     string        // for Attempt.URL: without what may be secret in it
	probe        *probe        // of verify cloudevents
	tokens       *token.Source // of its access tokens; nil: it needs none
	tls          *tls.Config   // of connections to first
	signer       atomic.Pointer[signature.Signer]
	own          []byte // the headers of the endpoint's configuration, as lines
	ownUserAgent bool
	plainAnswers bool            // requests ask for answers that are not compressed
	keepFields   bool            // the attempts have the headers of answers
	contentType  string          // in place of the format's; empty: the format's
	head         []byte          // hopHead of first
	target       string          // requestURI of the URL
	address      *config.Address // what of it follows from the event; nil: nothing
	first        *origin

	mu     sync.Mutex
	closed bool
	others []*origin // of redirects, the one that was needed last at the end; most endpoints have none
}

// SetSecrets has later requests signed with other secrets. Connections stay as they are.
func (e *Endpoint) SetSecrets(secrets []config.Secret) error {
	text := make([]string, len(secrets))
	for i, s := range secrets {
		text[i] = s.Reveal()
	}
	signer, err := signature.NewSignerFor(e.scheme, text...)
	if err != nil {
		return err
	}
	e.signer.Store(signer)
	if e.probe != nil {
		e.probe.signer.Store(signer)
	}
	return nil
}

// Signing returns those of the live secrets, the newest first, that sign: all of them, or the
// oldest where the scheme has room for one signature. Receivers know that one until the grace of a
// rotation ends, and the newest only once they have been told.
func Signing(s config.Signature, live []config.Secret) []config.Secret {
	if schemeOf(s).Single() && len(live) > 1 {
		return live[len(live)-1:]
	}
	return live
}

func (e *Endpoint) setHeaders(address *config.Address, ep *config.Endpoint) error {
	own, err := ownHeaders(address.Headers)
	if err != nil {
		return err
	}
	authorized, asks, all := false, false, maps.Clone(address.Headers)
	for _, name := range address.HeaderNames() {
		if all[name] = ""; receiver.CheckHeader(name, "") != nil {
			return fmt.Errorf("header %q: %w", name, receiver.CheckHeader(name, ""))
		}
	}
	for name, value := range all {
		switch strings.ToLower(name) {
		case "user-agent":
			e.ownUserAgent = true
		case lowerContentType:
			e.contentType = value
		case "authorization":
			authorized = true
		case "accept-encoding":
			asks = true
		}
	}
	switch auth := &ep.Auth; auth.Kind {
	case config.AuthBasic:
		own = appendLine(own, "Authorization", egress.Basic(url.UserPassword(auth.User, auth.Secret.Reveal())))
	case config.AuthBearer:
		own = appendLine(own, "Authorization", "Bearer "+auth.Secret.Reveal())
	case config.AuthNone, config.AuthOAuth2:
	}
	if u := address.URL; u.User != nil && !authorized {
		own = appendLine(own, "Authorization", egress.Basic(u.User))
	}
	if e.plainAnswers = !asks && (ep.Batch.Partial || ep.Verify == config.VerifyEcho); e.plainAnswers {
		// Without it a server may compress what it answers, and here the answer is read.
		own = appendLine(own, "Accept-Encoding", "identity")
	}
	e.own = own
	return nil
}

// Send makes one attempt: the request, and up to the endpoint's number of redirects. Whatever
// happens is in the Result; its attempt lacks only the Outcome. A done ctx ends the attempt at
// once.
func (e *Endpoint) Send(ctx context.Context, r *Request) Result {
	x, _ := e.client.exchanges.Get().(*exchange)
	res := Result{Attempt: outbox.Attempt{
		EventID: r.Event.ID, EventType: r.Event.Type, Tenant: r.Event.Tenant, EndpointID: e.id,
		Number: r.Number, Trigger: r.Trigger, URL: e.shownURL, AttemptedAt: r.Now, CommitLSN: r.Event.CommitLSN,
	}}
	start := time.Now()
	if err := e.authorize(ctx, x, start, &res); err != nil {
		res.Attempt.Error, res.Attempt.Duration = err.Error(), time.Since(start)
	} else if work, err := timed(func() error { return e.prepare(x, r) }); err != nil {
		res.never(err)
	} else {
		e.perform(ctx, x, &res, start.Add(work))
		res.annotate(r)
	}
	x.release(&e.client.exchanges)
	return res
}

// timed says how long work of the relay's own took. An attempt's timeout and duration leave it out:
// a large event on a busy machine is not the receiver's slowness.
func timed(work func() error) (time.Duration, error) {
	start := time.Now()
	err := work()
	return time.Since(start), err
}

// prepare builds the request of the event as the endpoint's version has it. An error means that
// this event can never be sent.
func (e *Endpoint) prepare(x *exchange, r *Request) error {
	if err := e.validate(r); err != nil {
		return err
	}
	r, err := e.versioned(r)
	if err != nil {
		return err
	}
	return x.build(e, r)
}

// validate notes what is wrong with the payload as the application wrote it. An error means that it
// is not to be sent for that.
func (e *Endpoint) validate(r *Request) error {
	r.note = ""
	if e.client.check == nil {
		return nil
	}
	if err := e.client.check(r.Event); err != nil {
		r.note = "the payload is not what its schema says: " + err.Error()
	}
	if r.note != "" && e.client.strict {
		return &failure{r.note}
	}
	return nil
}

// versioned returns a request with the event as the endpoint's version has it.
func (e *Endpoint) versioned(r *Request) (*Request, error) {
	ev, err := e.steps.Event(r.Event)
	switch {
	case err != nil:
		return r, failuref("%v", err)
	case ev == r.Event:
		return r, nil
	}
	older := *r
	older.Event = ev
	return &older, nil
}

// SendBatch makes one attempt for several events and returns a Result for each, without those that
// were left. An event that cannot be sent is alone in its batch, without a request.
func (e *Endpoint) SendBatch(ctx context.Context, b *Batch) []Result {
	x, _ := e.client.exchanges.Get().(*exchange)
	defer x.release(&e.client.exchanges)
	first := &b.Requests[0]
	res := Result{Attempt: outbox.Attempt{EndpointID: e.id, RequestID: b.ID, URL: e.shownURL, AttemptedAt: first.Now}}
	var n int
	var err error
	x.body, n, err = gather(x.body[:0], e, b.Requests)
	if n < len(b.Requests) {
		b.Left(len(b.Requests) - n)
	}
	if err != nil {
		res.never(err)
		return spread(b.Requests[:n], &res, nil)
	}
	c := content{body: x.body, contentType: e.jsonType()}
	if e.format == config.FormatCloudEvents {
		c.contentType = typeCloudEventsBatch
	}
	start := time.Now()
	if err := e.authorize(ctx, x, start, &res); err != nil {
		res.Attempt.Error, res.Attempt.Duration = err.Error(), time.Since(start)
	} else if work, err := timed(func() error { return e.wrapBatch(x, first, b.ID, c) }); err != nil {
		res.never(err)
	} else {
		e.perform(ctx, x, &res, start.Add(work))
	}
	var failed *verdicts
	if e.batch.Partial && res.Delivered {
		failed = judge(&res, &x.Answer, b.Requests[:n])
	}
	return spread(b.Requests[:n], &res, failed)
}

// Verify asks the receiver whether it wants the events that are sent to it. The result is that of
// the request; Delivered says that it does.
func (e *Endpoint) Verify(ctx context.Context, held func() bool) Result { return verify(ctx, e, held) }

// wrapBatch puts the head before the body of a batch, whose address is that of its first event.
func (e *Endpoint) wrapBatch(x *exchange, first *Request, id string, c content) error {
	if e.address == nil {
		return x.wrap(e, first, id, c)
	}
	r, err := e.versioned(first)
	if err != nil {
		return err
	}
	return x.wrap(e, r, id, c)
}

// never notes why an event can never be sent.
func (res *Result) never(err error) {
	res.Attempt.Error, res.Permanent = err.Error(), true
	_, res.Unaddressable = errors.AsType[*config.UnaddressableError](err)
}

// authorize gets the access token of an attempt, where the endpoint has an authorization server. An
// error means that there is none.
func (e *Endpoint) authorize(ctx context.Context, x *exchange, start time.Time, res *Result) error {
	if e.tokens == nil {
		return nil
	}
	limited, cancel := context.WithDeadline(ctx, start.Add(e.timeout))
	defer cancel()
	var err error
	x.token, err = e.tokens.Token(limited)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil: // the relay stops
		res.Local = true
	case limited.Err() != nil:
		res.Barred, err = true, failuref("OAuth 2: no token after %s", shortDuration(e.timeout))
	case egress.IsLocal(err):
		res.Local = true
	default:
		res.Barred = true
	}
	return err
}

// perform makes the hops of an attempt and files what came of them.
func (e *Endpoint) perform(ctx context.Context, x *exchange, res *Result, start time.Time) {
	x.KeepFields = e.client.keepHeaders.Load() || e.keepFields
	x.MostBody = answerRoom(e)
	err := e.follow(ctx, x, start.Add(e.timeout))
	if errors.Is(err, errNotHeld) {
		res.Unsent = true
		return
	}
	a := &res.Attempt
	a.Duration = time.Since(start)
	a.StatusCode = x.Answer.Status
	a.ResponseBody, a.ResponseTruncated = cleanBody(x.Answer.Body, x.Answer.Truncated)
	res.Delivered = e.answers.Means(a.StatusCode) == config.MeansSuccess && (err == nil || !e.complete)
	res.Word = x.Answer.Word
	res.Reached, res.Again = x.reached, x.again
	switch {
	case !x.shown:
	case res.Delivered:
		e.tokens.Taken(x.token)
	case a.StatusCode == http.StatusUnauthorized, a.StatusCode == http.StatusForbidden:
		// A token that was good until now is at an end, whatever it says of itself; a new one that
		// is refused is a failure like others.
		res.Again = e.tokens.Refused(x.token, a.StatusCode == http.StatusUnauthorized)
	}
	if x.KeepFields && x.reached {
		a.RequestHeaders, a.ResponseHeaders = x.sentHeaders(e), x.answeredHeaders()
	}
	if err != nil {
		a.Error = explain(ctx, err, e.timeout)
		res.Local = a.StatusCode == 0 && (ctx.Err() != nil || egress.IsLocal(err))
		res.Barred = a.StatusCode == 0 && egress.IsBarred(err)
	}
	if e.client.refused != nil && a.StatusCode >= http.StatusBadRequest && x.Answer.Date != "" {
		e.client.refuse(e.id, x.Answer.Date, start, start.Add(a.Duration))
	}
	res.RetryAfter = hint(&x.Answer, time.Now())
}

// follow sends the request and follows redirects as far as the endpoint allows. A 307 or 308 that
// is not followed is an error; any other answer that is not success speaks for itself.
func (e *Endpoint) follow(ctx context.Context, x *exchange, deadline time.Time) error {
	o, at, own := e.first, e.url, e.own
	if x.at != nil {
		at = x.at
	}
	if e.address != nil {
		own = x.own
	}
	for hop, status := 0, 0; ; hop++ {
		if err := o.roundTrip(ctx, x, deadline); err != nil {
			return redirected(status, err)
		}
		status = x.Answer.Status
		if status != http.StatusTemporaryRedirect && status != http.StatusPermanentRedirect {
			return nil
		}
		if hop == e.redirects {
			return failuref("redirect not followed: the endpoint allows %d", e.redirects)
		}
		next, p, err := resolveLocation(at, o.place, x.Answer.Location)
		if err != nil {
			return err
		}
		if !p.Secure && !e.client.network.AllowHTTP {
			return failuref("redirect not followed: to plain http")
		}
		o, at = e.origin(p), next
		same := e.first.place.SameReceiver(p)
		x.rebase(x.appendToken(e.hopHead(o, requestURI(at), own, same), same))
	}
}

// redirected returns the error of a request that the answer before it, with status, led to; 0: none
// did. Where a receiver leads is not what the operator wrote: to allow that is no remedy.
func redirected(status int, err error) error {
	denied, is := errors.AsType[*receiver.DenialError](err)
	if status == 0 || !is {
		return err
	}
	return failuref("redirect %d not followed: %s", status, denied.Bare())
}

// resolveLocation reads a Location header. User information in it is ignored.
func resolveLocation(from *url.URL, origin receiver.Place, location string) (*url.URL, receiver.Place, error) {
	if location == "" {
		return nil, receiver.Place{}, failuref("redirect not followed: without a Location")
	}
	u, err := from.Parse(location)
	if err != nil {
		return nil, receiver.Place{}, failuref("redirect not followed: the Location is not a valid URL")
	}
	p, err := receiver.ParsePlace(u)
	if err != nil {
		return nil, receiver.Place{}, failuref("redirect not followed: %s", strings.Replace(err.Error(), "the URL", "the Location", 1))
	}
	if origin.Secure && !p.Secure {
		return nil, receiver.Place{}, failuref("redirect not followed: from https to plain http")
	}
	return u, p, nil
}

// origin returns the connections to p. Of too many the one that was not needed for the longest
// goes.
func (e *Endpoint) origin(p receiver.Place) *origin {
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
	o := e.newOrigin(p, e.client.tls)
	if e.closed {
		o.close()
	}
	e.others = append(e.others, o)
	return o
}

// Close closes the endpoint's idle connections. Requests in flight end as they would; later ones
// still work, each on a connection of its own.
func (e *Endpoint) Close() {
	e.client.mu.Lock()
	delete(e.client.endpoints, e)
	e.client.mu.Unlock()
	if e.tokens != nil {
		e.tokens.Close()
	}
	e.closeOrigins()
}

// dropIdle closes the endpoint's connections that have nothing to do.
func (e *Endpoint) dropIdle() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.probe != nil {
		e.probe.dropIdle()
	}
	if e.tokens != nil {
		e.tokens.Close()
	}
	e.first.dropIdle()
	for _, o := range e.others {
		o.dropIdle()
	}
}

func (e *Endpoint) closeOrigins() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	if e.probe != nil {
		e.probe.closeOrigins()
	}
	e.first.close()
	for _, o := range e.others {
		o.close()
	}
}
