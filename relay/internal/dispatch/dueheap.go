package dispatch

import "time"

// unplanned is the index of an item that is in no heap.
const unplanned = -1

// dueItem is something that is due at a time.
type dueItem interface {
	due() time.Time
	moved(to int) // to another index of the heap, or out of it: unplanned
}

// dueHeap is a heap.Interface with the item that is due first at its top.
type dueHeap[T dueItem] []T

func (h *dueHeap[T]) Len() int           { return len(*h) }
func (h *dueHeap[T]) Less(i, j int) bool { return (*h)[i].due().Before((*h)[j].due()) }
func (h *dueHeap[T]) Swap(i, j int) {
	s := *h
	s[i], s[j] = s[j], s[i]
	s[i].moved(i)
	s[j].moved(j)
}

// Push implements heap.Interface.
func (h *dueHeap[T]) Push(x any) {
	item, ok := x.(T)
	if !ok {
		panic("dispatch: an item of another type is pushed onto a heap")
	}
	item.moved(len(*h))
	*h = append(*h, item)
}

// Pop implements heap.Interface.
func (h *dueHeap[T]) Pop() any {
	last := len(*h) - 1
	item := (*h)[last]
	var none T
	(*h)[last] = none
	*h = (*h)[:last]
	item.moved(unplanned)
	return item
}
