package sheetsfake

import (
	"net/http"
	"net/url"
	"strings"
)

// get answers spreadsheets.get: properties, tabs, metadata and named ranges, never cells.
func (b *Book) get(r *http.Request) (any, *apiError) {
	var tabs, named []any
	for i, t := range b.state.tabs {
		p := map[string]any{"title": t.title, "index": i, "sheetType": "GRID", "gridProperties": map[string]any{"rowCount": t.rows, "columnCount": t.cols}}
		if t.id != 0 {
			p["sheetId"] = t.id
		}
		if t.hidden {
			p["hidden"] = true
		}
		entry := map[string]any{"properties": p}
		if m := b.state.metadataOf(false, t.id); m != nil {
			entry["developerMetadata"] = m
		}
		tabs = append(tabs, entry)
	}
	for name, n := range b.state.named {
		named = append(named, map[string]any{"name": name, "namedRangeId": name, "range": map[string]any{"sheetId": n.sheet}})
	}
	out := map[string]any{"spreadsheetId": b.id, "properties": map[string]any{"title": b.id, "locale": "de_DE", "timeZone": "Europe/Berlin"}, "sheets": tabs}
	if named != nil {
		out["namedRanges"] = named
	}
	if m := b.state.metadataOf(true, 0); m != nil {
		out["developerMetadata"] = m
	}
	fields := r.URL.Query().Get("fields")
	if fields == "" {
		return out, nil
	}
	m, ok := parseMask(fields)
	if name := m.unknown("spreadsheetId", "properties", "sheets", "developerMetadata", "namedRanges"); !ok || name != "" {
		return nil, newError(http.StatusBadRequest, "badRequest", "Request contains an invalid argument: fields: "+fields)
	}
	return m.apply(out), nil
}

// valuesOf answers values.get of a whole tab, and values.batchGetByDataFilter of ranges.
func (b *Book) valuesOf(r *http.Request, body []byte) (any, *apiError) {
	if r.Method == http.MethodGet {
		_, title, _ := strings.Cut(r.URL.EscapedPath(), "/values/")
		title, err := url.PathUnescape(title)
		t := b.state.titled(strings.ReplaceAll(strings.Trim(title, "'"), "''", "'"))
		if err != nil || t == nil {
			return nil, newError(http.StatusBadRequest, "badRequest", "Unable to parse range: "+title)
		}
		return map[string]any{"range": title, "majorDimension": "ROWS", "values": b.state.values(t, 0, 0, t.rows, t.cols)}, nil
	}
	var q struct {
		DataFilters          []dataFilter `json:"dataFilters"`
		MajorDimension       string       `json:"majorDimension"`
		ValueRenderOption    string       `json:"valueRenderOption"`
		DateTimeRenderOption string       `json:"dateTimeRenderOption"`
	}
	if err := strict(body, &q); err != nil {
		return nil, err
	}
	ranges := []any{}
	look := &batch{state: b.state, opt: b.server.opt, kind: "dataFilters"}
	for i := range q.DataFilters {
		g := q.DataFilters[i].GridRange
		if g == nil || b.state.tab(g.SheetID) == nil {
			return nil, newError(http.StatusBadRequest, "badRequest", "dataFilters: no such range.")
		}
		t := *b.state.tab(g.SheetID)
		t.protected = false
		look.state = &state{tabs: []*tab{&t}}
		x, err := look.box(g)
		if err != nil {
			return nil, err
		}
		found := map[string]any{"majorDimension": "ROWS", "range": t.title}
		if v := b.state.values(b.state.tab(t.id), x.top, x.left, x.end, x.last); v != nil {
			found["values"] = v
		}
		ranges = append(ranges, map[string]any{"valueRange": found, "dataFilters": []dataFilter{q.DataFilters[i]}})
	}
	return map[string]any{"spreadsheetId": b.id, "valueRanges": ranges}, nil
}

// values are those of a range, without what is empty at the ends.
func (s *state) values(t *tab, top, left, end, last int64) (rows [][]any) {
	for row := top; row < min(end, int64(len(t.cells))); row++ {
		line := []any{}
		for col := left; col < min(last, int64(len(t.cells[row]))); col++ {
			if v := s.value(t.cells[row][col]); v != nil {
				for int64(len(line)) < col-left {
					line = append(line, "")
				}
				line = append(line, v)
			}
		}
		if len(line) > 0 {
			for int64(len(rows)) < row-top {
				rows = append(rows, []any{})
			}
			rows = append(rows, line)
		}
	}
	return rows
}

// value is what a cell shows, unformatted. Formulas of two kinds are computed: ='Tab'!B2 and =SUM('Tab'!B2:B).
func (s *state) value(c cell) any {
	switch c.kind {
	case 0:
		return nil
	case 'n':
		return c.number
	case 'b':
		return c.text == "true"
	case 's':
		return c.text
	}
	if strings.Contains(c.text, "#REF!") {
		return "#REF!"
	}
	ref, sum := strings.CutPrefix(c.text, "=SUM(")
	ref = strings.TrimSuffix(strings.TrimPrefix(ref, "="), ")")
	for _, t := range s.tabs {
		at, ok := strings.CutPrefix(ref, reference(t.title))
		if !ok {
			continue
		}
		from, to, _ := strings.Cut(at, ":")
		row, col := address(from)
		if !sum {
			return s.value(t.at(row, col))
		}
		end, _ := address(to)
		if end < 0 {
			end = t.rows - 1
		}
		total := 0.0
		for ; row <= end; row++ {
			if c := t.at(row, col); c.kind == 'n' {
				total += c.number
			}
		}
		return total
	}
	return "#NAME?"
}

// address reads B2: row 1, column 1. A column alone has row -1.
func address(s string) (row, col int64) {
	i := 0
	for ; i < len(s) && s[i] >= 'A'; i++ {
		col = col*26 + int64(s[i]-'A') + 1
	}
	for ; i < len(s); i++ {
		row = row*10 + int64(s[i]-'0')
	}
	return row - 1, col - 1
}
