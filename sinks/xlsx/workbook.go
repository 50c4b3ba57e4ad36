package xlsx

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/flate"
)

// Properties are the document properties of a workbook.
type Properties struct {
	Title       string
	Creator     string
	Application string
}

// Workbook is what is known of a workbook's file: its directory and its length. It holds no file and never changes;
// Append and Compact return the state after them, so that the same append can be done to a second copy of the file.
type Workbook struct {
	props  Properties
	length int64
	sheets []sheet  // in the order of their tabs
	fixed  []*entry // written by the first append, good for all
	meta   []*entry // written anew by every append
	lastID int      // the largest sheetId given so far
}

// sheet is a sheet of the file.
type sheet struct {
	*entry
	order  [3]int
	title  string
	id     int    // sheetId, as good as any unique number
	filter string // the range of its filter, absolute: $A$1:$M$100
}

// NewSheet is a finished sheet on its way into a workbook.
type NewSheet struct {
	// Order places the tab, whatever the order of appending: by connection, query and roll-over. The connection may be
	// negative for sheets before all others.
	Order   [3]int
	Name    string // see SheetNames and RollOver
	Columns int
	Segment
	Open func() (io.ReadCloser, error) // the segment's bytes: exactly Length
}

// New is a workbook of which nothing is written yet. Before it can be opened something has to be appended, if only no
// sheets.
func New(p Properties) *Workbook { return &Workbook{props: p} }

// Length is where the workbook ends, and where the next Append writes.
func (wb *Workbook) Length() int64 { return wb.length }

// Sheets counts the sheets.
func (wb *Workbook) Sheets() int { return len(wb.sheets) }

// Sheet returns the order and the name of the i-th tab.
func (wb *Workbook) Sheet(i int) (order [3]int, name string) {
	return wb.sheets[i].order, wb.sheets[i].title
}

// finalBlock ends a deflate stream: a final block without a byte [RFC 1951 3.2.6].
const finalBlock = "\x03\x00"

// Append writes sheets, and a directory that makes a workbook of the whole file again, at w, which stands at Length. Without
// sheets it writes an empty workbook's one obligatory sheet, which goes away with the first real one. An error leaves bytes
// after Length behind; write again over them.
//
// The bytes depend on the workbook and the sheets alone. It fails if a segment's bytes are not as many as Length says.
func (wb *Workbook) Append(w io.Writer, sheets []NewSheet) (*Workbook, error) {
	next := &Workbook{props: wb.props, sheets: slices.Clone(wb.sheets), fixed: slices.Clone(wb.fixed), lastID: wb.lastID}
	for i := range sheets {
		n := &sheets[i]
		next.lastID++
		next.sheets = append(next.sheets, sheet{entry: sheetEntry(n, next.lastID), order: n.Order, title: n.Name, id: next.lastID, filter: filterOf(n)})
	}
	slices.SortStableFunc(next.sheets, func(a, b sheet) int { return slices.Compare(a.order[:], b.order[:]) })
	if err := next.check(); err != nil {
		return nil, fmt.Errorf("append to workbook: %w", err)
	}
	out := &archive{w: w, at: wb.length}
	next.writeMeta(out)
	if len(wb.fixed) == 0 {
		next.writeFixed(out)
	}
	for i := range sheets {
		n := &sheets[i]
		e := next.find(n.Order).entry
		if err := out.copyIn(e, n.Open, n.Length, finalBlock); err != nil {
			return nil, fmt.Errorf("append sheet %q: %w", n.Name, err)
		}
	}
	if err := next.writeDirectory(out); err != nil {
		return nil, fmt.Errorf("append to workbook: %w", err)
	}
	return next, nil
}

// Compact writes the workbook that r holds to w without what later appends made obsolete. Sheets are copied as they are
// compressed; they are numbered in the order of the tabs, so that the result does not depend on the order in which they
// were appended. It takes further sheets like any other workbook.
func (wb *Workbook) Compact(r io.ReaderAt, w io.Writer) (*Workbook, error) {
	if len(wb.fixed) == 0 {
		return nil, errors.New("compact workbook: nothing was appended to it yet")
	}
	next := &Workbook{props: wb.props, sheets: slices.Clone(wb.sheets), lastID: len(wb.sheets)}
	for i := range next.sheets {
		s := &next.sheets[i]
		e := *s.entry
		e.name = fmt.Sprintf(sheetFile, i+1)
		s.entry, s.id = &e, i+1
	}
	out := &archive{w: w}
	next.writeMeta(out)
	copied := func(e *entry, from *entry) error {
		open := func() (io.ReadCloser, error) {
			return io.NopCloser(io.NewSectionReader(r, from.data(), from.size)), nil
		}
		return out.copyIn(e, open, from.size, "")
	}
	for _, from := range wb.fixed {
		e := *from
		if err := copied(&e, from); err != nil {
			return nil, fmt.Errorf("compact workbook: copy %s: %w", e.name, err)
		}
		next.fixed = append(next.fixed, &e)
	}
	for i := range next.sheets {
		if err := copied(next.sheets[i].entry, wb.sheets[i].entry); err != nil {
			return nil, fmt.Errorf("compact workbook: copy sheet %q: %w", next.sheets[i].title, err)
		}
	}
	if err := next.writeDirectory(out); err != nil {
		return nil, fmt.Errorf("compact workbook: %w", err)
	}
	return next, nil
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
	names := make(map[string]bool, len(wb.sheets))
	for i := range wb.sheets {
		s := &wb.sheets[i]
		if err := checkName(s.title); err != nil {
			return err
		}
		if key := foldName(s.title); names[key] {
			return fmt.Errorf("two sheets are named %q (Excel ignores case)", s.title)
		} else {
			names[key] = true
		}
		if i > 0 && wb.sheets[i-1].order == s.order {
			return fmt.Errorf("sheets %q and %q have the same place %v", wb.sheets[i-1].title, s.title, s.order)
		}
	}
	return nil
}

