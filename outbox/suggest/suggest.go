package suggest

import (
	"fmt"
	"strings"
)

// Closest returns the candidate that is most like name, whatever their case, or nothing where none
// is near. Of two that are as near the first is taken.
func Closest(name string, candidates []string) string {
	best, distance := "", 2+min(len(name)/3, 3)
	for _, c := range candidates {
		if d := editDistance(strings.ToLower(name), strings.ToLower(c)); d < distance {
			best, distance = c, d
		}
	}
	return best
}

// DidYouMean returns the sentence ` Did you mean "…"?` with its blank in front, or nothing where no
// candidate is near.
func DidYouMean(name string, candidates []string) string {
	best := Closest(name, candidates)
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" Did you mean %q?", best)
}

// editDistance counts the insertions, deletions and substitutions between a and b (Levenshtein), by
// bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
