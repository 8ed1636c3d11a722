package receiver

import (
	"errors"
	"strings"
)

// MaxHeaderValue bounds the value of one header.
const MaxHeaderValue = 4096

// CheckHeader returns an error, which says what to do, if a header that an operator or a tenant
// wrote cannot go along with a request.
func CheckHeader(name, value string) error {
	switch {
	case !ValidName(name):
		return errors.New("not a valid header name: write letters, digits and hyphens")
	case Reserved(name):
		return errors.New("set by Tailpost itself, or by HTTP: leave it out")
	case !ValidValue(value):
		return errors.New("the value holds control characters, or blanks at an end: write one line without them")
	case len(value) > MaxHeaderValue:
		return errors.New("the value is longer than 4096 bytes")
	}
	return nil
}

// ValidName reports whether s is a token, as HTTP wants the name of a header to be.
func ValidName[T string | []byte](s T) bool {
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

// ValidValue reports whether s arrives as it is when it is sent as a header's value.
func ValidValue(s string) bool {
	return !hasControl(s) && strings.Trim(s, " \t") == s
}

// hasControl reports whether s holds what no header's value may: a control character other than the
// tab.
func hasControl(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return true
		}
	}
	return false
}

// Reserved reports whether an endpoint may not set a header, in any case of its letters: it frames,
// routes, traces or authenticates a request.
func Reserved(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "host", "content-length", "content-encoding", "transfer-encoding", "connection", "keep-alive", "te", "trailer",
		"upgrade", "expect", "http2-settings", "traceparent", "tracestate",
		"stripe-signature", "x-hub-signature", "x-hub-signature-256":
		return true
	}
	for _, prefix := range [...]string{"webhook-", "ce-", "proxy-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
