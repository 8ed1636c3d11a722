package pace

import "time"

const (
	firstPage = 8
	mostPage  = 4096
	pageTime  = 40 * time.Millisecond
)

// Page sizes the pages in which something long is done, so that a page takes about 40 ms and
// whoever waits for what it holds waits no longer. The zero Page is the first one, of 8. It belongs
// to one goroutine.
type Page struct{ size int64 }

// Size returns how large the next page is to be.
func (p *Page) Size() int64 {
	if p.size == 0 {
		return firstPage
	}
	return p.size
}

// Took sizes the next page by how long the last one took: twice as large, half, or the same, from 1
// to 4096.
func (p *Page) Took(d time.Duration) {
	switch size := p.Size(); {
	case d < pageTime/2:
		p.size = min(2*size, mostPage)
	case d > 2*pageTime:
		p.size = max(size/2, 1)
	}
}
