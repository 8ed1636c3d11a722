package config

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/tailpost/tailpost/config/filter"
	"github.com/tailpost/tailpost/config/receiver"
	"github.com/tailpost/tailpost/outbox"
)

const (
	maxTarget = 8192 // bytes of a path with its query that expressions make
	maxQuery  = 32   // parameters that an endpoint adds
	maxURL    = 4096 // characters of a URL with expressions
	unescapes = 3    // how often a receiver, and what stands before it, may decode a path
)

// Address is where the requests of an endpoint go, with the parameters and headers that it adds, as
// far as each follows from the event. It is immutable and safe for concurrent use.
//
// A URL, a parameter or a header is a text in which ${…} is an expression over the event, as in
// filters, and $${ stands for ${. Scheme, host and port are the same for every event.
type Address struct {
	// URL is the whole URL where it is the same for every event; else it has an x in the place of
	// each expression.
	URL   *url.URL
	Place receiver.Place
	// Headers are those that are the same for every event, whole.
	Headers map[string]string

	cut     bool          // the URL has a fragment, which is never sent
	target  []addressPart // nil: the same for every event
	headers []addressHeader
	extras  []extraUse
}

// addressPart is a part of a path with its query, encoded, or an expression.
type addressPart struct {
	literal string
	value   *filter.TemplatePart
	query   bool // it is behind the question mark
}

type addressHeader struct {
	name  string
	parts []filter.TemplatePart
}

// extraUse is which extra columns a setting names.
type extraUse struct {
	setting string
	names   []string
}

// UnaddressableError says why there is no request for an event. It quotes nothing of the event.
type UnaddressableError struct{ Problem string }

func (e *UnaddressableError) Error() string { return e.Problem }

func unaddressable(what string, err error) error {
	return &UnaddressableError{what + " cannot be made: " + err.Error()}
}

// addressProblem is what is wrong with a setting.
type addressProblem struct {
	setting, summary, detail string

	cause error // what whoever sends says; nil: the same
}

// Address compiles where the endpoint's requests go. An error says what is wrong with the settings,
// without the URL.
func (e *Endpoint) Address() (*Address, error) {
	a, problems := e.address()
	if len(problems) > 0 {
		if err := problems[0].cause; err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%s: %s: %s", problems[0].setting, problems[0].summary, problems[0].detail)
	}
	return a, nil
}

// address is Address with all problems. A problem of the URL leaves nothing else to look at.
func (e *Endpoint) address() (*Address, []addressProblem) {
	a := &Address{Headers: make(map[string]string, len(e.Headers))}
	if p := a.compileURL(e.URL); p != nil {
		return nil, []addressProblem{*p}
	}
	var problems []addressProblem
	add := func(p *addressProblem) {
		if p != nil {
			problems = append(problems, *p)
		}
	}
	if len(e.Query) > maxQuery {
		add(&addressProblem{"query", "Too many parameters", fmt.Sprintf("Write at most %d.", maxQuery), nil})
	}
	for _, name := range sortedKeys(e.Query) {
		add(a.compileQuery(name, e.Query[name]))
	}
	for _, name := range sortedKeys(e.Headers) {
		add(a.compileHeader(name, e.Headers[name]))
	}
	if len(e.Query) > 0 || hasExpression(e.URL) {
		a.settle()
	} else {
		a.target = nil
	}
	return a, problems
}

// hasExpression reports whether a text is more than it says.
func hasExpression(text string) bool { return strings.Contains(text, "${") }

// literalText returns the text that stands for itself.
func literalText(text string) string {
	if !hasExpression(text) {
		return text
	}
	return escapeTemplate(text)
}

func escapeTemplate(text string) string {
	return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(text)
}

// compileText takes a text apart.
func (a *Address) compileText(setting, text string) ([]filter.TemplatePart, *addressProblem) {
	if !hasExpression(text) {
		return []filter.TemplatePart{{Literal: text}}, nil
	}
	t, diags := filter.CompileTemplate(text, setting, 1)
	if diags.HasErrors() {
		return nil, &addressProblem{setting, diags[0].Summary, diags[0].Detail, nil}
	}
	if len(t.Extras()) > 0 {
		a.extras = append(a.extras, extraUse{setting, t.Extras()})
	}
	return t.Parts(), nil
}

