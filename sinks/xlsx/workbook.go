package xlsx

import (
	"errors"
	"fmt"
	"io"
	"slices"
)

// Properties are the document properties of a workbook.
type Properties struct {
	Title       string
	Creator     string
	Application string
}

// Workbook is what is known of a workbook's file: its directory and its length. It holds no file and never changes;
// Append, Compact and the With methods return the state after them, so that the same append can be done to a second copy
// of the file.
type Workbook struct {
	props   Properties
	length  int64
	sheets  []sheet   // in the order of their tabs
	page    *lastPage // nil if there is none
	fixed   []*entry  // written by the first append, good for all
	styles  *entry    // nil before the first append
	styled  int       // how many of formats the styles have
	formats []string
	meta    []*entry // written anew by every append
	lastID  int      // the largest sheetId given so far
}

// sheet is a sheet of the file.
type sheet struct {
	*entry
	place    [4]int // series and order
	title    string
	relation string // that leads to it
	id       int    // sheetId, as good as any unique number
	filter   string // the range of its filter, absolute: $A$1:$M$100
	facts    *entry // nil if there are none
	text     []byte // of the facts
}

// lastPage is the page of the file, or one that the next append writes.
type lastPage struct {
	*entry
	title  string
	id     int
	filter string
	front  bool
	body   []byte // compressed; nil once it is written
}

// NewSheet is a finished sheet on its way into a workbook.
type NewSheet struct {
	// Series comes before Order: whoever appends to a workbook of an earlier time numbers its sheets by a later one.
	Series int
	// Order places the tab, whatever the order of appending: by connection, query and roll-over.
	Order   [3]int
	Name    string // see SheetNames and RollOver
	Columns int
	// Facts is a text to be found again with the sheet by SheetInfo, kept in the file as custom XML, out of users' sight; nil is
	// none. It must be such that XML can hold it.
	Facts []byte
	Segment
	Open func() (io.ReadCloser, error) // the segment's bytes: exactly Length
}

// place is where the sheet's tab stands among all.
func (n *NewSheet) place() [4]int { return [4]int{n.Series, n.Order[0], n.Order[1], n.Order[2]} }

// SheetInfo is a sheet of a workbook.
type SheetInfo struct {
	Series int
	Order  [3]int
	Name   string
	Facts  []byte
}

// New is a workbook of which nothing is written yet. Before it can be opened something has to be appended, if only no
// sheets.
func New(p Properties) *Workbook { return &Workbook{props: p} }

// Length is where the workbook ends, and where the next Append writes.
func (wb *Workbook) Length() int64 { return wb.length }

// Sheets counts the sheets, without the page.
func (wb *Workbook) Sheets() int { return len(wb.sheets) }

// Sheet describes the i-th tab.
func (wb *Workbook) Sheet(i int) SheetInfo {
	s := &wb.sheets[i]
	return SheetInfo{s.place[0], [3]int(s.place[1:]), s.title, s.text}
}

// Formats are the number formats that cells may have beside those of their types, in the order of their styles.
func (wb *Workbook) Formats() []string { return slices.Clone(wb.formats) }

// WithFormats is the workbook with these number formats, which the next Append writes. Those that it has keep their places.
func (wb *Workbook) WithFormats(codes ...string) (*Workbook, error) {
	next := *wb
	next.formats = slices.Concat(wb.formats, missingFormats(wb.formats, codes))
	for _, c := range next.formats {
		if err := CheckFormat(c); err != nil {
			return nil, err
		}
	}
	if len(next.formats) > maxFormats {
		return nil, fmt.Errorf("the workbook would have %d number formats beside its own, Excel takes %d: use fewer different ones", len(next.formats), maxFormats)
	}
	return &next, nil
}

// WithPage is the workbook with p after all its sheets, in place of the page that it has; nil is none. The next Append or Compact
// writes it.
func (wb *Workbook) WithPage(p *Page) *Workbook {
	next := *wb
	next.page = nil
	if p != nil {
		next.page = &lastPage{title: p.name, filter: p.filterArea("$"), front: p.front}
		next.page.entry, next.page.body = p.pack()
	}
	return &next
}

