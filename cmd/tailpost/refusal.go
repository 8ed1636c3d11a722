package main

import (
	"cmp"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// problem is an error of the API, as RFC 9457 has it.
type problem struct {
	Detail string `json:"detail"`
	Errors []struct {
		Detail    string `json:"detail"`
		Pointer   string `json:"pointer"`
		Parameter string `json:"parameter"`
	} `json:"errors"`
}

// refusedError is an answer that is no success.
type refusedError struct {
	status int
	text   string
}

func (e *refusedError) Error() string { return e.text }

// isNotFound reports whether the API says that there is no such thing.
func isNotFound(err error) bool {
	refused, ok := errors.AsType[*refusedError](err)
	return ok && refused.status == http.StatusNotFound
}

// refusal is the error of an answer that is no success, with what the user can try.
func (c *client) refusal(path string, status int, answer []byte) error {
	var p problem
	if json.Unmarshal(answer, &p) != nil || p.Detail == "" {
		return c.stranger(status)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "the API answers %d: %s", status, printable(p.Detail, maxPreview*4))
	for _, e := range p.Errors {
		fmt.Fprintf(&text, "; %s: %s", printable(cmp.Or(e.Parameter, e.Pointer), maxPreview), printable(e.Detail, maxPreview*4))
	}
	err := &refusedError{status: status, text: text.String()}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return hint(err, "$"+keyVariable+" with a key that may do this")
	case http.StatusNotFound:
		if try := whereListed(path); try != "" {
			return hint(err, try)
		}
	}
	return err
}

// stranger is the error of an answer that no relay gave: that of a proxy, or of something else that
// listens there.
func (c *client) stranger(status int) error {
	err := &refusedError{status: status, text: fmt.Sprintf("%s answers %d %s, and not as a relay's API does", c.base.Host, status, http.StatusText(status))}
	switch {
	case status >= http.StatusMultipleChoices && status < http.StatusBadRequest:
		return hint(err, "--api with the URL itself: a redirect is not followed, because the key goes along")
	case status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout:
		return hint(err, "that a relay runs behind the proxy at --api")
	}
	return hint(err, "--api with the URL of a relay's API, and with the path that a proxy has it under")
}

// whereListed says which command lists what a path of the API names; empty: none.
func whereListed(path string) string {
	of := map[string]string{
		"endpoints": "tailpost endpoints", "events": "tailpost events", "deliveries": "tailpost deliveries",
		"replays": "tailpost replay list", "resends": "tailpost resend list",
	}
	_, rest, _ := strings.Cut(path, "/v1/")
	thing, name, _ := strings.Cut(rest, "/")
	if thing == "replays" && name == "" {
		thing = "endpoints" // that the new replay is to
	}
	if of[thing] == "" {
		return ""
	}
	return of[thing] + ", which lists what there is"
}

// unreachable is the error of a request that had no answer.
func (c *client) unreachable(err error) error {
	try := "--api, and that a relay with an api block runs there"
	if _, unknown := errors.AsType[x509.UnknownAuthorityError](err); unknown {
		return hint(fmt.Errorf("ask the API at %s: its certificate is of an authority that this machine does not know", c.base.Host),
			"SSL_CERT_FILE with the file of that authority's certificate")
	}
	return hint(fmt.Errorf("ask the API at %s: %w", c.base.Host, reason(err)), try)
}

// reason is why a request failed, without its URL, whose query may name what is nobody's business.
func reason(err error) error {
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err
	}
	if failed, ok := errors.AsType[*net.OpError](err); ok {
		return failed.Err
	}
	return err
}
