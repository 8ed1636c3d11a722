package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// clockTick is USER_HZ, 100 on every architecture of Linux that Go knows.
const clockTick = 100

// cpuSeconds is what a process tree has used: its living members and the children that they have
// reaped. Of children that are gone the kernel tells whole ticks of 10 ms.
func cpuSeconds(root int) float64 {
	// The pattern is constant and well-formed.
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	seconds, reaped, children := make(map[int]float64), make(map[int]float64), make(map[int][]int)
	for _, file := range stats {
		data, err := os.ReadFile(file) //nolint:gosec // a file of /proc
		if err != nil {
			continue // it ended meanwhile
		}
		// The command's name, field 2, may hold blanks and parentheses.
		fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
		pid, parent := atoi(filepath.Base(filepath.Dir(file))), atoi(fields[1])
		// utime, stime, cutime, cstime
		seconds[pid] = float64(atoi(fields[11])+atoi(fields[12])) / clockTick
		reaped[pid] = float64(atoi(fields[13])+atoi(fields[14])) / clockTick
		children[parent] = append(children[parent], pid)
	}
	total := 0.0
	for queue := []int{root}; len(queue) > 0; queue = queue[1:] {
		pid := queue[0]
		total += max(seconds[pid], runSeconds(pid)) + reaped[pid]
		queue = append(queue, children[pid]...)
	}
	return total
}

// runSeconds is what the threads of a process that still run have used, to the nanosecond: a server
// of a hundred processes that have a few ms to do each is known by that alone. 0: the kernel does
// not tell.
func runSeconds(pid int) float64 {
	// The pattern is constant and well-formed.
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	total := 0
	for _, file := range threads {
		data, err := os.ReadFile(file) //nolint:gosec // a file of /proc
		if err != nil {
			continue // it ended meanwhile
		}
		ran, _, _ := strings.Cut(string(data), " ")
		total += atoi(ran)
	}
	return time.Duration(total).Seconds()
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0 // not a number in /proc: not a line we asked for
	}
	return n
}

// memory is what a process holds in MiB.
type memory struct {
	resident, peak  float64
	anonymous, file float64 // parts of resident
}

func memoryOf(pid int) (memory, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, fmt.Errorf("read the memory of a process: %w", err)
	}
	value := func(name string) float64 {
		for line := range strings.Lines(string(data)) {
			if rest, ok := strings.CutPrefix(line, name+":"); ok {
				return float64(atoi(strings.Fields(rest)[0])) / 1024
			}
		}
		return 0
	}
	return memory{resident: value("VmRSS"), peak: value("VmHWM"), anonymous: value("RssAnon"), file: value("RssFile")}, nil
}

// meter measures what a process tree uses between two moments.
type meter struct {
	pid   int
	from  float64
	began time.Time
}

func startMeter(pid int) meter { return meter{pid: pid, from: cpuSeconds(pid), began: time.Now()} }

func (m meter) cpu() float64 { return cpuSeconds(m.pid) - m.from }

// share is the part of one core.
func (m meter) share() float64 { return m.cpu() / time.Since(m.began).Seconds() }

// meters measure several trees together.
type meters []meter

func (all meters) cpu() (seconds float64) {
	for _, m := range all {
		seconds += m.cpu()
	}
	return seconds
}
