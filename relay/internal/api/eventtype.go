package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// EventType is an entry of the catalogue of events.
type EventType struct {
	Name        string             `json:"name" doc:"Type of the events." example:"order.created"`
	Description string             `json:"description"`
	Schema      map[string]any     `json:"schema,omitempty" doc:"JSON Schema of the payload."`
	Example     any                `json:"example,omitempty" doc:"An example of the payload."`
	Versions    []EventTypeVersion `json:"versions,omitempty" doc:"The same in older versions, newest first. Missing: there are none."`
	Deprecated  bool               `json:"deprecated" doc:"Nobody should subscribe to it any more."`
	Version     int64              `json:"version" doc:"Raised by every change; the ETag."`
	CreatedAt   time.Time          `json:"created_at"`
	UpdatedAt   time.Time          `json:"updated_at"`
}

// EventTypeSettings describe a type of events.
type EventTypeSettings struct {
	Description string                              `json:"description,omitempty" maxLength:"10000" doc:"What happened when such an event is sent."`
	Schema      map[string]any                      `json:"schema,omitempty" doc:"JSON Schema of the payload."`
	Example     any                                 `json:"example,omitempty" doc:"An example of the payload; test events carry it."`
	Versions    map[string]EventTypeVersionSettings `json:"versions,omitempty" doc:"Schema and example of older versions, by their names. Those beside it are the newest version's."`
	Deprecated  bool                                `json:"deprecated,omitempty" doc:"Nobody should subscribe to it any more."`
}

type eventTypeOutput struct {
	ETag string `header:"ETag" doc:"The version, for If-Match."`
	Body EventType
}

// EventTypeName is the part of a request that names an entry.
type EventTypeName struct {
	Name string `path:"name" minLength:"1" maxLength:"200" doc:"Type of the events."`
}

func showEventType(t *query.EventType, versions config.Versions) EventType {
	shown := EventType{
		Name: t.Name, Description: t.Description, Deprecated: t.Deprecated, Version: t.Version,
		CreatedAt: t.CreatedAt.UTC(), UpdatedAt: t.UpdatedAt.UTC(),
	}
	if t.Example != nil {
		shown.Example = json.RawMessage(t.Example)
	}
	shown.Schema, shown.Versions = object(t.Schema), showVersions(t, versions)
	return shown
}

type listEventTypesInput struct {
	Paged
}

func listEventTypes(ctx context.Context, s *Server, _ *principal, in *listEventTypesInput) (*pageOutput[EventType], error) {
	after, err := readCursor[string](in.Cursor)
	if err != nil {
		return nil, err
	}
	rows, err := s.store.EventTypes(ctx, after, in.limit()+1)
	if err != nil {
		return nil, err
	}
	versions := s.config().Versions
	return paged(rows, in.limit(), func(t *query.EventType) EventType { return showEventType(t, versions) }, func(t *query.EventType) string { return t.Name })
}

func getEventType(ctx context.Context, s *Server, _ *principal, in *EventTypeName) (*eventTypeOutput, error) {
	t, err := s.store.EventType(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	return &eventTypeOutput{ETag: etag(t.Version), Body: showEventType(&t, s.config().Versions)}, nil
}

// unbound refuses keys that are bound to a tenant what belongs to all.
func unbound(p *principal) error {
	if p.tenant() != "" {
		return problem(http.StatusForbidden, "The catalogue belongs to all tenants: a key that is bound to one may only read it.")
	}
	return nil
}

type putEventTypeInput struct {
	EventTypeName
	Conditional

	Body    EventTypeSettings
	RawBody []byte
}

func putEventType(ctx context.Context, s *Server, c *query.Change, p *principal, in *putEventTypeInput) (*eventTypeOutput, error) {
	if err := unbound(p); err != nil {
		return nil, err
	}
	if problem := nameProblem(in.Name); problem != "" {
		return nil, invalid(of("name", "%s", problem))
	}
	// As they were sent: numbers keep their digits.
	var raw struct {
		Schema   json.RawMessage       `json:"schema"`
		Example  json.RawMessage       `json:"example"`
		Versions map[string]rawVersion `json:"versions"`
	}
	if err := json.Unmarshal(in.RawBody, &raw); err != nil {
		return nil, problem(http.StatusBadRequest, "The body is not valid JSON.")
	}
	t := query.EventType{Name: in.Name, Description: in.Body.Description, Deprecated: in.Body.Deprecated}
	t.Schema, t.Example = given(raw.Schema), given(raw.Example)
	versions := s.config().Versions
	var err error
	if t.Versions, err = takenVersions(raw.Versions, versions); err != nil {
		return nil, err
	}
	var before any
	switch old, err := c.EventType(ctx, in.Name); {
	case err == nil:
		if err := in.check(old.Version); err != nil {
			return nil, err
		}
		before = showEventType(&old, versions)
	case !errors.Is(err, query.ErrNotFound):
		return nil, err
	case in.IfMatch != "":
		return nil, query.ErrStale
	}
	if err := c.PutEventType(ctx, &t); err != nil {
		return nil, err
	}
	out := &eventTypeOutput{ETag: etag(t.Version), Body: showEventType(&t, versions)}
	return out, c.Audit(ctx, "event_type.put", t.Name, "", before, out.Body)
}

func given(raw json.RawMessage) []byte {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	return raw
}

// nameProblem says what is wrong with the name of a type; nothing where it is one that a
// subscription can name.
func nameProblem(name string) string {
	if strings.Contains(name, "*") {
		return "It is a pattern: write the name of one type."
	}
	if _, err := config.ParsePattern(name); err != nil {
		return sentence(err.Error())
	}
	if err := config.CheckName(name); err != nil {
		return sentence(err.Error())
	}
	return ""
}

type deleteEventTypeInput struct {
	EventTypeName
	Conditional
}

func deleteEventType(ctx context.Context, s *Server, c *query.Change, p *principal, in *deleteEventTypeInput) (*deletedOutput, error) {
	if err := unbound(p); err != nil {
		return nil, err
	}
	old, err := c.EventType(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	if err := in.check(old.Version); err != nil {
		return nil, err
	}
	if err := c.DeleteEventType(ctx, in.Name); err != nil {
		return nil, err
	}
	return &deletedOutput{Body: Deleted{ID: in.Name, Deleted: true}}, c.Audit(ctx, "event_type.delete", in.Name, "", showEventType(&old, s.config().Versions), nil)
}
