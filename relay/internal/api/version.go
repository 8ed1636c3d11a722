package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// PayloadVersion is a version of the events' data.
type PayloadVersion struct {
	Name    string   `json:"name" doc:"The day since which events look like this." example:"2026-09-20"`
	Changed []string `json:"changed" nullable:"false" doc:"Types whose data looked otherwise before, as patterns."`
	Newest  bool     `json:"newest" doc:"Events as the application writes them; new endpoints pin it."`
}

// PayloadVersions are all versions.
type PayloadVersions struct {
	Data []PayloadVersion `json:"data" nullable:"false"`
}

type versionsOutput struct {
	Body PayloadVersions
}

func listVersions(_ context.Context, s *Server, _ *principal, _ *struct{}) (*versionsOutput, error) {
	all := s.config().Versions
	out := &versionsOutput{Body: PayloadVersions{Data: make([]PayloadVersion, len(all))}}
	for i := range all {
		v := PayloadVersion{Name: all[i].Name, Changed: []string{}, Newest: i == 0}
		for j := range all[i].Events {
			v.Changed = append(v.Changed, all[i].Events[j].Events)
		}
		out.Body.Data[i] = v
	}
	return out, nil
}

// EventTypeVersion is what the data of a type looks like in an older version.
type EventTypeVersion struct {
	Version string         `json:"version" doc:"Its name."`
	Schema  map[string]any `json:"schema,omitempty" doc:"JSON Schema of the payload."`
	Example any            `json:"example,omitempty" doc:"An example of the payload."`
	Made    bool           `json:"made" doc:"The example is the newest version's, brought to this one as events are."`
}

// EventTypeVersionSettings describe a type in an older version.
type EventTypeVersionSettings struct {
	Schema  map[string]any `json:"schema,omitempty" doc:"JSON Schema of the payload."`
	Example any            `json:"example,omitempty" doc:"An example of the payload. Default: the newest version's, brought to this one as events are."`
}

// rawVersion is an EventTypeVersionSettings as it was sent: numbers keep their digits.
type rawVersion struct {
	Schema  json.RawMessage `json:"schema,omitempty"`
	Example json.RawMessage `json:"example,omitempty"`
}

// showVersions describes a type in every older version.
func showVersions(t *query.EventType, versions config.Versions) []EventTypeVersion {
	if len(versions) < 2 || !config.Versioned(t.Name) {
		return nil
	}
	stored := make(map[string]rawVersion)
	if t.Versions != nil {
		_ = json.Unmarshal(t.Versions, &stored) // it was such an object when it was taken
	}
	shown := make([]EventTypeVersion, 0, len(versions)-1)
	for _, v := range versions[1:] {
		has := stored[v.Name]
		is := EventTypeVersion{Version: v.Name, Schema: object(has.Schema)}
		if example := given(has.Example); example != nil {
			is.Example = json.RawMessage(example)
		} else if made := madeExample(t, versions, v.Name); made != nil {
			is.Example, is.Made = json.RawMessage(made), true
		}
		shown = append(shown, is)
	}
	return shown
}

// madeExample brings the example of the newest version to an older one; nil: there is none.
func madeExample(t *query.EventType, versions config.Versions, name string) []byte {
	if t.Example == nil {
		return nil
	}
	e := config.Endpoint{Version: name}
	versions.Pin(&e, "")
	ev, err := e.Steps().Event(&outbox.Event{ID: "example", Type: t.Name, Payload: t.Example})
	if err != nil || !json.Valid(ev.Payload) {
		return nil
	}
	return ev.Payload
}

// object is a document that was an object when it was taken; numbers keep their digits.
func object(raw []byte) (is map[string]any) {
	if len(raw) == 0 {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	_ = dec.Decode(&is)
	return is
}

// takenVersions checks the older versions that a request describes and returns them as they are
// stored; nil: there are none.
func takenVersions(sent map[string]rawVersion, versions config.Versions) ([]byte, error) {
	known := make(map[string]bool, len(versions))
	for _, name := range versions.Names() {
		known[name] = true
	}
	kept := make(map[string]rawVersion, len(sent))
	var problems []FieldProblem
	for name, v := range sent {
		pointer := "/versions/" + escapePointer(name)
		switch {
		case !known[name]:
			problems = append(problems, at(pointer, "The configuration has no such version: GET /v1/versions lists those that there are."))
		case name == versions.Newest():
			problems = append(problems, at(pointer, "It is the newest version: schema and example beside versions are its."))
		}
		v.Schema, v.Example = given(v.Schema), given(v.Example)
		if v.Schema != nil || v.Example != nil {
			kept[name] = v
		}
	}
	if len(problems) > 0 {
		return nil, invalid(problems...)
	}
	if len(kept) == 0 {
		return nil, nil
	}
	text, err := json.Marshal(kept)
	if err != nil {
		return nil, fmt.Errorf("encode the versions of the event type: %w", err)
	}
	return text, nil
}

// pinVersion has the endpoint of a trial get events of a version.
func (s *settler) pinVersion(versions config.Versions, name *string) {
	if name != nil {
		s.e.Version = *name
	}
	if !versions.Pin(s.e, versions.Newest()) && name != nil {
		s.fail("/payload_version", "The configuration has no such version: GET /v1/versions lists those that there are.")
	}
}
