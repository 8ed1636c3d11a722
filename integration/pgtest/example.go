package pgtest

import (
	"context"
	"fmt"
	"slices"
)

// exampleTB stands in for the testing.TB that an example has not. What would fail a test panics.
type exampleTB struct {
	name     string
	ctx      context.Context //nolint:containedctx // TB has it
	cleanups []func()
}

func (e *exampleTB) Helper()                           {}
func (e *exampleTB) Name() string                      { return e.name }
func (e *exampleTB) Context() context.Context          { return e.ctx }
func (e *exampleTB) Cleanup(f func())                  { e.cleanups = append(e.cleanups, f) }
func (e *exampleTB) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (e *exampleTB) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// ExampleTB returns what an example may use in place of a testing.TB, and the function that it has
// to call at its end.
func ExampleTB(ctx context.Context, name string) (e TB, cleanup func()) {
	tb := &exampleTB{name: "Example" + name, ctx: ctx}
	return tb, func() {
		for _, f := range slices.Backward(tb.cleanups) {
			f()
		}
	}
}
