package filter

import "github.com/tailpost/tailpost/outbox"

// constant makes a node of a value that is known now.
func constant(f form, v value) node {
	return node{form: f, constant: true, run: func(*outbox.Event) value { return v }}
}

// folded computes a node at once if all it is made of is constant.
func folded(n node, parts ...node) node {
	for _, p := range parts {
		if !p.constant {
			return n
		}
	}
	v := n.run(&outbox.Event{})
	if v.kind != kindMissing {
		v.lack = lackNothing // nothing of an event was
	}
	return constant(n.form, v)
}

// question returns the node of a test, a constant if all its parts are. No parts: the caller folds
// it.
func question(failed bool, t test, parts ...node) node {
	n := node{form: formBool, failed: failed, test: t, run: func(e *outbox.Event) value { return t(e).value() }}
	if len(parts) == 0 {
		return n
	}
	return folded(n, parts...)
}

// asTest returns the test that a node is, or that of its values.
func (n node) asTest() test {
	if n.test != nil {
		return n.test
	}
	run := n.run
	return func(e *outbox.Event) truth { return run(e).truth() }
}
