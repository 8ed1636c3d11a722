package config

import (
	"bytes"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/tailpost/tailpost/config/diag"
)

// pieceSize is about how many bytes of a file are parsed at once. The parser holds the tokens of
// all that it is given, some 60 times the size of the text.
const pieceSize = 64 << 10

// byteOrderMark may stand at the beginning of a file, and nowhere else.
const byteOrderMark = "\uFEFF"

// parseBody parses a file, a long one in pieces. A problem in a piece may come from the cut, which
// can fall within a comment or a heredoc: the file is parsed in one go then, so that diagnostics
// are those of the whole. The body is nil if the file must not be parsed, see Source.Oversized.
func parseBody(src *diag.Source) (*hclsyntax.Body, Diagnostics) {
	body := &hclsyntax.Body{Attributes: make(hclsyntax.Attributes)}
	start := hcl.InitialPos
	for rest := src.Text(); len(rest) > 0; {
		size := endOfPiece(rest)
		piece, diags := parsePiece(src, rest[:size], start)
		// hclsyntax skips the mark where the text that it is given begins.
		marked := start.Byte > 0 && bytes.HasPrefix(rest, []byte(byteOrderMark))
		if marked || len(diags) > 0 || !merge(body, piece) {
			return parsePiece(src, src.Text(), hcl.InitialPos)
		}
		start.Byte += size
		start.Line += bytes.Count(rest[:size], []byte("\n"))
		rest = rest[size:]
	}
	return body, nil
}

// endOfPiece returns where a piece at the beginning of text ends: behind the first line after
// pieceSize that is only a closing brace, which is how a block of the top level usually ends.
func endOfPiece(text []byte) int {
	if len(text) <= pieceSize {
		return len(text)
	}
	end := []byte("\n}\n")
	at := bytes.Index(text[pieceSize:], end)
	if at < 0 {
		return len(text)
	}
	return pieceSize + at + len(end)
}

// parsePiece parses text, which stands at start in src.
func parsePiece(src *diag.Source, text []byte, start hcl.Pos) (*hclsyntax.Body, Diagnostics) {
	if diag.MayOversize(text) {
		// Diagnostics of the lexer come again from the parser.
		tokens, _ := hclsyntax.LexConfig(text, src.Name(), start)
		if oversized := src.Oversized(tokens); len(oversized) > 0 {
			return nil, oversized
		}
	}
	file, diags := hclsyntax.ParseConfig(text, src.Name(), start)
	body, _ := file.Body.(*hclsyntax.Body)
	return body, src.Adopt(diags)
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
