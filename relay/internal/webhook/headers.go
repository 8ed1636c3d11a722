package webhook

import (
	"strings"
	"unicode/utf8"

	"github.com/tailpost/tailpost/relay/internal/http1"
)

// redactedValue stands for the value of a header that nobody is to read.
const redactedValue = "[redacted]"

// The bounds of the headers that an attempt keeps.
const (
	maxKeptFields = http1.MaxFields
	maxKeptValue  = 512 // bytes of a value
	maxKeptBytes  = 4096
)

// sentHeaders are the headers of the request as it went out on its last hop. Values that are a
// secret, or prove one, are redacted: the endpoint's own, as everywhere, and the signature. A
// request line is not among them: its query may be a secret too.
func (x *exchange) sentHeaders(e *Endpoint) map[string]string {
	_, lines, _ := strings.Cut(string(x.head[:x.headEnd]), "\r\n")
	open := map[string]bool{
		"host": true, "user-agent": !e.ownUserAgent, lowerContentType: true, "content-encoding": true, "content-length": true, "webhook-id": true, "webhook-timestamp": true,
		"webhook-version": true, "traceparent": true, "tracestate": true, "accept-encoding": e.plainAnswers,
	}
	kept := keptHeaders{all: make(map[string]string, len(open))}
	for line := range strings.SplitSeq(lines, "\r\n") {
		name, value, ok := strings.Cut(line, ": ")
		name = strings.ToLower(name)
		if !ok || name == "proxy-authorization" { // that is between the relay and its proxy
			continue
		}
		if !open[name] && !strings.HasPrefix(name, "ce-") {
			value = redactedValue
		}
		kept.add(name, value)
	}
	return kept.all
}

// answeredHeaders are the headers of the last answer, as far as they fit. Cookies are redacted.
func (x *exchange) answeredHeaders() map[string]string {
	if len(x.Answer.Fields) == 0 {
		return nil
	}
	kept := keptHeaders{all: make(map[string]string, len(x.Answer.Fields))}
	for _, f := range x.Answer.Fields {
		name, value := strings.ToLower(f.Name), f.Value
		if strings.Contains(name, "cookie") || strings.Contains(name, "auth") || strings.Contains(name, "token") || strings.Contains(name, "secret") {
			value = redactedValue
		}
		kept.add(name, value)
	}
	return kept.all
}

// keptFields is how many header lines of an answer are kept now.
func (o *origin) keptFields() int {
	if o.keepFields || o.client.keepHeaders.Load() {
		return maxKeptFields
	}
	return 0
}

// keptHeaders are headers by their names in lower case, within the bounds.
type keptHeaders struct {
	all  map[string]string
	size int
}

func (k *keptHeaders) add(name, value string) {
	before, again := k.all[name]
	switch {
	case len(value) > maxKeptValue:
		value = cutText(value, maxKeptValue) + "…"
	case again && before == redactedValue:
		return
	}
	if again {
		value = before + ", " + value
	}
	if !again && len(k.all) == maxKeptFields || k.size+len(name)+len(value) > maxKeptBytes {
		return
	}
	k.size += len(name) + len(value)
	k.all[name] = value
}

// cutText returns at most n bytes of s, without a part of a character at the end.
func cutText(s string, n int) string {
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