func (wb *Workbook) find(order [3]int) *sheet {
	i, _ := slices.BinarySearchFunc(wb.sheets, order, func(s sheet, o [3]int) int { return slices.Compare(s.order[:], o[:]) })
	return &wb.sheets[i]
}

// writeMeta writes the parts that name the sheets. They come before the sheets because programs that guess a file's type
// look at the first entries only.
func (wb *Workbook) writeMeta(out *archive) {
	wb.meta = []*entry{
		out.put(typesFile, wb.contentTypes()),
		out.put(workbookFile, wb.workbookXML()),
		out.put(relationsFile, wb.relations()),
	}
	if len(wb.sheets) == 0 {
		wb.meta = append(wb.meta, out.put(emptyFile, []byte(emptySheet)))
	}
}

func (wb *Workbook) writeFixed(out *archive) {
	wb.fixed = []*entry{
		out.put(rootFile, []byte(rootRelations)),
		out.put(coreFile, wb.props.core()),
		out.put(appFile, wb.props.app()),
		out.put(stylesFile, stylesXML()),
	}
}

// writeDirectory ends the archive.
func (wb *Workbook) writeDirectory(out *archive) error {
	entries := slices.Concat(wb.meta, wb.fixed)
	for i := range wb.sheets {
		entries = append(entries, wb.sheets[i].entry)
	}
	out.write(appendDirectory(nil, entries, out.at))
	wb.length = out.at
	return out.err
}

// archive writes entries one after the other and remembers the first error.
type archive struct {
	w   io.Writer
	at  int64
	err error
}

func (a *archive) write(p []byte) {
	if a.err != nil {
		return
	}
	n, err := a.w.Write(p)
	a.at += int64(n)
	a.err = err
}

var partWriters = sync.Pool{New: func() any {
	fw, err := flate.NewWriter(nil, 6)
	if err != nil {
		panic(err) // an unknown level
	}
	return fw
}}

// put compresses and writes a small part.
func (a *archive) put(name string, content []byte) *entry {
	var body bytes.Buffer
	fw := partWriters.Get().(*flate.Writer)
	fw.Reset(&body)
	_, _ = fw.Write(content) // a buffer takes everything
	_ = fw.Close()
	partWriters.Put(fw)
	e := &entry{name: name, offset: a.at, size: int64(body.Len()), raw: int64(len(content)), crc: crcOf(content)}
	a.write(append(e.appendLocal(nil), body.Bytes()...))
	return e
}

var copyBuffers = sync.Pool{New: func() any { return new([256 << 10]byte) }}

// copyIn writes an entry whose bytes are what open gives, exactly length of them, and then end.
func (a *archive) copyIn(e *entry, open func() (io.ReadCloser, error), length int64, end string) error {
	e.offset = a.at
	a.write(e.appendLocal(nil))
	if a.err != nil {
		return a.err
	}
	r, err := open()
	if err != nil {
		return err
	}
	defer r.Close()
	buf := copyBuffers.Get().(*[256 << 10]byte)
	defer copyBuffers.Put(buf)
	n, err := io.CopyBuffer(struct{ io.Writer }{a.w}, io.LimitReader(r, length), buf[:])
	a.at += n
	if err != nil {
		a.err = err
		return err
	}
	if n < length {
		return fmt.Errorf("its part holds %d bytes of the recorded %d: %w", n, length, io.ErrUnexpectedEOF)
	}
	if n, err := r.Read(buf[:1]); n > 0 {
		return fmt.Errorf("its part holds more than the recorded %d bytes", length)
	} else if err != nil && err != io.EOF {
		return err
	}
	a.write([]byte(end))
	return a.err
}

// isFixed and isMeta sort the files of a workbook.
func isFixed(name string) bool {
	return name == rootFile || name == coreFile || name == appFile || name == stylesFile
}

func isMeta(name string) bool {
	return name == typesFile || name == workbookFile || name == relationsFile
}

func isSheet(name string) bool { return strings.HasPrefix(name, "xl/worksheets/") }
