package main

import (
	"fmt"
	"time"
)

// progressSpan is how far back the rate of work is looked at: long enough to be calm, and short
// enough to follow what changes.
const progressSpan = 30 * time.Second

// progress says how far long work is, at which rate it goes, and what is left. The zero value is
// ready to use.
type progress struct {
	now  func() time.Time // nil: time.Now
	seen []progressPoint
}

type progressPoint struct {
	at   time.Time
	done int64
}

// say notes how much is done by now, and returns that in words. total is nil where nobody knows it.
func (p *progress) say(verb string, done int64, total *int64) string {
	now := time.Now
	if p.now != nil {
		now = p.now
	}
	p.seen = append(p.seen, progressPoint{now(), done})
	for len(p.seen) > 2 && p.seen[len(p.seen)-1].at.Sub(p.seen[1].at) >= progressSpan {
		p.seen = p.seen[1:]
	}
	first, last := p.seen[0], p.seen[len(p.seen)-1]
	text := fmt.Sprintf("%d %s", done, verb)
	if total != nil {
		text = fmt.Sprintf("%d of %d %s", done, *total, verb)
		if *total > 0 {
			const all = 100
			text += fmt.Sprintf(" (%d %%)", min(done*all / *total, all))
		}
	}
	took := last.at.Sub(first.at).Seconds()
	if took <= 0 || last.done <= first.done {
		return text
	}
	rate := float64(last.done-first.done) / took
	text += fmt.Sprintf(", %s/s", rounded(rate))
	if total != nil && *total > done {
		left := time.Duration(float64(*total-done) / rate * float64(time.Second))
		text += fmt.Sprintf(", %s left", max(left.Round(time.Second), time.Second))
	}
	return text
}

// rounded shows a rate with as much as a person looks at.
func rounded(rate float64) string {
	const few = 10
	if rate < few {
		return fmt.Sprintf("%.1f", rate)
	}
	return fmt.Sprintf("%.0f", rate)
}
