//go:build !amd64

package config

// walk walks through the blocks of text, those from pos on, to the one where next stops. It gives how many that were; those of
// a long string end the walk too, and what it found is then nothing.
func (b *blocks) walk(text []byte) (walked int) { return b.walkPortably(text) }
