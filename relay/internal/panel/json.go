package panel

import (
	"bytes"
	"encoding/json"
	"errors"
	"html/template"
	"io"
	"strconv"
	"strings"
)

// The bounds of a document that is shown with colours. Beyond them it is shown as it is, up to a
// length.
const (
	prettyBytes = 16 << 10
	prettyNodes = 500
	plainBytes  = 32 << 10
)

var errTooMuch = errors.New("too much to show")

// shown is a payload or an answer as a page shows it.
type shown struct {
	Pretty template.HTML // of a JSON document
	Raw    string
	Cut    bool // Raw is the beginning only
	Empty  bool
}

// showText prepares a text for a page.
func showText(text string) shown {
	s := shown{Pretty: prettyJSON(text), Raw: text, Empty: text == ""}
	if len(text) > plainBytes {
		s.Raw, s.Cut = strings.ToValidUTF8(text[:plainBytes], ""), true
	}
	return s
}

// prettyJSON renders a JSON document: numbers with the digits that they have, keys in their order,
// objects and arrays that open and close without a script. It returns nothing for what is no JSON,
// or too much.
func prettyJSON(text string) template.HTML {
	if text == "" || len(text) > prettyBytes {
		return ""
	}
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	p := prettyPrinter{dec: dec}
	if p.value("") != nil {
		return ""
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return ""
	}
	return template.HTML(p.out.String()) //nolint:gosec // every string was escaped
}

type prettyPrinter struct {
	dec   *json.Decoder
	out   bytes.Buffer
	nodes int
}

// text writes a string as JSON, escaped for HTML.
func (p *prettyPrinter) text(class, s string) {
	var quoted bytes.Buffer
	enc := json.NewEncoder(&quoted)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always can be
	p.span(class, strings.TrimSuffix(quoted.String(), "\n"))
}

func (p *prettyPrinter) span(class, s string) {
	p.out.WriteString(`<span class="` + class + `">` + template.HTMLEscapeString(s) + `</span>`)
}

// value writes one value and what follows it.
func (p *prettyPrinter) value(after string) error {
	if p.nodes++; p.nodes > prettyNodes {
		return errTooMuch
	}
	token, err := p.dec.Token()
	if err != nil {
		return err
	}
	switch t := token.(type) {
	case json.Delim:
		return p.nested(t, after)
	case string:
		p.text("s", t)
	case json.Number:
		p.span("n", t.String())
	case bool:
		p.span("l", strconv.FormatBool(t))
	default:
		p.span("l", "null")
	}
	p.out.WriteString(after)
	return nil
}

// nested writes an object or an array.
func (p *prettyPrinter) nested(open json.Delim, after string) error {
	object := open == '{'
	shut, what := "]", " entries"
	if object {
		shut, what = "}", " keys"
	}
	if !p.dec.More() {
		p.out.WriteString(open.String() + shut + after)
		_, err := p.dec.Token()
		return err
	}
	inner := prettyPrinter{dec: p.dec, nodes: p.nodes}
	n := 0
	for p.dec.More() {
		n++
		inner.out.WriteString("<div>")
		if object {
			name, err := p.dec.Token()
			if err != nil {
				return err
			}
			text, _ := name.(string) // an object's names are
			inner.text("k", text)
			inner.out.WriteString(": ")
		}
		if err := inner.value(""); err != nil {
			return err
		}
		if p.dec.More() {
			inner.out.WriteString(",")
		}
		inner.out.WriteString("</div>")
	}
	p.nodes = inner.nodes
	_, err := p.dec.Token()
	p.out.WriteString(`<details open><summary>` + open.String() + `<span class="sz">` + strconv.Itoa(n) + what + ` ` + shut + `</span></summary><div class="in">`)
	p.out.Write(inner.out.Bytes())
	p.out.WriteString(`</div></details>` + shut + after)
	return err
}
