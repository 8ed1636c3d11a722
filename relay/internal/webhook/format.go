package webhook

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox/payload"
	"github.com/tailpost/tailpost/relay/signature"
)

const (
	typeJSON        = "application/json"
	typeCloudEvents = "application/cloudevents+json; charset=utf-8"
	// typeCloudEventsBatch is that of an array of them.
	typeCloudEventsBatch = "application/cloudevents-batch+json; charset=utf-8"
	typeBinary           = "application/octet-stream"
	// typeStripe is the type that Stripe sends: readers that look at the type alone (servlets)
	// would take the body for Latin-1 otherwise.
	typeStripe = "application/json; charset=utf-8"

	jsonNull = "null"
)

// content is a request's body with what must be said about it.
type content struct {
	body        []byte // aliases the payload, or the exchange's buffer
	contentType string
	packed      bool // the body is compressed with gzip
}

// format builds the body. An error means that this event can never be sent in this format.
func (x *exchange) format(e *Endpoint, r *Request) (content, error) {
	if e.format == config.FormatRaw || e.format == config.FormatCloudEventsBinary {
		return x.formatBare(e, r)
	}
	if e.format == config.FormatSlack || e.format == config.FormatTeams {
		body, err := people(e.format, r.Event)
		return content{body: body, contentType: e.jsonType()}, err
	}
	if e.format == config.FormatForm {
		c, err := formOf(x.body[:0], r)
		x.body = c.body
		return c, err
	}
	contentType := e.jsonType()
	if e.format == config.FormatCloudEvents {
		contentType = typeCloudEvents
	}
	var err error
	x.body, err = e.appendWhole(x.body[:0], r)
	return content{body: x.body, contentType: contentType}, err
}

// appendWhole appends an event in its envelope.
func (e *Endpoint) appendWhole(dst []byte, r *Request) ([]byte, error) {
	began := len(dst)
	if e.format == config.FormatCloudEvents {
		dst = appendCloudEvent(dst, e.client.source, r)
	} else {
		dst = appendEnvelope(dst, r)
	}
	if r.Body != nil {
		var err error
		if dst, err = r.Body.Append(dst, r.Event); err != nil {
			return dst, failuref("%v", err)
		}
		if !utf8.Valid(dst[began:]) {
			return dst, errNotUTF8
		}
	} else {
		data, err := dataOf(r)
		if err != nil {
			return dst, err
		}
		dst = append(dst, data...)
	}
	return append(dst, '}'), nil
}

// appendChecked appends an event of a batch, as the endpoint's version has it.
func (e *Endpoint) appendChecked(dst []byte, r *Request) ([]byte, error) {
	if err := e.checkEvent(r); err != nil {
		return dst, err
	}
	if err := e.validate(r); err != nil {
		return dst, err
	}
	r, err := e.versioned(r)
	if err != nil {
		return dst, err
	}
	return e.appendWhole(dst, r)
}

// formatBare is for the formats whose body is the data alone. Raw and binary CloudEvents carry any
// payload.
func (x *exchange) formatBare(e *Endpoint, r *Request) (content, error) {
	switch {
	case r.Body != nil:
		var err error
		if x.body, err = r.Body.Append(x.body[:0], r.Event); err != nil {
			return content{}, failuref("%v", err)
		}
		return content{body: x.body, contentType: e.jsonType()}, nil
	case r.Event.Payload == nil:
		x.body = append(x.body[:0], jsonNull...)
		return content{body: x.body, contentType: e.jsonType()}, nil
	case payload.Valid(r.Event.Payload) && utf8.Valid(r.Event.Payload):
		return content{body: r.Event.Payload, contentType: e.jsonType()}, nil
	}
	return content{body: r.Event.Payload, contentType: typeBinary}, nil
}

