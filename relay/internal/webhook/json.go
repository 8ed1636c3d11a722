package webhook

import "encoding/json"

// validJSON reports whether b is one JSON value.
func validJSON(b []byte) bool {
	return json.Valid(b)
}