// WithoutFacts is the workbook without the facts of sheets that are of a series before this one.
func (wb *Workbook) WithoutFacts(before int) *Workbook {
	next := *wb
	next.sheets = slices.Clone(wb.sheets)
	for i := range next.sheets {
		if s := &next.sheets[i]; s.place[0] < before {
			s.facts, s.text = nil, nil
		}
	}
	return &next
}

// finalBlock ends a deflate stream: a final block without a byte [RFC 1951 3.2.6].
const finalBlock = "\x03\x00"

// Append writes sheets, and a directory that makes a workbook of the whole file again, at w, which stands at Length. A workbook
// without sheets and page gets the one empty sheet that there must be, which goes away with the first real one. An error leaves
// bytes after Length behind; write again over them.
//
// The bytes depend on the workbook and the sheets alone. It fails if a segment's bytes are not as many as Length says.
func (wb *Workbook) Append(w io.Writer, sheets []NewSheet) (*Workbook, error) {
	a, err := wb.Add(sheets)
	if err != nil {
		return nil, err
	}
	if err := a.Write(w); err != nil {
		return nil, err
	}
	return a.Workbook(), nil
}

// Add prepares what Append writes: everything but the sheets' own bytes is made here, once for all copies of the file.
func (wb *Workbook) Add(sheets []NewSheet) (*Addition, error) {
	next := *wb
	next.sheets = slices.Clone(wb.sheets)
	for i := range sheets {
		n := &sheets[i]
		next.lastID++
		s := sheet{entry: sheetEntry(n, next.lastID), place: n.place(), title: n.Name, id: next.lastID, filter: filterOf(n), text: n.Facts}
		s.relation = fmt.Sprintf(sheetRelation, s.place[0], s.place[1], s.place[2], s.place[3])
		if n.Facts != nil {
			s.facts = &entry{name: fmt.Sprintf(factsFile, s.id)}
		}
		next.sheets = append(next.sheets, s)
	}
	slices.SortStableFunc(next.sheets, func(a, b sheet) int { return slices.Compare(a.place[:], b.place[:]) })
	if err := next.check(); err != nil {
		return nil, fmt.Errorf("append to workbook: %w", err)
	}
	if next.page != nil && next.page.body != nil {
		next.numberPage()
	}
	a := &Addition{next: &next}
	out := &archive{w: &a.between, at: wb.length}
	next.writeMeta(out)
	if len(wb.fixed) == 0 {
		next.writeFixed(out)
	}
	if next.styles == nil || next.styled < len(next.formats) {
		next.styles, next.styled = out.put(stylesFile, stylesXML(next.formats)), len(next.formats)
	}
	for i := range sheets {
		s := next.find(sheets[i].place())
		s.offset = out.at
		out.write(s.appendLocal(nil))
		a.sheet(&sheets[i])
		out.at += sheets[i].Length
		out.write([]byte(finalBlock))
		if s.facts != nil {
			s.facts = out.put(s.facts.name, factsXML(s.text))
		}
	}
	next.writePage(out)
	if err := next.writeDirectory(out); err != nil {
		return nil, fmt.Errorf("append to workbook: %w", err)
	}
	return a, nil
}

// Compact writes the workbook that r holds to w without what later appends made obsolete. Sheets are copied as they are
// compressed; they are numbered in the order of the tabs, so that the result does not depend on the order in which they
// were appended. It takes further sheets like any other workbook.
func (wb *Workbook) Compact(r io.ReaderAt, w io.Writer) (*Workbook, error) {
	if len(wb.fixed) == 0 {
		return nil, errors.New("compact workbook: nothing was appended to it yet")
	}
	next := *wb
	next.sheets, next.fixed, next.lastID = slices.Clone(wb.sheets), nil, len(wb.sheets)
	for i := range next.sheets {
		s := &next.sheets[i]
		s.entry, s.id = s.renamed(sheetFile, i+1), i+1
		if s.facts != nil {
			s.facts = s.facts.renamed(factsFile, i+1)
		}
	}
	if wb.page != nil {
		next.numberPage()
	}
	if err := next.check(); err != nil {
		return nil, fmt.Errorf("compact workbook: %w", err)
	}
	out := &archive{w: w}
	next.writeMeta(out)
	for _, e := range wb.fixed {
		to := *e
		next.fixed = append(next.fixed, &to)
		out.copyEntry(&to, e, r)
	}
	if wb.styled < len(wb.formats) {
		next.styles, next.styled = out.put(stylesFile, stylesXML(wb.formats)), len(wb.formats)
	} else {
		next.styles = &entry{}
		*next.styles = *wb.styles
		out.copyEntry(next.styles, wb.styles, r)
	}
	for i := range next.sheets {
		s := &next.sheets[i]
		out.copyEntry(s.entry, wb.sheets[i].entry, r)
		if s.facts != nil {
			out.copyEntry(s.facts, wb.sheets[i].facts, r)
		}
	}
	if wb.page != nil && wb.page.body == nil {
		out.copyEntry(next.page.entry, wb.page.entry, r)
	} else {
		next.writePage(out)
	}
	if err := next.writeDirectory(out); err != nil {
		return nil, fmt.Errorf("compact workbook: %w", err)
	}
	return &next, nil
}

