package config

import "golang.org/x/sys/cpu"

// mark finds the bytes of a block that are of interest.
func mark(block *[blockSize]byte) (m marks) {
	if !cpu.X86.HasAVX2 {
		return markPortably(block)
	}
	m.quotes, m.backslashes, m.opens, m.closes = markAVX2(block)
	return m
}

// find finds two bytes in a block.
func find(block *[blockSize]byte, first, second byte) (firsts, seconds uint64) {
	if !cpu.X86.HasAVX2 {
		return findPortably(block, first, second)
	}
	return findAVX2(block, first, second)
}

// markAVX2 is mark in block_amd64.s.
//
//go:noescape
func markAVX2(block *[blockSize]byte) (quotes, backslashes, opens, closes uint64)

// findAVX2 is find in block_amd64.s.
//
//go:noescape
func findAVX2(block *[blockSize]byte, first, second byte) (firsts, seconds uint64)
