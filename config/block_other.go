//go:build !amd64

package config

// mark finds the bytes that are of interest in the blocks that text begins with, as many as found has room for.
func mark(text []byte, found []marks) { markPortably(text, found) }

// find finds two bytes in a block.
func find(block *[blockSize]byte, first, second byte) (firsts, seconds uint64) {
	return findPortably(block, first, second)
}