func sheetEntry(n *NewSheet, id int) *entry {
	return &entry{name: fmt.Sprintf(sheetFile, id), size: n.Length + int64(len(finalBlock)), raw: n.RawLength, crc: n.CRC32}
}

// filterOf spells the range of a sheet's filter, "" if it has no columns.
func filterOf(n *NewSheet) string {
	if n.Columns == 0 {
		return ""
	}
	return string(appendArea(nil, n.Columns, n.Rows+1, "$"))
}

// check refuses what Excel would call a damaged file.
func (wb *Workbook) check() error {
	names := make(map[string]bool, len(wb.sheets)+1)
	named := func(title string) error {
		if err := checkName(title); err != nil {
			return err
		}
		key := foldName(title)
		if names[key] {
			return fmt.Errorf("two sheets are named %q (Excel ignores case)", title)
		}
		names[key] = true
		return nil
	}
	for i := range wb.sheets {
		s := &wb.sheets[i]
		if err := named(s.title); err != nil {
			return err
		}
		if i > 0 && wb.sheets[i-1].place == s.place {
			return fmt.Errorf("sheets %q and %q have the same place %v", wb.sheets[i-1].title, s.title, s.place)
		}
	}
	if wb.page != nil {
		return named(wb.page.title)
	}
	return nil
}

func (wb *Workbook) find(place [4]int) *sheet {
	i, _ := slices.BinarySearchFunc(wb.sheets, place, func(s sheet, p [4]int) int { return slices.Compare(s.place[:], p[:]) })
	return &wb.sheets[i]
}

// numberPage gives the page the file and the number of the sheet after all others.
func (wb *Workbook) numberPage() {
	wb.lastID++
	next := *wb.page
	next.id = wb.lastID
	next.entry = next.renamed(sheetFile, next.id)
	wb.page = &next
}

// writePage writes the page if that is still to be done.
func (wb *Workbook) writePage(out *archive) {
	if p := wb.page; p != nil && p.body != nil {
		out.putPacked(p.entry, p.body)
		p.body = nil
	}
}

// writeMeta writes the parts that name the sheets. They come before the sheets because programs that guess a file's type
// look at the first entries only.
func (wb *Workbook) writeMeta(out *archive) {
	wb.meta = []*entry{
		out.put(typesFile, wb.contentTypes()),
		out.put(workbookFile, wb.workbookXML()),
		out.put(relationsFile, wb.relations()),
	}
	if len(wb.sheets) == 0 && wb.page == nil {
		wb.meta = append(wb.meta, out.put(emptyFile, []byte(emptySheet)))
	}
}

func (wb *Workbook) writeFixed(out *archive) {
	wb.fixed = []*entry{
		out.put(rootFile, []byte(rootRelations)),
		out.put(coreFile, wb.props.core()),
		out.put(appFile, wb.props.app()),
		out.put(customFile, []byte(customProperties)),
	}
}

// writeDirectory ends the archive.
func (wb *Workbook) writeDirectory(out *archive) error {
	entries := append(slices.Concat(wb.meta, wb.fixed), wb.styles)
	for i := range wb.sheets {
		entries = append(entries, wb.sheets[i].entry)
		if f := wb.sheets[i].facts; f != nil {
			entries = append(entries, f)
		}
	}
	if wb.page != nil {
		entries = append(entries, wb.page.entry)
	}
	out.write(appendDirectory(nil, entries, out.at))
	wb.length = out.at
	return out.err
}