func (a *Address) compileURL(text string) *addressProblem {
	var cause error
	problem := func(summary, detail string) *addressProblem { return &addressProblem{"url", summary, detail, cause} }
	if hasExpression(text) && len(text) > maxURL {
		return problem("URL too long", fmt.Sprintf("Write at most %d characters.", maxURL))
	}
	parts, p := a.compileText("url", text)
	if p != nil {
		return p
	}
	var whole strings.Builder
	for i := range parts {
		if parts[i].Source == "" {
			whole.WriteString(parts[i].Literal)
			continue
		}
		before := whole.String()
		_, rest, found := strings.Cut(before, "://")
		switch {
		case !found || !strings.ContainsAny(rest, "/?"):
			return problem("Expression in the host", "Scheme, host and port are the same for every event: write expressions behind them, as in https://example.com/orders/${event.key}.")
		case cutEscape(before):
			return problem("Expression in an escape", "Write the % and its two digits before the expression, or leave them out.")
		}
		whole.WriteByte('x')
	}
	u, place, err := receiver.Parse(whole.String())
	cause = err
	switch {
	case u == nil || u.Host == "" || u.Opaque != "":
		return problem("Invalid URL", "Write an absolute URL with a host, such as https://example.com/webhooks.")
	case u.Scheme != "https" && u.Scheme != "http":
		return problem("Unsupported URL scheme", "Use https.")
	case err != nil:
		return problem("Invalid URL", sentence(err.Error())+".")
	}
	a.URL, a.Place, a.cut = u, place, u.Fragment != "" || strings.HasSuffix(whole.String(), "#")
	a.takeApart(parts)
	return nil
}

// cutEscape reports whether a text ends within %XX.
func cutEscape(text string) bool {
	at := strings.LastIndexByte(text, '%')
	return at >= 0 && len(text)-at < len("%XX")
}

// takeApart makes the target of a URL's parts. Everything before the path is left out.
func (a *Address) takeApart(parts []filter.TemplatePart) {
	query := false
	for i := range parts {
		literal := parts[i].Literal
		if parts[i].Source != "" {
			a.target = append(a.target, addressPart{value: &parts[i], query: query})
			continue
		}
		if i == 0 {
			_, rest, _ := strings.Cut(literal, "://")
			if at := strings.IndexAny(rest, "/?"); at >= 0 {
				literal = rest[at:]
			} else {
				literal = ""
			}
			if !strings.HasPrefix(literal, "/") {
				literal = "/" + literal
			}
		}
		rest := literal
		if !query {
			var path string
			path, rest, query = strings.Cut(literal, "?")
			a.target = append(a.target, addressPart{literal: string(appendKept(nil, path, pathKept))})
			if query {
				rest = "?" + rest
			}
		}
		if rest != "" {
			a.target = append(a.target, addressPart{literal: string(appendKept(nil, rest, queryKept)), query: true})
		}
	}
}

func (a *Address) compileQuery(name, text string) *addressProblem {
	setting := "query." + name
	if name == "" {
		return &addressProblem{setting, "Missing parameter name", "Write a name, such as tenant.", nil}
	}
	parts, p := a.compileText(setting, text)
	if p != nil {
		return p
	}
	separator := "?"
	if a.asks() {
		separator = "&"
	}
	a.target = append(a.target, addressPart{literal: separator + string(appendValue(nil, name)) + "=", query: true})
	for i := range parts {
		if parts[i].Source == "" {
			a.target = append(a.target, addressPart{literal: string(appendValue(nil, parts[i].Literal)), query: true})
		} else {
			a.target = append(a.target, addressPart{value: &parts[i], query: true})
		}
	}
	return nil
}

// asks reports whether there is a question mark already.
func (a *Address) asks() bool {
	return len(a.target) > 0 && a.target[len(a.target)-1].query
}

func (a *Address) compileHeader(name, text string) *addressProblem {
	setting := "headers." + name
	parts, p := a.compileText(setting, text)
	if p != nil {
		return p
	}
	var whole strings.Builder
	varies := false
	for i := range parts {
		whole.WriteString(parts[i].Literal)
		if parts[i].Source != "" {
			varies = true
			whole.WriteByte('x')
		}
	}
	switch {
	case !varies:
		a.Headers[name] = whole.String()
	case strings.EqualFold(name, "content-type"):
		return &addressProblem{setting, "Expression in the content type", "Write it as it is: it says how the body is to be read.", nil}
	case !receiver.ValidValue(whole.String()) || whole.Len() > receiver.MaxHeaderValue:
		return &addressProblem{setting, "Invalid header value", fmt.Sprintf("Write one line of at most %d bytes without white space around it.", receiver.MaxHeaderValue), nil}
	default:
		a.headers = append(a.headers, addressHeader{name, parts})
	}
	return nil
}

// settle makes the URL of a target that is the same for every event.
func (a *Address) settle() {
	var target []byte
	for i := range a.target {
		if a.target[i].value != nil {
			return
		}
		target = append(target, a.target[i].literal...)
	}
	_, a.URL.RawQuery, a.URL.ForceQuery = strings.Cut(string(target), "?")
	a.target = nil
}

// Varies reports whether anything follows from the event.
func (a *Address) Varies() bool { return a.target != nil || len(a.headers) > 0 }

// HeaderNames are the names of the headers that follow from the event.
func (a *Address) HeaderNames() []string {
	var names []string
	for i := range a.headers {
		names = append(names, a.headers[i].name)
	}
	return names
}

