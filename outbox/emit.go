package outbox

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Emit writes events as transactional logical messages inside the caller's transaction, in one
// round trip, and returns their ids in order. No table is needed: the events exist in the WAL only,
// so nothing can deliver them again once the relay's slot is lost. The prefix is that of
// outbox.messages in the relay's configuration.
//
// Validation is that of Writer.Insert. An event without CreatedAt takes the time of its commit.
// DecodeEmitted reads what Emit writes, and documents its form for other producers.
func Emit(ctx context.Context, tx PgxTx, prefix string, events ...Event) ([]string, error) {
	return emit(prefix, events, func(query string, args []any) error {
		_, err := tx.Exec(ctx, query, args...)
		return err
	})
}

// EmitSQL is Emit for database/sql.
func EmitSQL(ctx context.Context, tx SQLTx, prefix string, events ...Event) ([]string, error) {
	return emit(prefix, events, func(query string, args []any) error {
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	})
}

func emit(prefix string, events []Event, run func(query string, args []any) error) ([]string, error) {
	if problem := textProblem(prefix); prefix == "" || problem != "" {
		return nil, fmt.Errorf("emit events: prefix %q is empty or not text", prefix)
	}
	ids, err := prepare(events)
	if err != nil {
		return nil, err
	}
	const most = maxParameters - 1
	for from := 0; from < len(events); from += most {
		to := min(from+most, len(events))
		query, args, err := emitStatement(prefix, events[from:to], ids[from:to])
		if err != nil {
			return nil, err
		}
		if err := run(query, args); err != nil {
			return nil, fmt.Errorf("emit events with prefix %q: %w", prefix, err)
		}
	}
	return ids, nil
}

func emitStatement(prefix string, events []Event, ids []string) (query string, args []any, err error) {
	var b strings.Builder
	// As bytea: Postgres puts text into a logical message in the database's own encoding, unlike
	// everything else that it streams.
	b.WriteString("SELECT pg_logical_emit_message(true, $1::text, convert_to(v.content, 'UTF8'))\nFROM (VALUES ")
	args = append(make([]any, 0, len(events)+1), prefix)
	for i := range events {
		content, err := encodeEmitted(&events[i], ids[i])
		if err != nil {
			return "", nil, invalid(i, len(events), err.Error())
		}
		args = append(args, content)
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("($" + strconv.Itoa(len(args)) + "::text)")
	}
	b.WriteString(") AS v (content)")
	return b.String(), args, nil
}

