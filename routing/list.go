package routing

// node is the place of an element in an intrusive list. An element is in one list at a time.
type node[T any] struct {
	prev, next T
}

type linked[T any] interface {
	comparable
	links() *node[T]
}

// list is an intrusive doubly linked list; its zero value is empty. No operation allocates, all but iterating are O(1).
type list[T linked[T]] struct {
	head, tail T
	size       int
}

func (l *list[T]) pushBack(x T) {
	var none T
	x.links().prev, x.links().next = l.tail, none
	if l.tail == none {
		l.head = x
	} else {
		l.tail.links().next = x
	}
	l.tail = x
	l.size++
}

func (l *list[T]) pushFront(x T) {
	var none T
	x.links().prev, x.links().next = none, l.head
	if l.head == none {
		l.tail = x
	} else {
		l.head.links().prev = x
	}
	l.head = x
	l.size++
}

// remove takes x, which must be in the list, out of it.
func (l *list[T]) remove(x T) {
	var none T
	n := x.links()
	if n.prev == none {
		l.head = n.next
	} else {
		n.prev.links().next = n.next
	}
	if n.next == none {
		l.tail = n.prev
	} else {
		n.next.links().prev = n.prev
	}
	n.prev, n.next = none, none
	l.size--
}
