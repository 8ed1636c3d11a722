package webhook

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
)

// VerificationType is the type of the event that asks a receiver whether it wants events.
const VerificationType = "webhook.verification"

// The headers of CloudEvents' webhook specification, version 1.0.2.
const (
	requestOrigin = "WebHook-Request-Origin"
	requestRate   = "WebHook-Request-Rate"
	allowedOrigin = "webhook-allowed-origin"
	allowedRate   = "webhook-allowed-rate"
)

// probe asks a receiver as CloudEvents' webhook specification says.
type probe struct {
	*Endpoint

	origin string
	rate   int // requests a minute at most; 0: no limit
}

// prepareVerification makes ready what the Verify of an endpoint needs.
func prepareVerification(e *Endpoint, u *url.URL, ep config.Endpoint) error {
	if ep.Verify != config.VerifyCloudEvents {
		return nil
	}
	p := &probe{origin: e.client.source, rate: int(math.Ceil(ep.Rate * time.Minute.Seconds()))}
	ep.Verify, ep.Method, ep.Format, ep.Gzip, ep.Retry = "", http.MethodOptions, config.FormatRaw, false, config.Retry{}
	var err error
	if p.Endpoint, err = e.client.endpoint(ep); err != nil {
		return err
	}
	p.own = appendLine(p.own, requestOrigin, p.origin)
	if p.rate > 0 {
		p.own = appendLine(p.own, requestRate, strconv.Itoa(p.rate))
	}
	p.head = p.hopHead(p.first, requestURI(u), p.own, true)
	p.keepFields, p.first.keepFields = true, true
	e.probe = p
	return nil
}

// verify is Endpoint.Verify.
func verify(ctx context.Context, e *Endpoint, held func() bool) Result {
	challenge := rand.Text()
	r := &Request{
		Event:  &outbox.Event{ID: "verify_" + rand.Text(), Type: VerificationType, CreatedAt: time.Now().UTC()},
		Number: 1, Trigger: outbox.TriggerTest, Now: time.Now().UTC(), Held: held,
	}
	if e.verify == config.VerifyCloudEvents {
		r.Event.Payload = json.RawMessage{}
		res := e.probe.Send(ctx, r)
		if res.Delivered {
			refuse(&res, e.probe.problem(res.Attempt.ResponseHeaders))
		}
		if !e.client.keepHeaders.Load() {
			res.Attempt.RequestHeaders, res.Attempt.ResponseHeaders = nil, nil
		}
		return res
	}
	r.Event.Payload = json.RawMessage(`{"challenge":"` + challenge + `"}`)
	res := e.Send(ctx, r)
	switch body := res.Attempt.ResponseBody; {
	case !res.Delivered || echoes(body, challenge):
	case bytes.HasPrefix(body, []byte("\x1f\ufffd")): // gzip, as far as it is text
		refuse(&res, "the answer is compressed, which the request asked not to do")
	default:
		refuse(&res, `the answer does not hold the challenge: answer with its text, or with {"challenge": "…"}`)
	}
	return res
}

// refuse has a result be a failure for a reason; empty: there is none.
func refuse(res *Result, problem string) {
	if problem != "" {
		res.Delivered, res.Attempt.Error = false, problem
	}
}

// echoes reports whether a body is the challenge, or a JSON object that has it.
func echoes(body []byte, challenge string) bool {
	body = bytes.TrimPrefix(body, []byte("\ufeff")) // some frameworks begin every text with it
	text := strings.TrimSpace(string(body))
	if text == challenge || text == `"`+challenge+`"` {
		return true
	}
	var answer struct {
		Challenge string `json:"challenge"`
	}
	return json.Unmarshal(body, &answer) == nil && answer.Challenge == challenge
}

// problem says why an answer does not allow the events to be sent; empty: it does.
func (p *probe) problem(headers map[string]string) string {
	switch origin := headers[allowedOrigin]; {
	case origin == "":
		return "the answer has no WebHook-Allowed-Origin"
	case origin != "*" && !strings.EqualFold(origin, p.origin):
		return "the WebHook-Allowed-Origin of the answer is not our " + requestOrigin
	}
	switch text := headers[allowedRate]; text {
	case "*":
		return ""
	case "":
		if p.rate > 0 {
			return "the answer has no WebHook-Allowed-Rate, and the request asked for one"
		}
		return ""
	default:
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return "the WebHook-Allowed-Rate of the answer is no number of requests a minute"
		}
		if p.rate == 0 || p.rate > n {
			return fmt.Sprintf("the receiver allows %d requests a minute: set the rate of the endpoint to %d/m or less", n, n)
		}
		return ""
	}
}
