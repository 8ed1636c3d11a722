package webhook

import (
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/signature"
)

// manner is how an endpoint is sent to, without where and with which secrets: many endpoints have
// the same. It never changes.
type manner struct {
	timeout     time.Duration
	format      config.Format
	method      string
	gzip        bool         // bodies are compressed
	http        string       // the version of the protocol that it insists on; empty: none
	version     string       // of the events it gets; empty: they have none
	steps       config.Steps // down to that version
	batch       config.Batch
	answers     config.Retry  // which statuses mean what
	complete    bool          // only a whole answer means success
	verify      config.Verify // how its receiver shows that it wants events; empty: it need not
	redirects   int
	concurrency int
	scheme      signature.Scheme
}

// mannerOf returns the manner of an endpoint: that of the one which was made before it, if that is
// the same.
func (c *Client) mannerOf(ep *config.Endpoint) (*manner, error) {
	m := &manner{
		timeout: ep.Timeout, format: ep.Format, method: or(ep.Method, http.MethodPost), gzip: ep.Gzip, http: ep.HTTP,
		version: ep.Version, steps: ep.Steps(), batch: ep.Batch, answers: ep.Retry, complete: ep.Answer == config.AnswerComplete,
		verify: ep.Verify, redirects: ep.Redirects, concurrency: ep.Concurrency, scheme: schemeOf(ep.Signature),
	}
	if err := m.setDefaults(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !reflect.DeepEqual(c.manner, m) {
		c.manner = m
	}
	return c.manner, nil
}

func (m *manner) setDefaults() error {
	if m.timeout <= 0 {
		m.timeout = defaultTimeout
	}
	if m.concurrency <= 0 {
		m.concurrency = defaultConcurrency
	}
	switch m.format {
	case config.FormatStandard, config.FormatRaw, config.FormatCloudEvents, config.FormatCloudEventsBinary,
		config.FormatForm, config.FormatSlack, config.FormatTeams:
	case "":
		m.format = config.FormatStandard
	default:
		return fmt.Errorf("unknown format %q", m.format)
	}
	if m.redirects < 0 || m.redirects > maxRedirects {
		return fmt.Errorf("redirects is %d: want 0 to %d", m.redirects, maxRedirects)
	}
	return nil
}
