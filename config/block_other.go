//go:build !amd64

package config

// mark finds the bytes of a block that are of interest.
func mark(block *[blockSize]byte) marks { return markPortably(block) }

// find finds two bytes in a block.
func find(block *[blockSize]byte, first, second byte) (firsts, seconds uint64) {
	return findPortably(block, first, second)
}
