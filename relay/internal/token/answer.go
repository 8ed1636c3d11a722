package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// mostAnswer bounds a token endpoint's answer, in bytes.
const mostAnswer = 1 << 20

// answers has the library get a token endpoint's answer as the library takes it: JSON under that
// name, whatever its Content-Type says, with an expires_in that is a whole number or missing. It
// says what an answer is that holds no token. Its errors are *[Error]s, or those of the connection.
type answers struct {
	*http.Transport //nolint:forbidigo // it dials through the guard, see New
}

// RoundTrip implements http.RoundTripper.
func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := a.Transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer+1))
	_ = resp.Body.Close() // it was read as far as it is wanted
	body = bytes.TrimPrefix(bytes.TrimSpace(body), []byte("\ufeff"))
	if bytes.HasPrefix(body, []byte("{")) { // no form begins like that
		resp.Header.Set("Content-Type", "application/json")
	}
	if err == nil && resp.StatusCode >= http.StatusOK && resp.StatusCode < http.StatusMultipleChoices {
		body, err = tidy(resp.Header.Get("Content-Type"), resp.StatusCode, body)
	}
	if err != nil {
		return nil, err
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp, nil
}

// tidy returns an answer as the library takes it.
func tidy(contentType string, status int, body []byte) ([]byte, error) {
	with := func(what string) error {
		return &Error{text: fmt.Sprintf("the token endpoint answered %d %s", status, what)}
	}
	switch {
	case len(body) == 0:
		return nil, with("with an empty body")
	case len(body) > mostAnswer:
		return nil, with(fmt.Sprintf("with more than %d MiB", mostAnswer>>20))
	}
	out, token, failure, err := fields(contentType, body)
	switch {
	case err != nil:
		return nil, with(err.Error())
	case !token && !failure:
		return nil, with("without an access_token")
	}
	return out, nil
}

// fields returns an answer with an expires_in that is whole or missing, and whether it has an
// access token, and an error. The library takes these types for forms, and everything else for
// JSON. The error completes "answered 200 …".
func fields(contentType string, body []byte) (out []byte, token, failure bool, err error) {
	if kind, _, _ := mime.ParseMediaType(contentType); kind == "application/x-www-form-urlencoded" || kind == "text/plain" {
		return formFields(body)
	}
	var all map[string]json.RawMessage
	if json.Unmarshal(body, &all) != nil || all == nil {
		return nil, false, false, errors.New("with what is no JSON object")
	}
	for name, value := range all {
		var text string
		whole := json.Unmarshal(value, &text) == nil && text != ""
		switch strings.ToLower(name) { // as encoding/json finds them
		case "access_token":
			token = token || whole
		case "error":
			failure = failure || whole
		case "expires_in":
			if text == "" {
				text = string(value)
			}
			delete(all, name)
			if life, is := seconds(text); is {
				all["expires_in"] = json.RawMessage(strconv.Itoa(life))
			}
		}
	}
	out, err = json.Marshal(all)
	return out, token, failure, err
}

// formFields is fields of a form.
func formFields(body []byte) (out []byte, token, failure bool, err error) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, false, false, errors.New("with what is neither JSON nor a form")
	}
	if life, is := seconds(form.Get("expires_in")); is {
		form.Set("expires_in", strconv.Itoa(life))
	} else {
		form.Del("expires_in")
	}
	return []byte(form.Encode()), form.Get("access_token") != "", form.Get("error") != "", nil
}

// seconds reads a number, rounded down; false: text is none.
func seconds(text string) (n int, is bool) {
	text = strings.TrimSpace(text)
	if strings.Trim(text, "0123456789+-.eE") != "" { // strconv reads "inf" too
		return 0, false
	}
	// An error of the range comes with an infinity, which the bounds take in.
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(f, 0) {
		return 0, false
	}
	return int(min(max(math.Floor(f), -1), math.MaxInt32)), true
}
