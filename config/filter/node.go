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
	v.missed = v.kind == kindMissing
	return constant(n.form, v)
}
