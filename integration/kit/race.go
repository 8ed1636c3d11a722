//go:build race

package kit

// raceEnabled reports whether the tests run with the race detector; then the binary has it too.
const raceEnabled = true
