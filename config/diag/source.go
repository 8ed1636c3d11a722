package diag

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Source is the text of a file, or of one expression, that diagnostics quote.
type Source struct {
	name   string
	text   []byte
	masks  []span // what no snippet may show, in order
	masked bool   // masks is known
}

// Text returns all of it.
func (s *Source) Text() []byte { return s.text }

// Name returns the file's name.
func (s *Source) Name() string { return s.name }

// span is a range of bytes.
type span struct{ from, to int }

// NewSource makes the Source of a file, or of an expression of it.
func NewSource(name string, text []byte) *Source { return &Source{name: name, text: text} }

// tokens returns the tokens of a file. They take some 60 times its size in memory, so nothing keeps
// them.
func (s *Source) tokens() hclsyntax.Tokens {
	// Diagnostics of the lexer come again from the parser.
	tokens, _ := hclsyntax.LexConfig(s.text, s.name, hcl.InitialPos)
	return tokens
}

// Redacted is what stands in a snippet, and in every printed form of a configuration, where
// something secret was.
const Redacted = "[redacted]"

// mask finds what no snippet may show by the tokens of text, so that it works on text that does not
// parse.
func (s *Source) mask() []span {
	if !s.masked {
		s.masked = true
		s.masks = append(secretLiterals(s.tokens()), secretShapes(s.text)...)
		slices.SortFunc(s.masks, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	}
	return s.masks
}

// maxNumber is how long a number literal may be, and maxLiteralExponent how large its exponent. The
// HCL library would spend seconds on 1e9999999.
const (
	maxNumber          = 128
	maxLiteralExponent = 1000
)

// Oversized reports number literals that would be too much work. What has one must not be parsed.
func (s *Source) Oversized(tokens hclsyntax.Tokens) Diagnostics {
	var diags Diagnostics
	for _, t := range tokens {
		if oversized(t) {
			diags = append(diags, s.Diagnose(SeverityError, t.Range, "Unsupported number",
				fmt.Sprintf("Write at most %d characters, with an exponent of at most %d.", maxNumber, maxLiteralExponent)))
		}
	}
	return diags
}

// HasOversized reports whether Oversized would report any of the tokens.
func HasOversized(tokens hclsyntax.Tokens) bool { return slices.ContainsFunc(tokens, oversized) }

func oversized(t hclsyntax.Token) bool {
	if t.Type != hclsyntax.TokenNumberLit {
		return false
	}
	exponent := 0
	if e := bytes.IndexAny(t.Bytes, "eE"); e >= 0 {
		var err error
		if exponent, err = strconv.Atoi(string(t.Bytes[e+1:])); errors.Is(err, strconv.ErrRange) {
			exponent = maxLiteralExponent + 1
		} // what is no number the parser reports
	}
	return len(t.Bytes) > maxNumber || exponent > maxLiteralExponent || exponent < -maxLiteralExponent
}

// MayOversize reports whether text may hold a number that Oversized reports, at a fraction of the
// cost of its tokens.
func MayOversize(text []byte) bool {
	run := 0
	for _, c := range text {
		switch {
		case '0' <= c && c <= '9' || c == '.':
			if run++; run > maxNumber {
				return true
			}
		case run > 0 && (c == 'e' || c == 'E'):
			return true
		default:
			run = 0
		}
	}
	return false
}

// secretLiterals finds the string literals in the values of attributes that hold secrets.
func secretLiterals(tokens hclsyntax.Tokens) []span {
	var found []span
	for i := 0; i+1 < len(tokens); i++ {
		if tokens[i].Type != hclsyntax.TokenIdent || tokens[i+1].Type != hclsyntax.TokenEqual {
			continue
		}
		switch string(tokens[i].Bytes) {
		case "secret", "secrets", "keys", "password", "token", "credentials", "bearer", "client_secret", "replication_url", "proxy", "headers":
			found = append(found, literals(tokens[i+2:])...)
		case "url":
			found = append(found, connectionStrings(tokens[i+2:])...)
		}
	}
	return found
}

// literals returns the string literals of the value that tokens begin with. The first arguments of
// functions are names of variables and files, and names of an object's attributes are just that:
// they stay.
func literals(tokens hclsyntax.Tokens) []span {
	var found []span
	brackets, calls, first := 0, 0, false
	for i, t := range tokens {
		switch t.Type { //nolint:exhaustive // the other tokens do not matter here
		case hclsyntax.TokenOParen:
			calls++
			first = true
		case hclsyntax.TokenComma:
			first = false
		case hclsyntax.TokenCParen:
			calls--
		case hclsyntax.TokenOBrack, hclsyntax.TokenOBrace:
			brackets++
		case hclsyntax.TokenCBrack, hclsyntax.TokenCBrace:
			brackets--
		case hclsyntax.TokenNewline:
			if brackets <= 0 {
				return found
			}
		case hclsyntax.TokenQuotedLit, hclsyntax.TokenStringLit:
			if (calls <= 0 || !first) && !isName(tokens[i+1:]) {
				found = append(found, span{t.Range.Start.Byte, t.Range.End.Byte})
			}
		}
	}
	return found
}

// isName reports whether the literal before rest names an attribute of an object.
func isName(rest hclsyntax.Tokens) bool {
	return len(rest) > 1 && rest[0].Type == hclsyntax.TokenCQuote &&
		(rest[1].Type == hclsyntax.TokenEqual || rest[1].Type == hclsyntax.TokenColon)
}

// connectionStrings returns those literals of a url attribute that are keyword strings such as
// "host=db password=…". What is secret in a URL is found by its shape.
func connectionStrings(tokens hclsyntax.Tokens) []span {
	var found []span
	for _, s := range literals(tokens) {
		// The tokens are those of the whole rest of the file.
		i := slices.IndexFunc(tokens, func(t hclsyntax.Token) bool { return t.Range.Start.Byte >= s.from })
		if literal := tokens[i].Bytes; bytes.Contains(literal, []byte("=")) && !bytes.Contains(literal, []byte("://")) {
			found = append(found, s)
		}
	}
	return found
}

// secretShapes finds what looks like a secret wherever it stands.
func secretShapes(text []byte) []span {
	shapes := []*regexp.Regexp{
		regexp.MustCompile(`wh(?:sec|sk)_[^\s"]+`),
		regexp.MustCompile(`://([^\s"/?#]*)@`),
		regexp.MustCompile(`\bhttps?://[^\s"/?#]*([/?#][^\s"]+)`), // paths and queries of URLs may hold tokens
		regexp.MustCompile(`(?i)\bpassword=([^\s"&]+)`),
	}
	var found []span
	for _, shape := range shapes {
		for _, m := range shape.FindAllSubmatchIndex(text, -1) {
			// The group if there is one, else all of it.
			found = append(found, span{m[len(m)-2], m[len(m)-1]})
		}
	}
	return found
}

// snippet returns the line that holds the byte at offset, with [redacted] for what is secret, and
// how many characters of it stand before the byte; -1 where something of it is redacted.
func (s *Source) snippet(offset int) (line string, column int) {
	offset = min(max(offset, 0), len(s.text))
	from := bytes.LastIndexByte(s.text[:offset], '\n') + 1
	to := len(s.text)
	if i := bytes.IndexByte(s.text[offset:], '\n'); i >= 0 {
		to = offset + i
	}
	column = utf8.RuneCount(s.text[from:offset])
	var b strings.Builder
	done := from
	for _, m := range s.mask() {
		if m.to <= done || m.from >= to {
			continue
		}
		column = -1
		b.Write(s.text[done:max(m.from, done)])
		b.WriteString(Redacted)
		done = min(m.to, to)
	}
	b.Write(s.text[done:to])
	return strings.ToValidUTF8(strings.TrimRight(b.String(), "\r"), "\uFFFD"), column
}

// Diagnose makes the diagnostic of a place in the source.
func (s *Source) Diagnose(severity Severity, at hcl.Range, summary, detail string) Diagnostic {
	d := Diagnostic{
		Severity: severity, File: s.name, Line: at.Start.Line, Column: at.Start.Column,
		Summary: summary, Detail: detail,
	}
	line, column := s.snippet(at.Start.Byte)
	d.Snippet = line
	if column >= 0 && at.End.Line == at.Start.Line {
		d.mark = span{column, column + max(at.End.Column-at.Start.Column, 1)}
	} else if column >= 0 {
		d.mark = span{column, max(utf8.RuneCountInString(line), column+1)}
	}
	return d
}

// Adopt turns the diagnostics of the HCL library into ours. It never adopts values, only their
// words.
func (s *Source) Adopt(diags hcl.Diagnostics) Diagnostics {
	var adopted Diagnostics
	for _, d := range diags {
		severity := SeverityError
		if d.Severity == hcl.DiagWarning {
			severity = SeverityWarning
		}
		at := hcl.Range{Start: hcl.InitialPos, End: hcl.InitialPos}
		if d.Subject != nil {
			at = *d.Subject
		}
		adopted = append(adopted, s.Diagnose(severity, at, d.Summary, d.Detail))
	}
	return adopted
}
