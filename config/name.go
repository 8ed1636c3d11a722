package config

import (
	"errors"
	"strings"
	"unicode"
)

// Unseen reports whether a character shows nothing, or changes the direction of what is around it,
// so that a text with it can look like another text. Ends of lines and tabs are none of them.
func Unseen(r rune) bool {
	switch r {
	case '\n', '\r', '\t':
		return false
	case '\u2028', '\u2029', '\u115f', '\u1160', '\u3164': // separators and fillers
		return true
	}
	return unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Cf, r) && !unicode.Is(unicode.Prepended_Concatenation_Mark, r)
}

// CheckName refuses a name for people that could look like another one. Its error says what to do.
func CheckName(text string) error {
	if strings.ContainsFunc(text, func(r rune) bool { return Unseen(r) || r == '\n' || r == '\r' || r == '\t' }) {
		return errors.New("leave out characters that do not show, such as control characters, and those that turn the direction of writing")
	}
	return nil
}
