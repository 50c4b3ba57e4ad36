// Package textdiff compares texts line by line and writes what differs as a unified diff, which patch and editors read.
package textdiff

import (
	"fmt"
	"strings"
)

const (
	around = 3 // lines of context
	// maxEdits bounds the search for the shortest diff, which takes memory by its square. Texts that differ in more lines
	// are shown as one removed and the other added, between what they have in common at both ends.
	maxEdits = 2000
)

// op is a line of a diff.
type op struct {
	sign byte // ' ', '-' or '+'
	line string
}

// Unified is the diff from a to b, each with its name; "" if they are equal.
func Unified(aName, a, bName, b string) string {
	if a == b {
		return ""
	}
	ops := compare(lines(a), lines(b))
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", aName, bName)
	for from := 0; from < len(ops); {
		for from < len(ops) && ops[from].sign == ' ' {
			from++
		}
		if from == len(ops) {
			break
		}
		end, last := from, from // last is the last line that differs
		for end < len(ops) && end-last <= 2*around {
			if ops[end].sign != ' ' {
				last = end
			}
			end++
		}
		end = min(last+around+1, len(ops))
		hunk(&out, ops, max(from-around, 0), end)
		from = end
	}
	return out.String()
}

// lines are a text's lines, each with its end.
func lines(text string) []string {
	all := strings.SplitAfter(text, "\n")
	if all[len(all)-1] == "" {
		all = all[:len(all)-1]
	}
	return all
}

// hunk writes ops[from:to] with where they stand in both texts.
func hunk(out *strings.Builder, ops []op, from, to int) {
	aAt, bAt := 1, 1
	for _, o := range ops[:from] {
		aAt, bAt = aAt+count(o, '-'), bAt+count(o, '+')
	}
	aLines, bLines := 0, 0
	for _, o := range ops[from:to] {
		aLines, bLines = aLines+count(o, '-'), bLines+count(o, '+')
	}
	fmt.Fprintf(out, "@@ -%s +%s @@\n", span(aAt, aLines), span(bAt, bLines))
	for _, o := range ops[from:to] {
		out.WriteByte(o.sign)
		out.WriteString(o.line)
		if !strings.HasSuffix(o.line, "\n") {
			out.WriteString("\n\\ No newline at end of file\n")
		}
	}
}

// count is 1 if the line is in the text whose own lines have this sign.
func count(o op, sign byte) int {
	if o.sign == ' ' || o.sign == sign {
		return 1
	}
	return 0
}

// span is a place in a text, as the format has it: of no lines, the line before.
func span(at, n int) string {
	if n == 0 {
		at--
	}
	return fmt.Sprintf("%d,%d", at, n)
}

// compare is all lines of both texts, in an order that keeps both.
func compare(a, b []string) (ops []op) {
	begin := 0
	for begin < len(a) && begin < len(b) && a[begin] == b[begin] {
		ops = append(ops, op{' ', a[begin]})
		begin++
	}
	end := 0
	for end < len(a)-begin && end < len(b)-begin && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	ops = append(ops, shortest(a[begin:len(a)-end], b[begin:len(b)-end])...)
	for _, line := range a[len(a)-end:] {
		ops = append(ops, op{' ', line})
	}
	return ops
}

// shortest is the greedy algorithm of E. Myers, "An O(ND) difference algorithm and its variations" (1986).
func shortest(a, b []string) []op {
	var trace [][]int // for each number of edits: how far diagonal k gets, at k+edits
	for edits := 0; edits <= min(len(a)+len(b), maxEdits); edits++ {
		reach := make([]int, 2*edits+1)
		for k := -edits; k <= edits; k += 2 {
			x := 0
			if edits > 0 {
				x = step(trace[edits-1], k, edits)
			}
			for x < len(a) && x-k < len(b) && a[x] == b[x-k] {
				x++
			}
			reach[k+edits] = x
			if x >= len(a) && x-k >= len(b) {
				return walk(a, b, append(trace, reach))
			}
		}
		trace = append(trace, reach)
	}
	var ops []op
	for _, line := range a {
		ops = append(ops, op{'-', line})
	}
	for _, line := range b {
		ops = append(ops, op{'+', line})
	}
	return ops
}

// step is where an edit leads to on diagonal k from the reach of one edit less.
func step(before []int, k, edits int) int {
	at := func(k int) int { return before[k+edits-1] }
	if k == -edits || k != edits && at(k-1) < at(k+1) {
		return at(k + 1)
	}
	return at(k-1) + 1
}

// walk reads the edits back from the end.
func walk(a, b []string, trace [][]int) []op {
	var back []op
	x, y := len(a), len(b)
	for edits := len(trace) - 1; edits >= 0; edits-- {
		k, start := x-y, 0
		if edits > 0 {
			start = step(trace[edits-1], k, edits)
		}
		for x > start {
			x, y = x-1, y-1
			back = append(back, op{' ', a[x]})
		}
		if edits == 0 {
			break
		}
		before := trace[edits-1]
		if k == -edits || k != edits && before[k-1+edits-1] < before[k+1+edits-1] {
			y--
			back = append(back, op{'+', b[y]})
		} else {
			x--
			back = append(back, op{'-', a[x]})
		}
	}
	for i, j := 0, len(back)-1; i < j; i, j = i+1, j-1 {
		back[i], back[j] = back[j], back[i]
	}
	return back
}
