package filter

import (
	"errors"
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/tailpost/tailpost/config/diag"
	"github.com/tailpost/tailpost/outbox"
)

// An expression may be a customer's. These bounds keep what it costs to compile and to run within
// what an event may cost, and are far from what anybody writes by hand.
const (
	MaxSize     = 16 << 10 // bytes of an expression
	maxNesting  = 64       // brackets, signs and conditions within each other
	maxSteps    = 64       // of a path
	maxProblems = 10       // reported of one expression
	maxPattern  = 2000     // instructions of all regular expressions of an expression
	maxMatched  = 64 << 10 // bytes of a text that a regular expression is tried on
	maxText     = 1 << 20  // bytes of a text that is put together
	bodyGrowth  = 2        // how many times its payload a body may hold
	bodyRoom    = 1 << 20  // bytes that it may hold beside
)

// ErrTooLarge is a body that would be far larger than the event that it is made of.
var ErrTooLarge = errors.New("body is too large")

// MostOf returns how long a body for the event may be.
func MostOf(e *outbox.Event) int {
	return bodyRoom + bodyGrowth*len(e.Payload)
}

// tooMuch reports an expression that is too long or too deep, before it is parsed.
func tooMuch(s *diag.Source, at hcl.Range, text string) diag.Diagnostics {
	if len(text) > MaxSize {
		return diag.Diagnostics{s.Diagnose(diag.SeverityError, at, "Expression too long", fmt.Sprintf("Write at most %d characters.", MaxSize))}
	}
	// Diagnostics of the lexer come again from the parser.
	tokens, _ := hclsyntax.LexExpression([]byte(text), s.Name(), at.Start)
	if nesting(tokens) > maxNesting {
		return diag.Diagnostics{s.Diagnose(diag.SeverityError, at, "Expression too deep",
			fmt.Sprintf("Put at most %d brackets, signs and conditions within each other.", maxNesting))}
	}
	return nil
}

// nesting returns how deep an expression is at most: how many brackets are open at once, with the
// signs in front of a value and the conditions of the whole.
func nesting(tokens hclsyntax.Tokens) int {
	deepest, open, signs, conditions := 0, 0, 0, 0
	var opened []int // what each open bracket counts: itself, and the signs in front of it
	for _, t := range tokens {
		switch t.Type { //nolint:exhaustive // the other tokens end a run of signs
		case hclsyntax.TokenMinus, hclsyntax.TokenBang:
			signs++
		case hclsyntax.TokenOParen, hclsyntax.TokenOBrack, hclsyntax.TokenOBrace, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			opened = append(opened, 1+signs)
			open += 1 + signs
			signs = 0
		case hclsyntax.TokenCParen, hclsyntax.TokenCBrack, hclsyntax.TokenCBrace, hclsyntax.TokenTemplateSeqEnd:
			if last := len(opened) - 1; last >= 0 {
				open -= opened[last]
				opened = opened[:last]
			}
		case hclsyntax.TokenQuestion:
			conditions++
			signs = 0
		default:
			signs = 0
		}
		deepest = max(deepest, open+signs+conditions)
	}
	return deepest
}