// AppendTarget appends the path and the query for an event, percent-encoded; none where they are
// the same for every event. The error is an *UnaddressableError.
func (a *Address) AppendTarget(dst []byte, e *outbox.Event) ([]byte, error) {
	from := len(dst)
	values := make([][2]int, 0, len(a.target)) // where the path has them
	pathEnd := 0
	for i := range a.target {
		p := &a.target[i]
		if p.query && pathEnd == 0 {
			pathEnd = len(dst)
		}
		if p.value == nil {
			dst = append(dst, p.literal...)
			continue
		}
		text, err := p.value.Value(e)
		if err != nil {
			return dst, unaddressable("the URL", err)
		}
		at := len(dst)
		if len(text) > maxTarget {
			return dst, unaddressable("the URL", errors.New("it is too long"))
		}
		dst = appendValue(dst, text)
		if !p.query {
			values = append(values, [2]int{at, len(dst)})
		}
	}
	if pathEnd == 0 {
		pathEnd = len(dst)
	}
	if len(dst)-from > maxTarget {
		return dst, unaddressable("the URL", errors.New("it is too long"))
	}
	if !staysBelow(dst[:pathEnd], from, values) {
		return dst, unaddressable("the URL", errors.New("a value of its path would lead elsewhere, as .. does"))
	}
	return dst, nil
}

// staysBelow reports whether no segment of a path that a value has a part in is one that leads
// elsewhere.
func staysBelow(path []byte, from int, values [][2]int) bool {
	for _, v := range values {
		start, end := v[0], v[1]
		for start > from && path[start-1] != '/' {
			start--
		}
		for end < len(path) && path[end] != '/' {
			end++
		}
		segment := string(path[start:end])
		for range unescapes {
			segment = unescape(segment)
			for piece := range strings.FieldsFuncSeq(segment, func(r rune) bool { return r == '/' || r == '\\' }) {
				// What stands behind a semicolon is a parameter to some.
				piece, _, _ = strings.Cut(piece, ";")
				if piece = strings.Trim(piece, " \t\r\n\x00"); piece == "." || piece == ".." {
					return false
				}
			}
		}
	}
	return true
}

// unescape decodes what is an escape and leaves the rest, as lenient receivers do.
func unescape(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			if n, err := strconv.ParseUint(text[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// EachHeader calls f with every header that follows from the event. The error is an
// *UnaddressableError.
func (a *Address) EachHeader(e *outbox.Event, f func(name, value string)) error {
	for i := range a.headers {
		h := &a.headers[i]
		var value strings.Builder
		for j := range h.parts {
			text := h.parts[j].Literal
			if h.parts[j].Source != "" {
				var err error
				if text, err = h.parts[j].Value(e); err != nil {
					return unaddressable("header "+h.name, err)
				}
			}
			if value.Len()+len(text) > receiver.MaxHeaderValue {
				return unaddressable("header "+h.name, fmt.Errorf("it is longer than %d bytes", receiver.MaxHeaderValue))
			}
			value.WriteString(text)
		}
		if !receiver.ValidValue(value.String()) {
			return unaddressable("header "+h.name, errors.New("it would hold control characters, or blanks at an end"))
		}
		f(h.name, value.String())
	}
	return nil
}

// The bytes beside letters and digits that stand for themselves: in a value, in a path and in a
// query as they are written.
const (
	valueKept = "-._~"
	pathKept  = valueKept + "!$&'()*+,;=:@[]/%"
	queryKept = pathKept + "?\"<>\\^`{|}#"
)

// appendValue appends a text so that it is one value wherever it stands in a path or a query.
func appendValue(dst []byte, text string) []byte { return appendKept(dst, text, valueKept) }

func appendKept(dst []byte, text, kept string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(text) {
		c := text[i]
		alphanumeric := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if alphanumeric || strings.IndexByte(kept, c) >= 0 {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		}
	}
	return dst
}

// Expressions returns how many bytes of URL, query and headers are texts with expressions.
func (e *Endpoint) Expressions() (size int) {
	count := func(text string) {
		if hasExpression(text) {
			size += len(text)
		}
	}
	count(e.URL)
	for _, text := range e.Query {
		count(text)
	}
	for _, text := range e.Headers {
		count(text)
	}
	return size
}

// ParseURL reads the URL of an endpoint: its expressions stand as x in the answer. Its errors do
// not repeat the URL.
func ParseURL(text string) (*url.URL, receiver.Place, error) {
	a := &Address{}
	if p := a.compileURL(text); p != nil {
		return nil, receiver.Place{}, fmt.Errorf("%s: %s", p.summary, p.detail)
	}
	return a.URL, a.Place, nil
}

// SameReceiver reports whether two URLs have the same scheme, host and port: what an endpoint has
// for the one is for the other too.
func SameReceiver(a, b string) bool {
	_, was, err := ParseURL(a)
	if err != nil {
		return false
	}
	_, is, err := ParseURL(b)
	return err == nil && was == is
}
