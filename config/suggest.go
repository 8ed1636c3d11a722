package config

import (
	"fmt"
	"strings"

	"github.com/agext/levenshtein"
)

// didYouMean gives " Did you mean …?" with the candidate that is most like given, or nothing if none is.
func didYouMean(given string, candidates []string) string {
	best, distance := "", 1+min(len(given)/3, 3)
	for _, c := range candidates {
		if d := levenshtein.Distance(strings.ToLower(given), c, nil); d <= distance && (best == "" || d < distance) {
			best, distance = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" Did you mean %q?", best)
}

// list gives words as "a", "b" or "c", with that conjunction.
func list(words []string, conjunction string) string {
	quoted := make([]string, 0, len(words))
	for _, w := range words {
		quoted = append(quoted, fmt.Sprintf("%q", w))
	}
	if len(quoted) < 2 {
		return strings.Join(quoted, "")
	}
	last := len(quoted) - 1
	return strings.Join(quoted[:last], ", ") + " " + conjunction + " " + quoted[last]
}
