package web

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What the rules in examples/ are written in is a small part of PromQL: this evaluates that part, and refuses what it
// does not know. Of increase the sign is that of Prometheus, and not the value, as nothing is extrapolated.

// sample is a value of a series at a time.
type sample struct {
	at    time.Time
	value float64
}

// history has the samples of all series, by name and labels, and when they were scraped.
type history struct {
	series  map[string]*series
	scraped []time.Time
}

type series struct {
	labels  map[string]string // the name is __name__
	samples []sample
}

// vector is what an expression comes to; scalar is a number without labels.
type vector struct {
	scalar bool
	of     []element
}

type element struct {
	labels map[string]string
	value  float64
}

func number(v float64) vector { return vector{scalar: true, of: []element{{value: v}}} }

// evaluation reads an expression at a time.
type evaluation struct {
	h     *history
	now   time.Time
	words []string
}

var promWord = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*|[0-9.]+[smhd]?|"[^"]*"|=~|==|[-+*/>(){}\[\],=]|\S`)

// evaluate panics with a text for what it does not know.
func (h *history) evaluate(expr string, now time.Time) vector {
	e := &evaluation{h: h, now: now, words: promWord.FindAllString(expr, -1)}
	v := e.comparison()
	if len(e.words) > 0 {
		panic(fmt.Sprintf("%s: %q is not known here", expr, e.words))
	}
	return v
}

func (e *evaluation) peek() string {
	if len(e.words) == 0 {
		return ""
	}
	return e.words[0]
}

func (e *evaluation) take(want string) string {
	word := e.peek()
	if word == "" || want != "" && word != want {
		panic(fmt.Sprintf("%q comes where %q should", word, want))
	}
	e.words = e.words[1:]
	return word
}

// Operators, the weakest first.

func (e *evaluation) comparison() vector { return e.binary(e.sum, ">", "==") }
func (e *evaluation) sum() vector        { return e.binary(e.product, "-", "+") }
func (e *evaluation) product() vector    { return e.binary(e.primary, "*", "/") }

func (e *evaluation) binary(next func() vector, operators ...string) vector {
	left := next()
	for slices.Contains(operators, e.peek()) {
		op := e.take("")
		left = apply(op, left, next())
	}
	return left
}

// apply joins elements of the same labels but for the name. A comparison keeps what it is true for, as it was.
func apply(op string, left, right vector) vector {
	out := vector{scalar: left.scalar && right.scalar}
	for _, l := range left.of {
		for _, r := range right.of {
			if !left.scalar && !right.scalar && !maps.Equal(nameless(l.labels), nameless(r.labels)) {
				continue
			}
			labels := l.labels
			if left.scalar {
				labels = r.labels
			}
			switch op {
			case ">", "==":
				if out.scalar || left.scalar {
					panic("a comparison of numbers is not known here")
				}
				if op == ">" && l.value > r.value || op == "==" && l.value == r.value {
					out.of = append(out.of, element{labels, l.value})
				}
			case "-":
				out.of = append(out.of, element{nameless(labels), l.value - r.value})
			case "+":
				out.of = append(out.of, element{nameless(labels), l.value + r.value})
			case "*":
				out.of = append(out.of, element{nameless(labels), l.value * r.value})
			case "/":
				out.of = append(out.of, element{nameless(labels), l.value / r.value})
			}
		}
	}
	return out
}

func nameless(labels map[string]string) map[string]string {
	out := maps.Clone(labels)
	delete(out, "__name__")
	return out
}

