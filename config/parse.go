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

// parseBody parses a file, a long one in pieces. Where a piece has a problem it may be of the cut,
// within a comment or a heredoc for example: the file is parsed as one then, and the diagnostics
// are those of the whole. The body is nil where there is nothing to read.
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
// pieceSize that is a closing brace alone, as that of a block at the top level is.
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

// merge adds what a piece has to the body of its file, and reports whether it can: not an attribute
// that two pieces have.
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
