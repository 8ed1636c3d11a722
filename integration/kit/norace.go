//go:build !race

package kit

// raceEnabled says that the tests run with the race detector; then the binary does too.
const raceEnabled = false
