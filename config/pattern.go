package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Pattern is what a subscription's events entry means: dot-separated segments, of which "*" stands
// for any one, and a last "**" for one or more.
type Pattern struct {
	// Segments are the segments in order, "*" among them, without a last "**".
	Segments []string
	// Rest says that the pattern ended in "**": one or more further segments follow. "order.**"
	// takes order.paid and order.item.added, but not order itself.
	Rest bool
}

// maxPattern is how long a pattern may be.
const maxPattern = 255

// ParsePattern reads a pattern. Its errors say what to do.
func ParsePattern(s string) (Pattern, error) {
	if s == "" {
		return Pattern{}, errors.New(`write an event type such as "order.created"; leave events out to take all`)
	}
	if len(s) > maxPattern {
		return Pattern{}, fmt.Errorf("write at most %d characters", maxPattern)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return Pattern{}, errors.New("write it without white space")
	}
	segments := strings.Split(s, ".")
	last := len(segments) - 1
	for i, segment := range segments {
		switch {
		case segment == "":
			return Pattern{}, errors.New("write something between the dots")
		case segment == "**" && i < last:
			return Pattern{}, errors.New(`write "**" as the last segment only`)
		case segment != "*" && segment != "**" && strings.Contains(segment, "*"):
			return Pattern{}, errors.New(`write "*" for a whole segment, as in "order.*"; a part of one cannot be left open`)
		}
	}
	if segments[last] == "**" {
		return Pattern{Segments: segments[:last], Rest: true}, nil
	}
	return Pattern{Segments: segments}, nil
}

// Exact reports whether the pattern takes one event type only.
func (p Pattern) Exact() bool {
	return !p.Rest && !slices.Contains(p.Segments, "*")
}

// Match reports whether the pattern takes an event type.
func (p Pattern) Match(eventType string) bool {
	rest, more := eventType, true
	for _, want := range p.Segments {
		if !more {
			return false
		}
		var segment string
		segment, rest, more = strings.Cut(rest, ".")
		if want != "*" && want != segment {
			return false
		}
	}
	return more == p.Rest
}