// encodeEmitted writes the document by hand because encoding/json would compact the payload.
func encodeEmitted(e *Event, id string) (string, error) {
	headers, err := e.headersJSON()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.Grow(len(e.Payload) + len(headers) + len(e.Extra) + 192)
	separator := "{"
	for _, f := range [...]struct{ name, value string }{
		{"id", id},
		{"type", e.Type},
		{"key", e.Key},
		{"tenant", e.Tenant},
		{"created_at", timeText(e.CreatedAt)},
		{"deliver_at", timeText(e.DeliverAt)},
		{"expires_at", timeText(e.ExpiresAt)},
	} {
		if f.value == "" {
			continue
		}
		quoted, err := json.Marshal(f.value)
		if err != nil {
			return "", fmt.Errorf("encode %s: %w", f.name, err)
		}
		b.WriteString(separator + `"` + f.name + `":`)
		b.Write(quoted)
		separator = ","
	}
	if headers != "" {
		b.WriteString(`,"headers":` + headers)
	}
	if e.Extra != nil {
		b.WriteString(`,"extra":`)
		b.Write(e.Extra)
	}
	if e.Payload != nil {
		b.WriteString(`,"data":`)
		b.Write(e.Payload)
	}
	b.WriteByte('}')
	return b.String(), nil
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// emitted is the document of a logical message. Each value is looked at by hand, so that the error
// names the field.
type emitted struct {
	ID        json.RawMessage `json:"id"`
	Type      json.RawMessage `json:"type"`
	Key       json.RawMessage `json:"key"`
	Tenant    json.RawMessage `json:"tenant"`
	Data      json.RawMessage `json:"data"`
	Payload   json.RawMessage `json:"payload"`
	Headers   json.RawMessage `json:"headers"`
	Extra     json.RawMessage `json:"extra"`
	CreatedAt json.RawMessage `json:"created_at"`
	DeliverAt json.RawMessage `json:"deliver_at"`
	ExpiresAt json.RawMessage `json:"expires_at"`
}

// DecodeEmitted reads the content of a logical message, whoever produced it, and copies what it
// keeps. The content is a JSON object, all other fields are ignored:
//
//	type        string, required
//	id          string or number; missing: Event.ID is empty and the caller makes one from
//	            (commit LSN, ordinal)
//	key, tenant string or number
//	data        any JSON, kept byte for byte; "payload" is the same
//	headers     object; see Decoder.Decode for its values
//	extra       object, kept byte for byte: Event.Extra
//	created_at  RFC 3339 or as Postgres prints a timestamptz; missing: Event.CreatedAt is zero and
//	            the caller takes the transaction's commit time
//	deliver_at, expires_at
//	            the same; see Decoder.Decode for times that are infinite
//
// Null is the same as missing, except for data, where it is the JSON document null. What does not
// fit is a *DecodeError; the Event is returned as far as it could be read, so that it can be
// recorded.
func DecodeEmitted(content []byte) (Event, error) {
	var m emitted
	if trimmed := bytes.TrimLeft(content, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return Event{}, &DecodeError{Problem: "is not a JSON object"}
	}
	if err := json.Unmarshal(content, &m); err != nil {
		// The error of encoding/json is left out: it quotes the content.
		return Event{}, &DecodeError{Problem: "is not valid JSON"}
	}

	var e Event
	for _, f := range [...]struct {
		name     string
		raw      json.RawMessage
		into     *string
		stringly bool
	}{
		{"id", m.ID, &e.ID, false}, {"type", m.Type, &e.Type, true}, {"key", m.Key, &e.Key, false}, {"tenant", m.Tenant, &e.Tenant, false},
	} {
		text, problem := scalarText(f.raw, f.stringly)
		if problem != "" {
			return e, &DecodeError{Column: f.name, Problem: problem}
		}
		*f.into = text
	}
	if e.Type == "" {
		return e, &DecodeError{Column: "type", Problem: "is missing"}
	}
	err := decodeEmittedRest(&m, &e)
	return e, err
}

func decodeEmittedRest(m *emitted, e *Event) error {
	for f, raw := range [...]json.RawMessage{fieldCreatedAt: m.CreatedAt, fieldDeliverAt: m.DeliverAt, fieldExpiresAt: m.ExpiresAt} {
		if isNull(raw) {
			continue
		}
		text, problem := scalarText(raw, true)
		at, ok := parseMoment([]byte(text))
		switch {
		case problem != "":
		case !ok:
			problem = "is not a time, for example 2026-01-31T10:00:00Z"
		default:
			problem = e.setTime(f, at)
		}
		if problem != "" {
			return &DecodeError{Column: (Mapping{}).fields()[f].name, Problem: problem}
		}
	}
	if !isNull(m.Headers) {
		headers, ok := decodeHeaders(m.Headers)
		if !ok {
			return &DecodeError{Column: "headers", Problem: "is not a JSON object"}
		}
		e.Headers = headers
	}
	if !isNull(m.Extra) {
		if m.Extra[0] != '{' {
			return &DecodeError{Column: "extra", Problem: "is not a JSON object"}
		}
		e.Extra = m.Extra
	}
	if m.Data != nil && m.Payload != nil {
		return &DecodeError{Column: "payload", Problem: "is the same as \"data\"; give one of them"}
	}
	e.Payload = m.Data
	if e.Payload == nil {
		e.Payload = m.Payload
	}
	return nil
}

func isNull(raw json.RawMessage) bool {
	return raw == nil || string(raw) == "null"
}

// scalarText is a JSON string's value, or a number as it is written.
func scalarText(raw json.RawMessage, stringOnly bool) (text, problem string) {
	if isNull(raw) {
		return "", ""
	}
	switch c := raw[0]; {
	case c == '"':
		if err := json.Unmarshal(raw, &text); err != nil {
			return "", "is not valid JSON"
		}
		if problem := textProblem(text); problem != "" {
			return "", problem
		}
		return text, ""
	case !stringOnly && (c == '-' || c >= '0' && c <= '9'):
		return string(raw), ""
	case stringOnly:
		return "", "is not a string"
	default:
		return "", "is neither a string nor a number"
	}
}
