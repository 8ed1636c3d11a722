package webhook

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strconv"
	"unicode/utf8"
)

// typeForm is the type of a body as a browser's form has it.
const typeForm = "application/x-www-form-urlencoded"

// mostForm bounds a form in bytes: the name of every field has those of all that it is in.
const mostForm = 16 << 20

// formOf appends the members of the data as the fields of a form, sorted by name: what is in
// another member as outer[inner], what is in a list as list[0], as PHP, Rails and the library qs
// read them. Numbers keep their digits; null is an empty value.
func formOf(dst []byte, r *Request) (content, error) {
	data := []byte(r.Event.Payload)
	if r.Body != nil {
		var err error
		if data, err = r.Body.Append(nil, r.Event); err != nil {
			return content{}, failuref("%v", err)
		}
	}
	if !utf8.Valid(data) {
		return content{}, errNotUTF8
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var object map[string]any
	if err := decoder.Decode(&object); err != nil || object == nil || decoder.More() {
		return content{}, failuref("the payload is not a JSON object, which format \"form\" needs")
	}
	f := form{fields: make(url.Values)}
	for name, value := range object {
		f.add(name, value)
	}
	if f.size > mostForm {
		return content{}, failuref("the form is larger than %d MiB", mostForm>>20)
	}
	return content{body: append(dst, f.fields.Encode()...), contentType: typeForm}, nil
}

// form is the fields of a form while they are gathered.
type form struct {
	fields url.Values
	size   int
}

func (f *form) add(name string, value any) {
	if f.size > mostForm {
		return
	}
	switch v := value.(type) {
	case map[string]any:
		for inner, value := range v {
			f.add(name+"["+inner+"]", value)
		}
		return
	case []any:
		for i, value := range v {
			f.add(name+"["+strconv.Itoa(i)+"]", value)
		}
		return
	case string:
		f.fields.Set(name, v)
	case json.Number:
		f.fields.Set(name, v.String())
	case bool:
		f.fields.Set(name, strconv.FormatBool(v))
	case nil:
		f.fields.Set(name, "")
	}
	f.size += len(name) + len(f.fields.Get(name)) + len("=&")
}
