package sinks

import (
	"context"
	"fmt"

	"fanmill/pipeline"
	"fanmill/sinks/xlsx"
)

// excelLayout is what the report on a workbook has of its layout.
type excelLayout struct {
	Sheets  []excelLayoutSheets `json:"sheets"`
	Summary string              `json:"summary,omitempty"` // the sheet with the summary
	Earlier int                 `json:"earlierSheets,omitempty"`
}

// excelLayoutSheets are the sheets of a connection's query. Rows past Excel's limit go on in a second one.
type excelLayoutSheets struct {
	Connection string   `json:"connection"` // id
	Query      int      `json:"query,omitempty"`
	Names      []string `json:"names"`
}

func (s *excelFile) layout() any {
	out := excelLayout{Sheets: []excelLayoutSheets{}}
	for i := range s.book.Sheets() {
		sheet := s.book.Sheet(i)
		if sheet.Series < s.names.Series {
			out.Earlier++
			continue
		}
		id, query := s.manifest.Connections[sheet.Order[0]].ID, sheet.Order[1]
		if s.dest.Query != nil {
			query = 0 // the report counts no other
		}
		last := len(out.Sheets) - 1
		if last < 0 || out.Sheets[last].Connection != id || out.Sheets[last].Query != query {
			out.Sheets = append(out.Sheets, excelLayoutSheets{Connection: id, Query: query})
			last++
		}
		out.Sheets[last].Names = append(out.Sheets[last].Names, sheet.Name)
	}
	if s.options.summary {
		out.Summary = s.names.Summary
	}
	return out
}

// maxNamedSheets is how many sheets are named that the manifest does not know.
const maxNamedSheets = 20

// countExcel counts the rows of a workbook's sheets by their names.
func countExcel(ctx context.Context, f pipeline.CountedFile) (out pipeline.Counts, err error) {
	var layout excelLayout
	if err := readLayout(f, &layout); err != nil {
		return out, err
	}
	found, err := xlsx.Count(ctx, f.R, f.Size)
	if err != nil {
		return out, err
	}
	rows := make(map[string]int64, len(found))
	for _, s := range found {
		rows[s.Name] += s.Rows
	}
	type place struct {
		connection string
		query      int
	}
	places := make(map[place][]string, len(layout.Sheets))
	own := map[string]bool{layout.Summary: true}
	for _, s := range layout.Sheets {
		places[place{s.Connection, s.Query}] = s.Names
		for _, name := range s.Names {
			own[name] = true
		}
	}
	for i := range f.Report.Connections {
		c := &f.Report.Connections[i]
		if c.State != pipeline.ReportSettled {
			continue
		}
		for query, want := range c.Rows {
			share := pipeline.Share{Of: c.Name, Want: want}
			if len(c.Rows) > 1 {
				share.Of = fmt.Sprintf("%s, query %d", c.Name, query+1)
			}
			names := places[place{c.ID, query}]
			if len(names) == 0 {
				out.Faults = append(out.Faults, fmt.Sprintf("the manifest names no sheet of %s", share.Of))
			}
			for _, name := range names {
				n, there := rows[name]
				if !there {
					out.Faults = append(out.Faults, fmt.Sprintf("sheet %q of %s is not in the workbook: it was renamed or removed", name, share.Of))
				}
				share.Has += n
			}
			out.Rows += share.Has
			out.Shares = append(out.Shares, share)
		}
	}
	if _, there := rows[layout.Summary]; layout.Summary != "" && !there {
		out.Faults = append(out.Faults, fmt.Sprintf("sheet %q with the summary is not in the workbook", layout.Summary))
	}
	var strangers []string
	for _, s := range found {
		if !own[s.Name] {
			strangers = append(strangers, s.Name)
		}
	}
	empty := len(layout.Sheets) == 0 && layout.Summary == "" // but for the one sheet that a workbook must have
	switch n := len(strangers); {
	case n == layout.Earlier, empty && layout.Earlier == 0 && n == 1:
	case layout.Earlier == 0:
		for _, name := range strangers[:min(n, maxNamedSheets)] {
			out.Faults = append(out.Faults, fmt.Sprintf("sheet %q is none that the manifest knows", name))
		}
	default:
		out.Faults = append(out.Faults, fmt.Sprintf("%d sheets are none of this run's, and earlier runs had left %d", n, layout.Earlier))
	}
	return out, nil
}