func (e *evaluation) primary() vector {
	word := e.take("")
	switch {
	case word == "(":
		v := e.comparison()
		e.take(")")
		return v
	case word[0] >= '0' && word[0] <= '9':
		n, err := strconv.ParseFloat(word, 64)
		if err != nil {
			panic(err.Error())
		}
		return number(n)
	case word == "time":
		e.take("(")
		e.take(")")
		return number(float64(e.now.UnixMilli()) / 1000)
	case word == "absent":
		e.take("(")
		v := e.comparison()
		e.take(")")
		if len(v.of) > 0 {
			return vector{}
		}
		return vector{of: []element{{map[string]string{}, 1}}}
	case word == "increase":
		e.take("(")
		chosen := e.selector(e.take(""))
		e.take("[")
		window, err := time.ParseDuration(e.take(""))
		if err != nil {
			panic(err.Error())
		}
		e.take("]")
		e.take(")")
		return increase(chosen, e.now.Add(-window), e.now)
	case word == "max" || word == "sum":
		return e.aggregate(word)
	case strings.HasPrefix(word, "fanmill_"):
		return e.instant(e.selector(word))
	}
	panic(fmt.Sprintf("%q is not known here", word))
}

// aggregate is max or sum, by some labels or over everything.
func (e *evaluation) aggregate(how string) vector {
	var by []string
	if e.peek() == "by" {
		e.take("by")
		e.take("(")
		for e.peek() != ")" {
			if by = append(by, e.take("")); e.peek() == "," {
				e.take(",")
			}
		}
		e.take(")")
	}
	e.take("(")
	over := e.comparison()
	e.take(")")
	var out vector
	for _, one := range over.of {
		labels := map[string]string{}
		for _, l := range by {
			if v := one.labels[l]; v != "" {
				labels[l] = v
			}
		}
		i := slices.IndexFunc(out.of, func(o element) bool { return maps.Equal(o.labels, labels) })
		switch {
		case i < 0:
			out.of = append(out.of, element{labels, one.value})
		case how == "max":
			out.of[i].value = max(out.of[i].value, one.value)
		default:
			out.of[i].value += one.value
		}
	}
	return out
}

// selector chooses series.
func (e *evaluation) selector(name string) (chosen []*series) {
	matches := []func(map[string]string) bool{func(l map[string]string) bool { return l["__name__"] == name }}
	if e.peek() == "{" {
		e.take("{")
		for e.peek() != "}" {
			label, op := e.take(""), e.take("")
			want := strings.Trim(e.take(""), `"`)
			switch op {
			case "=":
				matches = append(matches, func(l map[string]string) bool { return l[label] == want })
			case "=~":
				pattern := regexp.MustCompile("^(?:" + want + ")$")
				matches = append(matches, func(l map[string]string) bool { return pattern.MatchString(l[label]) })
			default:
				panic(op + " is not known here")
			}
			if e.peek() == "," {
				e.take(",")
			}
		}
		e.take("}")
	}
	for _, key := range slices.Sorted(maps.Keys(e.h.series)) {
		s := e.h.series[key]
		if !slices.ContainsFunc(matches, func(is func(map[string]string) bool) bool { return !is(s.labels) }) {
			chosen = append(chosen, s)
		}
	}
	return chosen
}

// instant has the samples of the last scrape: what that did not have is over.
func (e *evaluation) instant(chosen []*series) (v vector) {
	last := e.h.scraped[len(e.h.scraped)-1]
	for _, s := range chosen {
		if n := len(s.samples); s.samples[n-1].at.Equal(last) {
			v.of = append(v.of, element{s.labels, s.samples[n-1].value})
		}
	}
	return v
}

// increase is by how much counters have risen after from and until to; one that has a single sample there says nothing,
// as nobody knows when it began.
func increase(chosen []*series, from, to time.Time) (v vector) {
	for _, s := range chosen {
		var in []sample
		for _, x := range s.samples {
			if x.at.After(from) && !x.at.After(to) {
				in = append(in, x)
			}
		}
		if len(in) < 2 {
			continue
		}
		risen := 0.0
		for i := 1; i < len(in); i++ {
			if d := in[i].value - in[i-1].value; d >= 0 {
				risen += d
			} else {
				risen += in[i].value // its process has begun anew
			}
		}
		v.of = append(v.of, element{nameless(s.labels), risen})
	}
	return v
}
