package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"time"
)

// benchmark is one thing that several contenders do.
type benchmark struct {
	name       string
	unit       unit
	baseline   string // the contender that the others are compared with
	contenders []contender
}

// unit of a figure.
type unit string

const (
	nanoseconds unit = "ns"
	bytes       unit = "B"
)

// contender is one way to do it.
type contender struct {
	name    string
	run     func(*probe) // takes one measurement; sets up and cleans up around it
	against string       // compared with this contender instead of the benchmark's baseline
	target  float64      // the ratio is to be at most this; 0 means there is no target
	noAlloc bool         // part of the target: no allocations
}

// figure is what one measurement yields, for each operation. allocs is NaN if it wasn't counted.
type figure struct{ value, allocs float64 }

// probe takes one measurement.
type probe struct{ figure }

// time measures fn, which does n operations.
func (p *probe) time(n int, fn func()) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	fn()
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	p.figure = figure{float64(took.Nanoseconds()) / float64(n), float64(after.Mallocs-before.Mallocs) / float64(n)}
}

// occupy measures the memory, heap and stacks, that is occupied for good by fn, which makes n things.
func (p *probe) occupy(n int, fn func()) {
	before := settledMemory()
	fn()
	p.value = (settledMemory() - before) / float64(n)
}

// settledMemory is what is in use once the garbage is gone. Two collections empty sync.Pools, too.
func settledMemory() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc + m.StackInuse)
}

// measure runs all benchmarks, round by round, and returns a row for each contender.
func measure(benchmarks []benchmark, rounds int) []row {
	figures := make(map[[2]int][]figure)
	for round := range rounds + 1 {
		for _, b := range rand.Perm(len(benchmarks)) {
			for _, c := range rand.Perm(len(benchmarks[b].contenders)) {
				progress("round %d of %d: %s: %s", round, rounds, benchmarks[b].name, benchmarks[b].contenders[c].name)
				p := probe{figure{allocs: math.NaN()}}
				benchmarks[b].contenders[c].run(&p)
				if round > 0 {
					figures[[2]int{b, c}] = append(figures[[2]int{b, c}], p.figure)
				}
			}
		}
	}
	progress("")

	var rows []row
	for b, bench := range benchmarks {
		for c, con := range bench.contenders {
			against := con.against
			if against == "" {
				against = bench.baseline
			}
			base := slices.IndexFunc(bench.contenders, func(o contender) bool { return o.name == against })
			if base < 0 {
				panic(bench.name + ": nobody is called " + against)
			}
			rows = append(rows, newRow(bench, con, against, figures[[2]int{b, c}], figures[[2]int{b, base}]))
		}
	}
	return rows
}

// progress shows what is going on, if somebody is looking.
func progress(format string, args ...any) {
	if i, err := os.Stderr.Stat(); err == nil && i.Mode()&os.ModeCharDevice != 0 {
		fmt.Fprintf(os.Stderr, "\r\x1b[K"+format, args...)
	}
}

func median(values []float64) float64 {
	slices.Sort(values)
	mid := len(values) / 2
	if len(values)%2 == 1 {
		return values[mid]
	}
	return (values[mid-1] + values[mid]) / 2
}
