package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

// micro is a benchmark function and what it must not exceed.
type micro struct {
	name        string // as go test prints it, without the number of processors
	work        string
	unit        string // of the limit: µs, or what the benchmark reports
	limit       float64
	allocations float64 // negative: not judged
}

const (
	microseconds = "µs"
	ofSigning    = "of-signing" // a where costs no more than signing the same payload does
)

func micros() []micro {
	return []micro{
		{"BenchmarkMatch10000Endpoints1000Tenants", "routing among 10,000 endpoints, 1,000 tenants", microseconds, 2, 0},
		{"BenchmarkWhere/500B/items/last", "where, on a payload of 500 B, path at its end", ofSigning, 1, 0},
		{"BenchmarkWhere/100000B/items/middle", "where, on a payload of 100 kB, path in its middle", ofSigning, 1, 0},
		{"BenchmarkWhere/100000B/items/last", "where, on a payload of 100 kB, path at its end", ofSigning, 1, 0},
		{"BenchmarkFilterOnTenant", "where, on tenant alone", microseconds, 1, 0},
	}
}

// runMicro runs the benchmarks of single functions that have a target.
func runMicro(ctx context.Context, b *bench) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-p", "1", "-run", "^$", "-bench", "^Benchmark(Match10000Endpoints1000Tenants|Where|FilterOnTenant)$", "-benchmem",
		"-benchtime", "200ms", "./relay/internal/route", "./config/filter")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("go test -bench: %w\n%s", err, out)
	}
	for _, m := range micros() {
		measured, scale := `([\d.]+) of-signing`, 1.0
		if m.unit == microseconds {
			measured, scale = `([\d.]+) ns/op`, 1000
		}
		line := regexp.MustCompile(`(?m)^` + m.name + `(?:-\d+)?\s+\d+\s.*?` + measured + `.*?(\d+) allocs/op`).FindSubmatch(out)
		if line == nil {
			return fmt.Errorf("no %s in\n%s", m.name, out)
		}
		b.table.add(row{work: m.work, unit: m.unit, target: fmt.Sprint(m.limit), met: atMost(m.limit)}, reading{tailpost: parse(line[1]) / scale})
		if m.allocations >= 0 {
			b.table.add(row{work: m.work + ": allocations", unit: "per event", target: fmt.Sprint(m.allocations), met: atMost(m.allocations)},
				reading{tailpost: parse(line[2])})
		}
	}
	return nil
}

// runRecorder measures recording without anything to send, beside COPY into a table without
// indexes.
func runRecorder(ctx context.Context, b *bench) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^Benchmark(Record|Copy)$/^rows=(256|1024)$", "-benchtime", "2s", "./relay/internal/ledger")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("go test -bench: %w\n%s", err, out)
	}
	for _, rows := range []int{256, 1024} {
		rate := func(name string) float64 {
			found := regexp.MustCompile(fmt.Sprintf(`(?m)^%s/rows=%d(?:-\d+)?\s.*?([\d.]+) rows/s`, name, rows)).FindSubmatch(out)
			if found == nil {
				return 0
			}
			return parse(found[1])
		}
		if rate("BenchmarkRecord") == 0 {
			return fmt.Errorf("no BenchmarkRecord in\n%s", out)
		}
		b.table.add(row{work: fmt.Sprintf("recording alone, %d attempts at once; limit: COPY", rows), unit: "attempts/s"},
			reading{limit: rate("BenchmarkCopy"), tailpost: rate("BenchmarkRecord")})
	}
	return nil
}

func parse(b []byte) float64 {
	v, err := strconv.ParseFloat(string(b), 64)
	if err != nil {
		return 0 // the expression matches numbers only
	}
	return v
}
