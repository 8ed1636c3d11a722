package config

import "golang.org/x/sys/cpu"

// mark finds the bytes that are of interest in the blocks that text begins with, as many as found has room for.
func mark(text []byte, found []marks) {
	if !cpu.X86.HasAVX2 {
		markPortably(text, found)
		return
	}
	_ = text[len(found)*blockSize-1] // what follows checks nothing
	markAVX2(&text[0], &found[0], len(found))
}

// find finds two bytes in a block.
func find(block *[blockSize]byte, first, second byte) (firsts, seconds uint64) {
	if !cpu.X86.HasAVX2 {
		return findPortably(block, first, second)
	}
	return findAVX2(block, first, second)
}

// markAVX2 is mark of n blocks, 1 at least, in block_amd64.s.
//
//go:noescape
func markAVX2(text *byte, found *marks, n int)

// findAVX2 is find in block_amd64.s.
//
//go:noescape
func findAVX2(block *[blockSize]byte, first, second byte) (firsts, seconds uint64)
