package web

import (
	"strconv"
	"strings"
)

// countsView counts the connections of a run by their states, for a bar.
type countsView struct {
	Total int
	Rows  int64
	Parts []share
}

// share is one state's part of the bar, in thousandths of its width.
type share struct {
	State    string
	Count    int
	At, Wide int
}

// barOrder is the order of states in the bar: what is done first, what is not begun last.
var barOrder = []string{"done", "partial", "failed", "rejected", "sealed", "delivered", "running", "pending"}

func countsOf(r *Run) countsView {
	v := countsView{Total: len(r.Connections)}
	by := map[string]int{}
	for i := range r.Connections {
		by[r.Connections[i].State]++
		v.Rows += r.Connections[i].Rows
	}
	seen := 0
	for _, state := range barOrder {
		if n := by[state]; n > 0 {
			from, to := seen*1000/v.Total, (seen+n)*1000/v.Total
			v.Parts = append(v.Parts, share{state, n, from, to - from})
			seen += n
		}
	}
	return v
}

// plot is a chart as a drawing of plotWide x plotHigh.
type plot struct {
	Name      string
	Line      string // points of a polyline
	Area      string // the same, closed below
	Bound     int    // height of the bound; 0 is none
	Last, Max int64  // bytes
	Peak      int64
}

const (
	plotWide = 300
	plotHigh = 60
)

func chartsOf(r *Run) (out []plot) {
	for _, c := range r.Charts {
		if len(c.Points) > 0 {
			out = append(out, plotOf(c))
		}
	}
	return out
}

// plotOf draws a chart. Its height is the bound, or the peak where that is higher: what was over the bound is seen.
func plotOf(c Chart) plot {
	p := plot{Name: c.Name, Max: c.Max, Last: c.Points[len(c.Points)-1].Bytes}
	for _, point := range c.Points {
		p.Peak = max(p.Peak, point.Bytes)
	}
	high := max(p.Peak, c.Max, 1)
	y := func(bytes int64) int { return plotHigh - int(float64(bytes)/float64(high)*(plotHigh-2)) - 1 }
	p.Bound = y(c.Max)
	first, last := c.Points[0].At, c.Points[len(c.Points)-1].At
	span := max(last.Sub(first).Seconds(), 1)
	var line strings.Builder
	for i, point := range c.Points {
		x := int(point.At.Sub(first).Seconds() / span * plotWide)
		if i > 0 {
			line.WriteByte(' ')
		}
		line.WriteString(strconv.Itoa(x) + "," + strconv.Itoa(y(point.Bytes)))
	}
	p.Line = line.String()
	end := int(last.Sub(first).Seconds() / span * plotWide)
	p.Area = "0," + strconv.Itoa(plotHigh) + " " + p.Line + " " + strconv.Itoa(end) + "," + strconv.Itoa(plotHigh)
	return p
}
