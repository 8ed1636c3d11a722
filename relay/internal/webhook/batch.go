package webhook

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/tailpost/tailpost/relay/internal/http1"
)

// Batch is one request with several events: an array of what a request for each of them would
// carry, in their order.
type Batch struct {
	ID string // of the request: its webhook-id
	// Requests are the attempts to be made, at least one. Now and Held are those of the first.
	Requests []Request
	// Left is called before the request is made, with how many of the last Requests it does not
	// have: they are too much for one body, or begin with an event that cannot be sent. nil: there
	// is one Request.
	Left func(n int)
}

// nameRoom is what the name of an event that failed may take in an answer, in bytes: a UUID takes
// 39.
const nameRoom = 128

// answerRoom returns how much of an answer is read.
func answerRoom(e *Endpoint) int {
	if e.batch.Partial {
		return http1.MaxBody + nameRoom*e.batch.Events
	}
	return http1.MaxBody
}

// keptOfOthers is how much of the answer each attempt of a batch keeps, in bytes. The first keeps
// what an attempt keeps: the answer is the same for all of them.
const keptOfOthers = 256

// gather appends an array of as many events as there is room for, and returns how many that are, at
// least one. An error means that the first can never be sent.
func gather(dst []byte, e *Endpoint, rs []Request) (body []byte, n int, err error) {
	body = append(dst, '[')
	first := ""
	for i := range rs {
		before := len(body)
		if e.address != nil {
			// A request has one address: an event that goes elsewhere begins the next one.
			to, err := e.addressed(&rs[i])
			switch {
			case i == 0 && err != nil:
				return body, 1, err
			case i == 0:
				first = to
			case err != nil || to != first:
				return append(body, ']'), i, nil //nolint:nilerr // the next request begins with it, and says so
			}
		}
		if i > 0 {
			body = append(body, ',')
		}
		body, err = e.appendChecked(body, &rs[i])
		switch {
		case err != nil && i == 0:
			return body, 1, err
		case err != nil || i > 0 && len(body) >= e.batch.Bytes: // the bracket has no room
			return append(body[:before], ']'), i, nil //nolint:nilerr // that event is the next batch's business
		}
	}
	return append(body, ']'), len(rs), nil
}

// spread makes the result of a request that of each of its events. failed: which of them the answer
// excepts; nil: none.
func spread(rs []Request, shared *Result, failed *verdicts) []Result {
	results := make([]Result, len(rs))
	brief := shared.Attempt
	brief.RequestHeaders, brief.ResponseHeaders = nil, nil
	if len(brief.ResponseBody) > keptOfOthers {
		brief.ResponseBody, brief.ResponseTruncated = trimPartialRune(brief.ResponseBody[:keptOfOthers]), true
	}
	for i := range rs {
		r, res := &rs[i], &results[i]
		*res = *shared
		if i > 0 {
			res.Attempt = brief
		}
		a := &res.Attempt
		a.EventID, a.EventType, a.Tenant = r.Event.ID, r.Event.Type, r.Event.Tenant
		a.Number, a.Trigger, a.CommitLSN = r.Number, r.Trigger, r.Event.CommitLSN
		if why := failed.of(r.Event.ID); why != "" {
			res.Delivered, a.Error = false, why
		}
		res.annotate(r)
	}
	return results
}

// verdicts are the events that an answer excepts from its success.
type verdicts struct {
	all    string // why each of them failed; empty: some did
	failed map[string]bool
}

// of says why an event failed; empty: it did not.
func (v *verdicts) of(id string) string {
	switch {
	case v == nil:
		return ""
	case v.all != "":
		return v.all
	case v.failed[id]:
		return "the answer names it as failed"
	}
	return ""
}

// judge reads which events of a request that was answered with success failed all the same. An
// answer that does not say so in a way that can be relied on takes none of them: what it means is
// not known, and an event that is sent twice is better than one that is lost.
func judge(res *Result, got *http1.Answer, rs []Request) *verdicts {
	unknown := func(why string) *verdicts { return &verdicts{all: "which events failed is not known: " + why} }
	body := bytes.TrimPrefix(got.Body, []byte("\ufeff"))
	switch {
	case got.Status == http.StatusNoContent:
		return nil // it has nothing to say
	case res.Attempt.Error != "":
		return unknown(res.Attempt.Error)
	case got.Truncated:
		return unknown("the answer is too long")
	case bytes.HasPrefix(body, []byte("\x1f\x8b")):
		return unknown("the answer is compressed, which the request asked not to do")
	}
	var answer struct {
		// Null, which is a list without members to some languages, names none.
		Failed json.RawMessage `json:"failed"`
	}
	var ids []string
	if err := json.Unmarshal(body, &answer); err != nil || answer.Failed == nil || json.Unmarshal(answer.Failed, &ids) != nil {
		return unknown(`the answer is not {"failed": [ids]}`)
	}
	v := &verdicts{failed: make(map[string]bool, len(ids))}
	sent := make(map[string]bool, len(rs))
	for i := range rs {
		sent[rs[i].Event.ID] = true
	}
	for _, id := range ids {
		if !sent[id] {
			return unknown("the answer names one that was not sent")
		}
		v.failed[id] = true
	}
	return v
}
