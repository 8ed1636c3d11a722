package filter

import (
	"cmp"

	"github.com/tailpost/tailpost/outbox"
)

// truth is what a test answers. There are three, as in SQL: true, false and missing. Any of them
// may have met a missing value on the way.
type truth uint8

const (
	falseTruth truth = 1 << iota
	trueTruth
	missedOnTheWay

	missingTruth = missedOnTheWay // neither true nor false
)

// test answers a question about an event.
type test func(e *outbox.Event) truth

// truthOf returns the truth of a flag. Missed says whether a missing value was met on the way.
func truthOf(flag, missed bool) truth {
	t := falseTruth
	if flag {
		t = trueTruth
	}
	if missed {
		t |= missedOnTheWay
	}
	return t
}

func (t truth) holds() bool  { return t&trueTruth != 0 }
func (t truth) fails() bool  { return t&falseTruth != 0 }
func (t truth) missed() bool { return t&missedOnTheWay != 0 }

// value returns the truth as a value.
func (t truth) value() value {
	if t&(trueTruth|falseTruth) == 0 {
		return missing()
	}
	return boolean(t.holds()).note(t.missed())
}

// truth returns what v says if it is true or false. All else is missing.
func (v value) truth() truth {
	if v.kind != kindBool {
		return missingTruth
	}
	return truthOf(v.flag, v.missed())
}

// not turns a truth around. Missing stays missing.
func not(t truth) truth {
	if t&(trueTruth|falseTruth) == 0 {
		return missingTruth
	}
	return t ^ (trueTruth | falseTruth)
}

// and is the conjunction: false if either is, whatever the other.
func and(left, right test) test {
	return func(e *outbox.Event) truth {
		l := left(e)
		if l.fails() {
			return l
		}
		r := right(e)
		switch missed := l.missed() || r.missed(); {
		case r.fails():
			return truthOf(false, missed)
		case l.holds() && r.holds():
			return truthOf(true, missed)
		default:
			return missingTruth
		}
	}
}

// or is the disjunction: true if either is, whatever the other.
func or(left, right test) test {
	return func(e *outbox.Event) truth {
		l := left(e)
		if l.holds() {
			return l
		}
		r := right(e)
		switch missed := l.missed() || r.missed(); {
		case r.holds():
			return truthOf(true, missed)
		case l.fails() && r.fails():
			return truthOf(false, missed)
		default:
			return missingTruth
		}
	}
}

// order is one of the operators <, <=, > and >=: the sign that makes it true, and whether equality
// does.
type order struct {
	sign    int
	orEqual bool
}

// answer orders a and b.
func (o order) answer(a, b *value) truth {
	c, ok := compare(a, b)
	if !ok {
		return missingTruth
	}
	return truthOf(cmp.Compare(c, 0) == o.sign || (o.orEqual && c == 0), a.missed() || b.missed())
}

// test compares two nodes. A constant at the right, where most people write it, is computed once.
// This and equal are written out: what is called through a variable has its values allocated.
func (o order) test(left, right node) test {
	if right.constant {
		r := right.run(&outbox.Event{})
		return func(e *outbox.Event) truth {
			l := left.run(e)
			return o.answer(&l, &r)
		}
	}
	return func(e *outbox.Event) truth {
		l, r := left.run(e), right.run(e)
		return o.answer(&l, &r)
	}
}

// equal compares two nodes, as order.test does.
func equal(left, right node) test {
	if right.constant {
		r := right.run(&outbox.Event{})
		return func(e *outbox.Event) truth {
			l := left.run(e)
			return equals(&l, &r)
		}
	}
	return func(e *outbox.Event) truth {
		l, r := left.run(e), right.run(e)
		return equals(&l, &r)
	}
}