// dataOf returns the payload's exact bytes, or null for a payload that is SQL NULL.
func dataOf(r *Request) ([]byte, error) {
	if r.Event.Payload == nil {
		return []byte(jsonNull), nil
	}
	if !payload.Valid(r.Event.Payload) {
		return nil, failuref("the payload is not valid JSON, which this endpoint's format needs; format \"raw\" sends any bytes")
	}
	if !utf8.Valid(r.Event.Payload) {
		return nil, errNotUTF8
	}
	return r.Event.Payload, nil
}

// errNotUTF8 is for bytes that JSON has no place for. Receivers replace them as they read the body
// as text, and never find the signature of what was sent.
var errNotUTF8 = &failure{"the payload is not valid UTF-8, which JSON must be; format \"raw\" sends any bytes"}

// jsonType is the content type of a JSON body.
func (e *Endpoint) jsonType() string {
	if e.scheme == signature.Stripe {
		return typeStripe
	}
	return typeJSON
}

// appendTime appends when the event happened, between before and after: its own time, or that of
// the attempt for a table without one. A time that RFC 3339 has no form for, which Postgres can
// hold, is left out.
func appendTime(dst []byte, before, after string, r *Request) []byte {
	t := r.Event.CreatedAt
	if t.IsZero() {
		t = r.Now
	}
	const lastYear = 9999
	if t = t.UTC(); t.Year() < 0 || t.Year() > lastYear {
		return dst
	}
	return append(t.AppendFormat(append(dst, before...), time.RFC3339Nano), after...)
}

// appendEnvelope appends a standard envelope up to its data.
func appendEnvelope(dst []byte, r *Request) []byte {
	dst = payload.AppendString(append(dst, `{"id":`...), r.Event.ID)
	dst = payload.AppendString(append(dst, `,"type":`...), r.Event.Type)
	dst = appendTime(dst, `,"timestamp":"`, `"`, r)
	return append(dst, `,"data":`...)
}

// appendCloudEvent appends a structured CloudEvent up to its data. A key becomes the partitionkey
// extension.
func appendCloudEvent(dst []byte, source string, r *Request) []byte {
	dst = payload.AppendString(append(dst, `{"specversion":"1.0","id":`...), r.Event.ID)
	dst = payload.AppendString(append(dst, `,"source":`...), source)
	dst = payload.AppendString(append(dst, `,"type":`...), r.Event.Type)
	dst = appendTime(dst, `,"time":"`, `"`, r)
	if r.Event.Key != "" {
		dst = payload.AppendString(append(dst, `,"partitionkey":`...), r.Event.Key)
	}
	return append(dst, `,"datacontenttype":"application/json","data":`...)
}

// appendCloudEventsHeaders appends the attributes of a binary CloudEvent as header lines.
func appendCloudEventsHeaders(dst []byte, source string, r *Request) []byte {
	dst = append(dst, "ce-specversion: 1.0\r\nce-id: "...)
	dst = append(appendPercent(dst, r.Event.ID), "\r\nce-source: "...)
	dst = append(appendPercent(dst, source), "\r\nce-type: "...)
	dst = append(appendPercent(dst, r.Event.Type), "\r\n"...)
	dst = appendTime(dst, "ce-time: ", "\r\n", r)
	if r.Event.Key != "" {
		dst = append(appendPercent(append(dst, "ce-partitionkey: "...), r.Event.Key), "\r\n"...)
	}
	return dst
}

// appendPercent encodes an attribute as the HTTP binding of CloudEvents 1.0 wants it (section
// 3.1.3.2): printable ASCII but the space, the double quote and the percent sign stays, every other
// byte of its UTF-8 is percent-encoded.
func appendPercent(dst []byte, s string) []byte {
	const digits = "0123456789ABCDEF"
	s = strings.ToValidUTF8(s, "\uFFFD")
	for i := range len(s) {
		c := s[i]
		if c > ' ' && c < 0x7f && c != '"' && c != '%' {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', digits[c>>4], digits[c&0xf])
		}
	}
	return dst
}
