package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tailpost/tailpost/outbox/suggest"
	"github.com/tailpost/tailpost/relay/internal/query"
	"github.com/tailpost/tailpost/relay/internal/seal"
)

// Problem is an error as RFC 9457 wants it.
type Problem struct { //nolint:errname // what the RFC calls it
	Title  string         `json:"title" doc:"What the status means."`
	Status int            `json:"status" doc:"The HTTP status."`
	Detail string         `json:"detail" doc:"What happened, and what to do."`
	Errors []FieldProblem `json:"errors,omitempty" doc:"What is wrong with the parts of the request."`

	headers http.Header
}

// FieldProblem says what is wrong with a part of a request.
type FieldProblem struct {
	Detail    string `json:"detail" doc:"What is wrong, and what to write instead."`
	Pointer   string `json:"pointer,omitempty" doc:"JSON pointer to the part of the body, as a URI fragment." example:"#/events/0"`
	Parameter string `json:"parameter,omitempty" doc:"Name of the parameter or header." example:"limit"`
}

// Error implements error.
func (p *Problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header { return p.headers }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

func problem(status int, detail string, fields ...FieldProblem) *Problem {
	return &Problem{Title: http.StatusText(status), Status: status, Detail: detail, Errors: fields}
}

func (p *Problem) with(name, value string) *Problem {
	if p.headers == nil {
		p.headers = make(http.Header)
	}
	p.headers.Set(name, value)
	return p
}

// invalid is a request whose body or parameters say what cannot be.
func invalid(fields ...FieldProblem) *Problem {
	return problem(http.StatusUnprocessableEntity, "The request is not valid.", fields...)
}

// at is a problem of a part of the body, such as "/events/0".
func at(pointer, detail string, args ...any) FieldProblem {
	return FieldProblem{Detail: fmt.Sprintf(detail, args...), Pointer: "#" + pointer}
}

// of is a problem of a parameter or header.
func of(parameter, detail string, args ...any) FieldProblem {
	return FieldProblem{Detail: fmt.Sprintf(detail, args...), Parameter: parameter}
}

// problemOf maps every error to a status: the only place that does.
func problemOf(ctx context.Context, s *Server, err error) *Problem {
	var p *Problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, query.ErrNotFound):
		return problem(http.StatusNotFound, "There is no such thing, or it is not yours to see.")
	case errors.Is(err, query.ErrStale):
		return problem(http.StatusPreconditionFailed, "It was changed meanwhile: read it again and repeat the change on what it is now.")
	case errors.Is(err, query.ErrReused):
		return invalid(of("Idempotency-Key", "It was used for another request within the last 24 hours: make a new one."))
	case errors.Is(err, query.ErrConflict):
		_, text, _ := strings.Cut(err.Error(), query.ErrConflict.Error()+": ")
		return problem(http.StatusConflict, sentence(text))
	case errors.Is(err, query.ErrInvalid):
		return problem(http.StatusUnprocessableEntity, "The request has a value that the database does not take, such as a NUL character, text that is not UTF-8, or a time out of range.")
	case errors.Is(err, seal.ErrNoKey):
		return problem(http.StatusConflict, "Secrets of endpoints are kept sealed, and no sealing key is configured: set keys in the secrets block of the configuration.")
	case ctx.Err() != nil:
		return problem(http.StatusServiceUnavailable, "The request was ended before it was done.")
	case errors.Is(err, query.ErrUnavailable):
		s.log.Warn().Err(err).Msg("the API waits for the database")
		return problem(http.StatusServiceUnavailable, "The database is out of reach or busy: try again.").with("Retry-After", "1")
	}
	s.log.Error().Err(err).Msg("the API failed")
	return problem(http.StatusInternalServerError, "Something went wrong; the relay's log says what.")
}

// sentence begins with a capital and ends with a period.
func sentence(text string) string {
	if text == "" {
		return text
	}
	return strings.ToUpper(text[:1]) + strings.TrimSuffix(text[1:], ".") + "."
}

func fieldProblem(api huma.API, op *huma.Operation, d *huma.ErrorDetail) FieldProblem {
	where, name, _ := strings.Cut(d.Location, ".")
	text := sentence(d.Message)
	if strings.HasPrefix(d.Location, "body[") { // a list where an object stands
		where, name = "body", strings.TrimPrefix(d.Location, "body")
	}
	if where != "body" {
		if d.Message == "unknown query parameter" {
			text += didYouMean(name, parameters(op))
		}
		return of(name, "%s", text)
	}
	steps := strings.FieldsFunc(name, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
	if strings.HasPrefix(d.Message, "unexpected property") && len(steps) > 0 {
		last := len(steps) - 1
		text = "There is no such field." + didYouMean(steps[last], properties(api, op, steps[:last]))
	}
	var pointer strings.Builder
	for _, step := range steps {
		pointer.WriteString("/" + escapePointer(step))
	}
	return at(pointer.String(), "%s", text)
}

func escapePointer(step string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(step)
}

func parameters(op *huma.Operation) []string {
	var names []string
	for _, p := range op.Parameters {
		if p.In == "query" {
			names = append(names, p.Name)
		}
	}
	return names
}

// properties lists the fields of the part of the operation's body that steps lead to.
func properties(api huma.API, op *huma.Operation, steps []string) []string {
	if op.RequestBody == nil || op.RequestBody.Content["application/json"] == nil {
		return nil
	}
	registry := api.OpenAPI().Components.Schemas
	schema := op.RequestBody.Content["application/json"].Schema
	for i := 0; schema != nil; i++ {
		for schema.Ref != "" {
			schema = registry.SchemaFromRef(schema.Ref)
		}
		if i == len(steps) {
			break
		}
		if _, err := strconv.Atoi(steps[i]); err == nil && schema.Items != nil {
			schema = schema.Items
			continue
		}
		schema = schema.Properties[steps[i]]
	}
	if schema == nil {
		return nil
	}
	names := make([]string, 0, len(schema.Properties))
	for name := range schema.Properties {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// didYouMean names the candidate that is most like given, or all where none is.
func didYouMean(given string, candidates []string) string {
	best := suggest.DidYouMean(given, candidates)
	if best != "" || len(candidates) == 0 {
		return best
	}
	return " There are " + strings.Join(candidates, ", ") + "."
}
