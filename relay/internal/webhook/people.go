package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
)

// operational is the content of an operational event.
type operational struct {
	Endpoint struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"endpoint"`
	Event struct {
		ID   string `json:"id"`
		Type string `json:"type"`
	} `json:"event"`
	Attempts int    `json:"attempts"`
	Status   int    `json:"status_code"`
	Error    string `json:"error"`
	Reason   string `json:"reason"`
	Since    string `json:"failing_since"`
	Disables string `json:"disables_at"`
	Tenant   string `json:"tenant"`
}

// message is an operational event in words.
type message struct {
	title string
	facts [][2]string
}

// people returns the body by which an event is said to people. Of an event that is not Tailpost's
// own, such as a test, it says the type and the id, and nothing of its payload.
func people(format config.Format, ev *outbox.Event) ([]byte, error) {
	m := message{title: "Event " + ev.Type, facts: [][2]string{{"Event", ev.ID}}}
	if ev.Operational() {
		var t operational
		if err := json.Unmarshal(ev.Payload, &t); err != nil {
			return nil, failuref("the operational event cannot be read: %v", err)
		}
		m = t.message(ev.Type)
	}
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	var err error
	if format == config.FormatSlack {
		err = enc.Encode(map[string]string{"text": m.slack()})
	} else {
		err = enc.Encode(m.teams())
	}
	if err != nil {
		return nil, failuref("the message cannot be written: %v", err)
	}
	return bytes.TrimSpace(body.Bytes()), nil
}

func (t *operational) message(eventType string) message {
	name := t.Endpoint.Name
	if name == "" {
		name = t.Endpoint.ID
	}
	var m message
	switch eventType {
	case outbox.TypeFailed:
		m.title = fmt.Sprintf("A delivery to %s was given up and waits for a person", name)
	case outbox.TypeFailing:
		m.title = fmt.Sprintf("Endpoint %s is failing", name)
	case outbox.TypeRecovered:
		m.title = fmt.Sprintf("Endpoint %s takes events again", name)
	case outbox.TypeDisabling:
		m.title = fmt.Sprintf("Endpoint %s will be disabled unless it takes an event", name)
	case outbox.TypeDisabled:
		m.title = fmt.Sprintf("Endpoint %s was disabled; its events wait until it is enabled", name)
	default:
		m.title = fmt.Sprintf("%s: %s", eventType, name)
	}
	answer := t.Error
	if t.Status != 0 {
		answer = strings.TrimSpace("status " + strconv.Itoa(t.Status) + " " + t.Error)
	}
	attempts := ""
	if t.Attempts > 0 {
		attempts = strconv.Itoa(t.Attempts)
	}
	for _, fact := range [][2]string{
		{"Endpoint", t.Endpoint.ID},
		{"Tenant", t.Tenant},
		{"Event", strings.TrimSpace(t.Event.Type + " " + t.Event.ID)},
		{"Attempt", attempts},
		{"Last answer", answer},
		{"Reason", t.Reason},
		{"Failing since", t.Since},
		{"Disabled at", t.Disables},
	} {
		if fact[1] != "" {
			m.facts = append(m.facts, fact)
		}
	}
	return m
}

// slack is the text of a message of Slack, which reads & < > as its own.
func (m message) slack() string {
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	var b strings.Builder
	fmt.Fprintf(&b, "*%s*", escape.Replace(m.title))
	for _, fact := range m.facts {
		fmt.Fprintf(&b, "\n%s: %s", fact[0], escape.Replace(fact[1]))
	}
	return b.String()
}

// teams is a message of Teams with one Adaptive Card.
func (m message) teams() any {
	type object = map[string]any
	facts := make([]object, len(m.facts))
	for i, fact := range m.facts {
		facts[i] = object{"title": fact[0], "value": fact[1]}
	}
	return object{"type": "message", "attachments": []object{{
		"contentType": "application/vnd.microsoft.card.adaptive",
		"content": object{
			"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
			"body": []object{
				{"type": "TextBlock", "text": m.title, "weight": "Bolder", "wrap": true},
				{"type": "FactSet", "facts": facts},
			},
		},
	}}}
}
