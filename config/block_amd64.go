package config

import "golang.org/x/sys/cpu"

// walk walks through the blocks of text, those from pos on, to the one where next stops. It gives how many that were; those of
// a long string end the walk too, and what it found is then nothing.
func (b *blocks) walk(text []byte) (walked int) {
	if !cpu.X86.HasAVX2 || !cpu.X86.HasPCLMULQDQ || !cpu.X86.HasPOPCNT {
		return b.walkPortably(text)
	}
	_ = text[blockSize-1] // what follows checks nothing
	return walkAVX2(b, &text[0], len(text)/blockSize)
}

// walkAVX2 is walk through n blocks, 1 at least, in block_amd64.s.
//
//go:noescape
func walkAVX2(b *blocks, text *byte, n int) (walked int)
