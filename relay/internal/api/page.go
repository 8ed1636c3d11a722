package api

import (
	"encoding/base64"
	"encoding/json"
)

// The sizes of a page.
const (
	defaultLimit = 50
	maxLimit     = 250
)

// Paged is the part of a request for a page.
type Paged struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"250" default:"50" doc:"How many at most."`
	Cursor string `query:"cursor" maxLength:"2048" doc:"The next_cursor of the page before."`
}

func (p *Paged) limit() int {
	if p.Limit == 0 {
		return defaultLimit
	}
	return min(p.Limit, maxLimit)
}

// Page is a part of a list.
type Page[T any] struct {
	Data       []T    `json:"data" nullable:"false" doc:"The entries."`
	NextCursor string `json:"next_cursor,omitempty" doc:"Where the next page begins; missing on the last one."`
}

// pageOutput is the answer with a page.
type pageOutput[T any] struct {
	Body Page[T]
}

// cursor writes a position. It is no secret: a caller sees only what it may see, whatever position
// it makes up.
func cursor(position any) (string, error) {
	text, err := json.Marshal(position)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(text), nil
}

// readCursor reads a position; the zero one where there is no cursor.
func readCursor[P any](text string) (position P, err error) {
	if text == "" {
		return position, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(raw, &position)
	}
	if err != nil {
		return position, invalid(of("cursor", "It is not a next_cursor of this list."))
	}
	return position, nil
}

// paged cuts rows, of which one more than limit was asked for, into a page.
func paged[R, T, P any](rows []R, limit int, show func(*R) T, position func(*R) P) (*pageOutput[T], error) {
	out := &pageOutput[T]{Body: Page[T]{Data: make([]T, 0, min(len(rows), limit))}}
	for i := range rows {
		if i == limit {
			next, err := cursor(position(&rows[limit-1]))
			if err != nil {
				return nil, err
			}
			out.Body.NextCursor = next
			break
		}
		out.Body.Data = append(out.Body.Data, show(&rows[i]))
	}
	return out, nil
}
