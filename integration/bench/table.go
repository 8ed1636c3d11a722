package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"text/tabwriter"
)

// reading is one run's figures of a row; 0: not measured.
type reading struct{ limit, poller, tailpost float64 }

// summary is the medians over all runs. The ratios are those of each run, never of different ones.
type summary struct{ limit, poller, tailpost, ofLimit, ofPoller float64 }

// row is one line of the table.
type row struct {
	work, unit string
	target     string
	met        func(s summary) bool // nil: nothing is promised
	readings   []reading
}

// table keeps rows in the order of their first reading.
type table struct{ rows []*row }

func newTable() *table { return &table{} }

// add takes one run's reading of a row.
func (t *table) add(spec row, r reading) {
	for _, known := range t.rows {
		if known.work == spec.work {
			known.readings = append(known.readings, r)
			return
		}
	}
	spec.readings = []reading{r}
	t.rows = append(t.rows, &spec)
}

func (t *table) print(w io.Writer) error {
	tab := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tab, "work\tunit\tlimit\tpoller\ttailpost\tmin\tmax\t/limit\t/poller\ttarget\t")
	for _, r := range t.rows {
		s := r.summary()
		tailpost := r.column(func(r reading) float64 { return r.tailpost })
		verdict := ""
		switch {
		case r.met == nil:
		case r.met(s):
			verdict = "met"
		default:
			verdict = "MISSED"
		}
		fmt.Fprintf(tab, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.work, r.unit, number(s.limit), number(s.poller), number(s.tailpost),
			number(slices.Min(tailpost)), number(slices.Max(tailpost)), number(s.ofLimit), number(s.ofPoller), r.target, verdict)
	}
	if err := tab.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	_, err := fmt.Fprintln(w, "\nMedians of all runs, min and max for tailpost. Ratios are taken within a run, then their median.")
	return err
}

func (r *row) column(of func(reading) float64) []float64 {
	values := make([]float64, len(r.readings))
	for i, reading := range r.readings {
		values[i] = of(reading)
	}
	return values
}

func (r *row) summary() summary {
	ratio := func(a, b float64) float64 {
		if b == 0 {
			return 0
		}
		return a / b
	}
	return summary{
		limit:    median(r.column(func(r reading) float64 { return r.limit })),
		poller:   median(r.column(func(r reading) float64 { return r.poller })),
		tailpost: median(r.column(func(r reading) float64 { return r.tailpost })),
		ofLimit:  median(r.column(func(r reading) float64 { return ratio(r.tailpost, r.limit) })),
		ofPoller: median(r.column(func(r reading) float64 { return ratio(r.tailpost, r.poller) })),
	}
}

func median(values []float64) float64 {
	return quantile(values, 0.5)
}

// quantile sorts values.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[min(int(q*float64(len(values))), len(values)-1)]
}

// number prints three significant digits; nothing for what was not measured.
func number(v float64) string {
	switch {
	case v == 0:
		return "-"
	case math.Abs(v) >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	default:
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
}

// The ways to judge a row.

func atMost(v float64) func(summary) bool { return func(s summary) bool { return s.tailpost <= v } }

func atLeast(v float64) func(summary) bool { return func(s summary) bool { return s.tailpost >= v } }

func ofLimit(v float64) func(summary) bool { return func(s summary) bool { return s.ofLimit >= v } }

func both(a, b func(summary) bool) func(summary) bool {
	return func(s summary) bool { return a(s) && b(s) }
}
