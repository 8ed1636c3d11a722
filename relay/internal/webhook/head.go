package webhook

import (
	"bytes"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/signature"
)

// A request's head is written once, as HTTP/1.1 has it, in two parts: what belongs to the hop (request line, Host,
// User-Agent, the endpoint's own headers), made ready per endpoint, and what belongs to the attempt (appendFields),
// which every hop of the attempt repeats byte for byte. HTTP/2 reads the same lines back.

// hopHead is the first part for one hop. The endpoint's own headers go only where its URL points.
func (e *Endpoint) hopHead(o *origin, u *url.URL, withOwn bool) []byte {
	var b []byte
	b = append(b, "POST "...)
	if o.absolute {
		b = append(append(b, "http://"...), o.place.authority()...)
	}
	b = append(append(b, requestURI(u)...), " HTTP/1.1\r\nHost: "...)
	b = append(append(b, o.place.authority()...), "\r\n"...)
	if o.absolute && o.proxyAuthorization != "" {
		b = append(append(append(b, "Proxy-Authorization: "...), o.proxyAuthorization...), "\r\n"...)
	}
	if !e.ownUserAgent || !withOwn {
		b = append(append(append(b, "User-Agent: "...), e.client.userAgent...), "\r\n"...)
	}
	if withOwn {
		b = append(b, e.own...)
	}
	return b
}

const lowerContentType = "content-type"

// requestURI is the path and query of u, never its fragment. Bytes that would end the request line, or that HTTP has no
// place for, are percent-encoded: url.Parse lets them stand in a query.
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

// appendFields appends the second part, signature included.
func (x *exchange) appendFields(dst []byte, e *Endpoint, r *Request, c content) []byte {
	dst = append(append(dst, "Content-Type: "...), or(e.contentType, c.contentType)...)
	dst = append(dst, "\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(c.body)), 10)
	dst = append(append(dst, "\r\nwebhook-id: "...), r.Event.ID...)
	dst = append(dst, "\r\nwebhook-timestamp: "...)
	dst = strconv.AppendInt(dst, r.Now.Unix(), 10)
	dst = append(append(append(dst, "\r\n"...), e.signatureHeader...), ": "...)
	dst = e.signer.Append(dst, r.Event.ID, r.Now, c.body)
	dst = append(dst, "\r\n"...)
	if e.format == config.FormatCloudEventsBinary {
		dst = appendCloudEventsHeaders(dst, e.client.source, r)
	}
	if len(r.Event.Headers) > 0 {
		dst = appendTrace(dst, r.Event.Headers, "traceparent")
		dst = appendTrace(dst, r.Event.Headers, "tracestate")
	}
	return dst
}

// appendTrace passes one header of the event through. One that is not fit for a header is left out: a trace is not
// worth an event.
func appendTrace(dst []byte, headers map[string]string, name string) []byte {
	value := headers[name]
	if value == "" || !validValue(value) {
		return dst
	}
	return append(append(append(append(dst, name...), ": "...), value...), "\r\n"...)
}

// validValue reports whether s arrives as it is when it is sent as a header's value.
func validValue(s string) bool {
	return !hasControl(s) && strings.Trim(s, " \t") == s
}

// hasControl reports whether s holds what no header's value may: a control character other than the tab.
func hasControl[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return true
		}
	}
	return false
}

func validName[T string | []byte](s T) bool {
	const punctuation = "!#$%&'*+-.^_`|~"
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && c != '-' && strings.IndexByte(punctuation, c) < 0 {
			return false
		}
	}
	return len(s) > 0
}

// checkEvent says why an event cannot be sent to this endpoint by any attempt.
func (e *Endpoint) checkEvent(r *Request) error {
	switch {
	case r.Event.ID == "":
		return failuref("the event's id is empty, and receivers tell events apart by it")
	case !validValue(r.Event.ID):
		return failuref("the event's id cannot be sent as the webhook-id header: it holds control characters, or blanks at an end")
	case r.Event.Type == "" && (e.format == config.FormatCloudEvents || e.format == config.FormatCloudEventsBinary):
		return failuref("the event's type is empty, and a CloudEvent needs one")
	}
	return nil
}

// ownHeaders checks the headers that an endpoint's configuration adds and writes them as lines, sorted.
func ownHeaders(headers map[string]string, signatureHeader string) ([]byte, error) {
	names := make([]string, 0, len(headers))
	for name := range headers {
		names = append(names, name)
	}
	slices.Sort(names)
	var b []byte
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		lower := strings.ToLower(name)
		switch {
		case !validName(name):
			return nil, fmt.Errorf("header %q: not a valid header name", name)
		case seen[lower]:
			return nil, fmt.Errorf("header %q: given twice", name)
		case reserved(lower, signatureHeader):
			return nil, fmt.Errorf("header %q: set by Tailpost itself", name)
		case !validValue(headers[name]):
			return nil, fmt.Errorf("header %q: the value holds control characters, or blanks at an end", name)
		}
		seen[lower] = true
		if lower == lowerContentType {
			continue // it describes the body, and goes wherever the body goes
		}
		b = append(append(append(append(b, name...), ": "...), headers[name]...), "\r\n"...)
	}
	return b, nil
}

// reserved names what frames, routes or proves a request.
func reserved(lower, signatureHeader string) bool {
	switch lower {
	case "host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect",
		"http2-settings", "content-encoding", "traceparent", "tracestate":
		return true
	}
	return strings.HasPrefix(lower, "webhook-") || strings.HasPrefix(lower, "ce-") || strings.HasPrefix(lower, "proxy-") ||
		strings.EqualFold(lower, signatureHeader)
}

// readFields turns header lines back into a header, for HTTP/2.
func readFields(dst http.Header, lines []byte) {
	for len(lines) > 0 {
		line, rest, _ := bytes.Cut(lines, []byte("\r\n"))
		lines = rest
		if name, value, ok := bytes.Cut(line, []byte(": ")); ok {
			key := textproto.CanonicalMIMEHeaderKey(string(name))
			dst[key] = append(dst[key], string(value))
		}
	}
}

// schemeOf maps the configuration's schemes to the signature package's.
func schemeOf(s config.Signature) signature.Scheme {
	if s == "" {
		return signature.Standard
	}
	return signature.Scheme(s)
}
