package webhook

import (
	"net/http"
	"strings"
	"time"

	"github.com/tailpost/tailpost/relay/internal/http1"
)

// maxHint bounds what a hint is worth reading: longer ones mean the same, "not soon". The retry
// policy caps them further.
const maxHint = 366 * 24 * time.Hour

// refuse reports how far the receiver's clock is ahead, which it showed between began and ended in
// whole seconds. A Date that is none says nothing.
func (c *Client) refuse(endpoint, date string, began, ended time.Time) {
	at, err := http.ParseTime(date)
	switch {
	case err != nil:
		return
	case at.After(ended):
		c.refused(endpoint, at.Sub(ended))
	case at.Add(time.Second).Before(began):
		c.refused(endpoint, at.Add(time.Second).Sub(began))
	default:
		c.refused(endpoint, 0)
	}
}

// hint reads the answer's Retry-After header as a delay from now. A date there is the receiver's,
// whose Date says what time it has: how far that is from the time of this machine does not matter.
func hint(a *http1.Answer, now time.Time) time.Duration {
	if said, err := http.ParseTime(a.Date); err == nil {
		now = said
	}
	delay, _ := ParseRetryAfter(a.RetryAfter, now)
	return delay
}

// ParseRetryAfter reads the value of a Retry-After header, a number of seconds or an HTTP-date in
// any of its three forms, as a delay from now. A date that has passed returns 0 and true. Anything
// else returns false; no value overflows.
func ParseRetryAfter(header string, now time.Time) (time.Duration, bool) {
	header = strings.TrimSpace(header)
	if header == "" {
		return 0, false
	}
	if strings.Trim(header, "0123456789") == "" {
		return parseSeconds(header), true
	}
	at, err := http.ParseTime(header)
	if err != nil {
		return 0, false
	}
	return min(max(at.Sub(now), 0), maxHint), true
}

func parseSeconds(digits string) time.Duration {
	const limit = int64(maxHint / time.Second)
	var n int64
	for i := range len(digits) {
		n = n*10 + int64(digits[i]-'0')
		if n >= limit {
			return maxHint
		}
	}
	return time.Duration(n) * time.Second
}
