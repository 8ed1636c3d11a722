package dispatch

import "time"

// unplanned is the place of what is on no agenda.
const unplanned = -1

// agendaItem is something that is due at a time.
type agendaItem interface {
	due() time.Time
	moved(to int) // to another place on the agenda, or to none: unplanned
}

// agenda is a heap, that which is due first at its top.
type agenda[T agendaItem] []T

func (a *agenda[T]) Len() int           { return len(*a) }
func (a *agenda[T]) Less(i, j int) bool { return (*a)[i].due().Before((*a)[j].due()) }
func (a *agenda[T]) Swap(i, j int) {
	s := *a
	s[i], s[j] = s[j], s[i]
	s[i].moved(i)
	s[j].moved(j)
}

// Push implements heap.Interface.
func (a *agenda[T]) Push(x any) {
	item, ok := x.(T)
	if !ok {
		panic("dispatch: something else is put on an agenda")
	}
	item.moved(len(*a))
	*a = append(*a, item)
}

// Pop implements heap.Interface.
func (a *agenda[T]) Pop() any {
	last := len(*a) - 1
	item := (*a)[last]
	var none T
	(*a)[last] = none
	*a = (*a)[:last]
	item.moved(unplanned)
	return item
}
