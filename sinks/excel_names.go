package sinks

import (
	"fmt"
	"slices"
	"strconv"

	"fanmill/pipeline"
	"fanmill/sinks/xlsx"
)

// excelNames are the names that a run gives to sheets. They are reserved when it begins, for all connections of the
// job in order, so that neither a crash nor the order of finishing changes one; a resume adds those of added
// connections. They are part of the commit record.
type excelNames struct {
	Names   []string `json:"names"`             // by connection and query
	Summary string   `json:"summary,omitempty"` // "" if there is none
	Series  int      `json:"series,omitempty"`  // sheets of a lower one are those of earlier runs
}

// firstNames is what a fresh run begins with: sheets of earlier runs keep their names.
func (s *excelFile) firstNames() (n excelNames) {
	for i := range s.book.Sheets() {
		n.Series = max(n.Series, s.book.Sheet(i).Series+1)
	}
	if s.options.summary {
		n.Summary = xlsx.SheetNames(s.sheetNames(), []string{"Summary"})[0]
	}
	return n
}

// sheetNames are those of all sheets of the book.
func (s *excelFile) sheetNames() []string {
	out := make([]string, s.book.Sheets())
	for i := range out {
		out[i] = s.book.Sheet(i).Name
	}
	return out
}

// earlier are the names that the run found, its own Summary's among them.
func (s *excelFile) earlier() (out []string) {
	for i := range s.book.Sheets() {
		if info := s.book.Sheet(i); info.Series < s.names.Series {
			out = append(out, info.Name)
		}
	}
	if s.names.Summary != "" {
		out = append(out, s.names.Summary)
	}
	return out
}

// reserve names the sheets of all connections, after those that were named before. A sheet whose name one of an
// earlier run has gets the day of this one: "Pune (2026-11-23)".
func (s *excelFile) reserve() error {
	earlier := s.earlier()
	taken := xlsx.NewNames(earlier)
	day := " (" + s.manifest.Created.In(s.location).Format("2006-01-02") + ")"
	var bases []string
	s.slots = map[excelPlace]int{}
	for c := range s.manifest.Connections {
		for q := range s.manifest.Connections[c].Queries {
			if !s.takes(q) {
				continue
			}
			base := s.baseName(c, q)
			if s.names.Series > 0 && taken.Has(base) {
				base = xlsx.WithSuffix(base, day)
			}
			s.slots[excelPlace{c, q}] = len(bases)
			bases = append(bases, base)
		}
	}
	names := s.names.Names
	if len(names) > len(bases) {
		return pipeline.Permanent(fmt.Errorf("%s: %d sheets are reserved, the job has %d: start the run anew, without --resume", s.artifact.Path(), len(names), len(bases)))
	}
	reserved := slices.Concat(earlier, names, s.sheetNames()) // the last ones also for what a roll-over made
	s.names.Names = slices.Concat(names, xlsx.SheetNames(reserved, bases[len(names):]))
	return nil
}

// baseName is what the sheet of a connection's query would be called if every name were free and good.
func (s *excelFile) baseName(connection, query int) string {
	c := &s.manifest.Connections[connection]
	switch name := c.Queries[query].Name; {
	case s.dest.Query != nil || len(c.Queries) == 1:
		return c.Name
	case name != "":
		return c.Name + " " + name
	default:
		return c.Name + " " + strconv.Itoa(query+1)
	}
}

// sheetName is the name of a query's sheet, or of one that takes its rows when ordinal sheets are full.
func (s *excelFile) sheetName(connection, query, ordinal int) string {
	at := s.slots[excelPlace{connection, query}]
	if ordinal == 0 {
		return s.names.Names[at]
	}
	earlier := s.earlier()
	return xlsx.RollOver(slices.Concat(earlier, s.names.Names), len(earlier)+at, ordinal)
}
