package webhook

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/config/receiver"
	"github.com/tailpost/tailpost/relay/signature"
)

// A request's head is written once, as HTTP/1.1 has it, in two parts: what belongs to the hop
// (request line, Host, User-Agent, the endpoint's own headers), made ready per endpoint, and what
// belongs to the attempt (appendFields), which every hop of the attempt repeats byte for byte.
// HTTP/2 writes the same lines its own way.

// hopHead is the first part for one hop. The endpoint's own headers go only where its URL points.
func (e *Endpoint) hopHead(o *origin, target string, own []byte, withOwn bool) []byte {
	return e.appendHopHead(nil, o, target, own, withOwn)
}

func (e *Endpoint) appendHopHead(b []byte, o *origin, target string, own []byte, withOwn bool) []byte {
	b = append(append(b, e.method...), ' ')
	if o.absolute {
		b = append(append(b, "http://"...), o.place.Authority()...)
	}
	b = append(append(b, target...), " HTTP/1.1\r\nHost: "...)
	b = append(append(b, o.place.Authority()...), "\r\n"...)
	if o.absolute && o.proxyKey != "" {
		b = append(append(append(b, "Proxy-Authorization: "...), o.proxyKey...), "\r\n"...)
	}
	if !e.ownUserAgent || !withOwn {
		b = append(append(append(b, "User-Agent: "...), e.client.userAgent...), "\r\n"...)
	}
	if withOwn {
		b = append(b, own...)
	}
	return b
}

const lowerContentType = "content-type"

// requestURI is the path and query of u, never its fragment. Bytes that would end the request line,
// or that HTTP has no place for, are percent-encoded: url.Parse lets them stand in a query.
func requestURI(u *url.URL) string {
	path := u.EscapedPath()
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	if u.RawQuery != "" || u.ForceQuery {
		path += "?" + u.RawQuery
	}
	out := make([]byte, 0, len(path))
	for i := range len(path) {
		if c := path[i]; c > ' ' && c < 0x7f {
			out = append(out, c)
		} else {
			out = fmt.Appendf(out, "%%%02X", c)
		}
	}
	return string(out)
}

// aim makes the part of the head that follows from the event, and its URL where redirects need it.
// The error is a *config.UnaddressableError.
func (x *exchange) aim(e *Endpoint, r *Request) error {
	// The head is written over it.
	target, err := e.address.AppendTarget(x.target[:0], r.Event)
	if x.target = target; err != nil {
		return err
	}
	aimed := string(target)
	if aimed == "" {
		aimed = e.target
	}
	x.own = append(x.own[:0], e.own...)
	if err := e.address.EachHeader(r.Event, func(name, value string) { x.own = appendLine(x.own, name, value) }); err != nil {
		return err
	}
	if e.url != nil {
		if x.at, err = url.Parse(e.url.Scheme + "://" + e.url.Host + aimed); err != nil {
			return failuref("the URL that the event makes is not valid")
		}
	}
	x.head = e.appendHopHead(x.head[:0], e.first, aimed, x.own, true)
	return nil
}

