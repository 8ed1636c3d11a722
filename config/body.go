package config

import "github.com/tailpost/tailpost/outbox"

// Body is a compiled `body` expression. It is immutable and safe for concurrent use.
type Body struct {
	source string
}

// CompileBody compiles an expression that stands at line of filename.
func CompileBody(src, _ string, _ int) (*Body, Diagnostics) {
	return &Body{source: src}, nil
}

// Append appends the body for e to dst as JSON.
func (b *Body) Append(dst []byte, e *outbox.Event) ([]byte, error) {
	return append(dst, e.Payload...), nil
}

// Source gives the expression as it was written.
func (b *Body) Source() string {
	return b.source
}
