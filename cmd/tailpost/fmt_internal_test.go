package main

import (
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// smallDisk is a file on a disk that has room for so many bytes.
type smallDisk struct {
	text []byte
	room int
}

func (d *smallDisk) WriteAt(p []byte, off int64) (int, error) {
	n := min(len(p), max(d.room-int(off), 0))
	if end := int(off) + n; end > len(d.text) {
		d.text = append(d.text, make([]byte, end-len(d.text))...)
	}
	copy(d.text[off:], p[:n])
	if n < len(p) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

func (d *smallDisk) Truncate(size int64) error {
	d.text = d.text[:size]
	return nil
}

// A file is rewritten whole, or is what it was.
func TestAFullDiskLeavesTheFileAsItWas(t *testing.T) {
	t.Parallel()
	was := strings.Repeat("a", 8)
	for _, size := range []int{1, 7, 8, 9, 12, 13, 20} {
		is := strings.Repeat("b", size)
		disk := &smallDisk{text: []byte(was), room: 12}
		err := rewrite(disk, []byte(was), []byte(is))
		if size <= disk.room {
			require.NoError(t, err)
			require.Equal(t, is, string(disk.text))
			continue
		}
		require.ErrorIs(t, err, syscall.ENOSPC)
		require.Equal(t, was, string(disk.text))
	}
}