// appendFields appends the second part, signature included. id is that of the request, which is its
// event's unless it has several.
func (x *exchange) appendFields(dst []byte, e *Endpoint, r *Request, id string, c content) []byte {
	dst = append(append(dst, "Content-Type: "...), or(e.contentType, c.contentType)...)
	if c.packed {
		dst = append(dst, "\r\nContent-Encoding: gzip"...)
	}
	dst = append(dst, "\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(c.body)), 10)
	id = headerID(id)
	dst = append(append(dst, "\r\nwebhook-id: "...), id...)
	dst = append(dst, "\r\nwebhook-timestamp: "...)
	dst = strconv.AppendInt(dst, r.Now.Unix(), 10)
	dst = append(append(append(dst, "\r\n"...), e.scheme.Header()...), ": "...)
	dst = e.signer.Load().Append(dst, id, r.Now, c.body)
	dst = append(dst, "\r\n"...)
	if e.version != "" && (e.batch.On() || config.Versioned(r.Event.Type)) {
		dst = appendLine(dst, "webhook-version", e.version)
	}
	if e.format == config.FormatCloudEventsBinary {
		dst = appendCloudEventsHeaders(dst, e.client.source, r)
	}
	if e.batch.On() {
		return dst // its events have a trace each
	}
	return appendTraces(dst, r)
}

// appendTraces appends the headers of the event's trace.
func appendTraces(dst []byte, r *Request) []byte {
	switch {
	case r.Traceparent != "":
		dst = appendTrace(dst, "traceparent", r.Traceparent)
		dst = appendTrace(dst, "tracestate", r.Tracestate)
	case len(r.Event.Headers) > 0:
		dst = appendTrace(dst, "traceparent", r.Event.Headers["traceparent"])
		dst = appendTrace(dst, "tracestate", r.Event.Headers["tracestate"])
	}
	return dst
}

// headerID is an event's id as the webhook-id header has it, and as it is signed. One that holds
// more than ASCII is percent-encoded: receivers read the bytes of a header as they like, and would
// not find the signature otherwise. The body has the id as it is.
func headerID(id string) string {
	for i := range len(id) {
		if id[i] >= utf8.RuneSelf {
			return string(appendPercent(nil, id))
		}
	}
	return id
}

// appendTrace passes a header of the trace on. One that is not fit for a header is left out: a
// trace is not worth an event.
func appendTrace(dst []byte, name, value string) []byte {
	if value == "" || !receiver.ValidValue(value) {
		return dst
	}
	return appendLine(dst, name, value)
}

// checkEvent says why an event cannot be sent to this endpoint by any attempt.
func (e *Endpoint) checkEvent(r *Request) error {
	switch {
	case r.Event.ID == "":
		return failuref("the event's id is empty, and receivers tell events apart by it")
	case !receiver.ValidValue(r.Event.ID):
		return failuref("the event's id cannot be sent as the webhook-id header: it holds control characters, or blanks at an end")
	case r.Event.Type == "" && (e.format == config.FormatCloudEvents || e.format == config.FormatCloudEventsBinary):
		return failuref("the event's type is empty, and a CloudEvent needs one")
	}
	return nil
}

// ownHeaders checks the headers that an endpoint's configuration adds and writes them as lines,
// sorted.
func ownHeaders(headers map[string]string) ([]byte, error) {
	names := make([]string, 0, len(headers))
	for name := range headers {
		names = append(names, name)
	}
	slices.Sort(names)
	var b []byte
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		if err := receiver.CheckHeader(name, headers[name]); err != nil {
			return nil, fmt.Errorf("header %q: %w", name, err)
		}
		lower := strings.ToLower(name)
		if seen[lower] {
			return nil, fmt.Errorf("header %q: given twice", name)
		}
		seen[lower] = true
		if lower == lowerContentType {
			continue // it describes the body, and goes wherever the body goes
		}
		b = appendLine(b, name, headers[name])
	}
	return b, nil
}

// appendLine appends a header as a line.
func appendLine(dst []byte, name, value string) []byte {
	return append(append(append(append(dst, name...), ": "...), value...), "\r\n"...)
}

// schemeOf maps the configuration's schemes to the signature package's.
func schemeOf(s config.Signature) signature.Scheme {
	if s == "" {
		return signature.Standard
	}
	return signature.Scheme(s)
}

// addressed returns what of the request's head follows from an event.
func (e *Endpoint) addressed(r *Request) (string, error) {
	r, err := e.versioned(r)
	if err != nil {
		return "", err
	}
	head, err := e.address.AppendTarget(nil, r.Event)
	if err != nil {
		return "", err
	}
	err = e.address.EachHeader(r.Event, func(name, value string) { head = appendLine(append(head, '\n'), name, value) })
	return string(head), err
}
