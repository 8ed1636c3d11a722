package config

import "strconv"

// Statuses is a set of HTTP statuses as they are written: "409" is one, "4xx" is all of a class.
type Statuses []string

// Answer says how much of an answer with a status that means success has to come for the event to
// count as delivered.
type Answer string

// What has to come.
const (
	AnswerStatus   Answer = "status"   // its head; what is wrong with the rest is noted with the attempt
	AnswerComplete Answer = "complete" // all of it, in time and well framed
)

// Meaning is what the status of an answer means for a delivery.
type Meaning int

// The meanings.
const (
	MeansFailure Meaning = iota // it is attempted again
	MeansSuccess                // it is delivered
	MeansRefusal                // the receiver will never take it: it is dead at once
)

// Means returns what a status means for a delivery. A status that is written out counts before its
// class. Where Success is empty, 200 to 299 are.
func (r *Retry) Means(status int) Meaning {
	succeeds, classSucceeds := r.Success.has(status)
	refuses, classRefuses := r.Permanent.has(status)
	switch {
	case succeeds:
		return MeansSuccess
	case refuses:
		return MeansRefusal
	case classSucceeds, len(r.Success) == 0 && status >= 200 && status <= 299:
		return MeansSuccess
	case classRefuses:
		return MeansRefusal
	}
	return MeansFailure
}

// has reports whether a status is written out in s, and whether its class is.
func (s Statuses) has(status int) (itself, class bool) {
	if len(s) == 0 {
		return false, false
	}
	text := strconv.Itoa(status)
	for _, one := range s {
		itself = itself || one == text
		class = class || len(one) == 3 && one[1:] == "xx" && one[0] == text[0]
	}
	return itself, class
}

// validStatus reports whether text is a status that an answer may have, or a class of them.
func validStatus(text string) bool {
	if len(text) == 3 && text[1:] == "xx" {
		return text[0] >= '2' && text[0] <= '5'
	}
	n, err := strconv.Atoi(text)
	return err == nil && n >= 200 && n <= 599 && len(text) == 3
}
