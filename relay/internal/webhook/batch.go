package webhook

import (
	"bytes"
	"encoding/json"
	"net/http"
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
func judge(res *Result, body []byte, rs []Request) *verdicts {
	a := &res.Attempt
	switch {
	case a.StatusCode == http.StatusNoContent:
		return nil // it has nothing to say
	case a.Error != "":
		return &verdicts{all: "which events failed is not known: " + a.Error}
	case a.ResponseTruncated:
		return &verdicts{all: `which events failed is not known: the answer is longer than 16 KiB`}
	}
	var answer struct {
		Failed *[]string `json:"failed"`
	}
	if err := json.Unmarshal(bytes.TrimPrefix(body, []byte("\ufeff")), &answer); err != nil || answer.Failed == nil {
		return &verdicts{all: `which events failed is not known: the answer is not {"failed": [ids]}`}
	}
	v := &verdicts{failed: make(map[string]bool, len(*answer.Failed))}
	sent := make(map[string]bool, len(rs))
	for i := range rs {
		sent[rs[i].Event.ID] = true
	}
	for _, id := range *answer.Failed {
		if !sent[id] {
			return &verdicts{all: "which events failed is not known: the answer names one that was not sent"}
		}
		v.failed[id] = true
	}
	return v
}
