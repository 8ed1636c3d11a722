package config

import (
	"bytes"
	"runtime"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"golang.org/x/sync/errgroup"

	"github.com/tailpost/tailpost/config/diag"
)

// pieceSize is about how many bytes of a file are parsed at once. The parser holds the tokens of
// all that it is given, some 60 times the size of the text.
const pieceSize = 64 << 10

// byteOrderMark may stand at the beginning of a file, and nowhere else.
const byteOrderMark = "\uFEFF"

// parsers is how many pieces of a file are parsed at the same time, if there are processors for it.
const parsers = 4

// piece is a part of a file, with whole blocks in it.
type piece struct {
	text  []byte
	start hcl.Pos
	body  *hclsyntax.Body // nil: it does not parse by itself
}

// parseBody parses a file, a long one in pieces. A problem in a piece may come from the cut, which
// can fall within a comment or a heredoc: the file is parsed in one go then, so that diagnostics
// are those of the whole. The body is nil if the file must not be parsed, see Source.Oversized.
func parseBody(src *diag.Source) (*hclsyntax.Body, Diagnostics) {
	pieces := cut(src.Text())
	var group errgroup.Group
	group.SetLimit(min(parsers, runtime.GOMAXPROCS(0)))
	for i := range pieces {
		group.Go(func() error {
			pieces[i].parse(src.Name())
			return nil
		})
	}
	_ = group.Wait() // nothing fails: a piece without a body says so itself
	body := &hclsyntax.Body{Attributes: make(hclsyntax.Attributes)}
	for i := range pieces {
		if pieces[i].body == nil || !merge(body, pieces[i].body) {
			return parseWhole(src)
		}
	}
	return body, nil
}

// cut divides a file.
func cut(text []byte) (pieces []piece) {
	start := hcl.InitialPos
	for len(text) > 0 {
		size := endOfPiece(text)
		pieces = append(pieces, piece{text: text[:size], start: start})
		start.Byte += size
		start.Line += bytes.Count(text[:size], []byte("\n"))
		text = text[size:]
	}
	return pieces
}

// parse parses a piece of the file with that name.
func (p *piece) parse(name string) {
	if p.start.Byte > 0 && bytes.HasPrefix(p.text, []byte(byteOrderMark)) {
		return // hclsyntax skips the mark where the text that it is given begins
	}
	if diag.HasOversized(numbers(p.text, name, p.start)) {
		return
	}
	if file, diags := hclsyntax.ParseConfig(p.text, name, p.start); len(diags) == 0 {
		p.body, _ = file.Body.(*hclsyntax.Body)
	}
}

// endOfPiece returns where a piece at the beginning of text ends: behind the first line after
// pieceSize that is only a closing brace, which is how a block of the top level usually ends.
func endOfPiece(text []byte) int {
	for at := pieceSize; at < len(text); {
		brace := bytes.Index(text[at:], []byte("\n}"))
		if brace < 0 {
			break
		}
		at += brace + len("\n}")
		if rest := bytes.TrimPrefix(text[at:], []byte("\r")); bytes.HasPrefix(rest, []byte("\n")) {
			return len(text) - len(rest) + 1
		}
	}
	return len(text)
}

// parseWhole parses a file in one go.
func parseWhole(src *diag.Source) (*hclsyntax.Body, Diagnostics) {
	if oversized := src.Oversized(numbers(src.Text(), src.Name(), hcl.InitialPos)); len(oversized) > 0 {
		return nil, oversized
	}
	file, diags := hclsyntax.ParseConfig(src.Text(), src.Name(), hcl.InitialPos)
	body, _ := file.Body.(*hclsyntax.Body)
	return body, src.Adopt(diags)
}

// numbers returns the tokens of text if a number among them may be too long to parse.
func numbers(text []byte, name string, start hcl.Pos) hclsyntax.Tokens {
	if !diag.MayOversize(text) {
		return nil
	}
	// Diagnostics of the lexer come again from the parser.
	tokens, _ := hclsyntax.LexConfig(text, name, start)
	return tokens
}

// merge adds a piece to the body of its file. It reports false where both have the same attribute,
// which only the parser can report at its place.
func merge(body, piece *hclsyntax.Body) bool {
	for name, attribute := range piece.Attributes {
		if body.Attributes[name] != nil {
			return false
		}
		body.Attributes[name] = attribute
	}
	body.Blocks = append(body.Blocks, piece.Blocks...)
	return true
}
