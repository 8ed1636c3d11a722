package panel

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/tailpost/tailpost/relay/internal/api"
)

// refuse is a page that says what went wrong, as the API would.
func refuse(status int, detail string) *api.Problem {
	p := new(api.Problem)
	p.Status, p.Title, p.Detail = status, http.StatusText(status), detail
	return p
}

// problemOf returns the API's problem that an error is, or nil.
func problemOf(err error) *api.Problem {
	p, _ := errors.AsType[*api.Problem](err)
	return p
}

// problemPage says what went wrong, and where to go from there.
type problemPage struct {
	Problem *api.Problem
	Without string // the same page without what it was asked for; empty: that would not help
}

// problemTitle is a status in words.
func problemTitle(status int) string {
	title, ok := map[int]string{
		http.StatusBadRequest: "That could not be read", http.StatusForbidden: "That is not allowed", http.StatusNotFound: "Nothing is here",
		http.StatusConflict: "That does not fit what is there", http.StatusPreconditionFailed: "Somebody was quicker", http.StatusUnprocessableEntity: "Something is to be corrected",
		http.StatusRequestEntityTooLarge: "That is too large", http.StatusTooManyRequests: "Too much at once", http.StatusServiceUnavailable: "Not now",
	}[status]
	if !ok {
		return "Something went wrong"
	}
	return title
}

// notFound reports whether the API knows nothing of what was asked for.
func notFound(err error) bool {
	p := problemOf(err)
	return p != nil && p.Status == http.StatusNotFound
}

// do makes a call of the API as the visitor, and decodes the answer into out, if not nil.
func (v *visit) do(in api.Request, out any) error {
	res, err := v.panel.api.Do(v.r.Context(), v.session, in)
	if err != nil {
		return err
	}
	if out == nil {
		return res.Err()
	}
	return res.Decode(out)
}

// get reads from the API.
func (v *visit) get(path string, query url.Values, out any) error {
	return v.do(api.Request{Method: http.MethodGet, Path: path, Query: query}, out)
}

// post changes something through the API.
func (v *visit) post(path string, body, out any) error {
	return v.do(api.Request{Method: http.MethodPost, Path: path, Body: body}, out)
}

// pathOf joins segments to a path of the API; each is escaped.
func pathOf(segments ...string) string {
	var b strings.Builder
	b.WriteString("/v1")
	for _, s := range segments {
		b.WriteString("/" + url.PathEscape(s))
	}
	return b.String()
}

// queryOf makes a query of names and values in turn; empty values are left out.
func queryOf(pairs ...string) url.Values {
	q := make(url.Values)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}

// fieldInWords is the part of a request that a problem is about, as a person reads it.
func fieldInWords(pointer, parameter string) string {
	steps := strings.FieldsFunc(strings.TrimPrefix(pointer, "#")+"/"+parameter, func(r rune) bool { return r == '/' || r == '_' })
	for i, step := range steps {
		if n, err := strconv.Atoi(step); err == nil {
			steps[i] = strconv.Itoa(n + 1) // people count from one
		}
	}
	text := strings.Join(steps, " ")
	if text == "" {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// plainly is what the API says of a part of a request, for people who wrote it into a form.
func plainly(detail string) string {
	for formal, plain := range map[string]string{"Expected length >= ": "Write at least this many characters: ", "Expected length <= ": "Write no more characters than "} {
		if n, ok := strings.CutPrefix(detail, formal); ok {
			if n == "1." {
				return "Write something."
			}
			return plain + n
		}
	}
	return detail
}
