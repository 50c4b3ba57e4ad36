package xlsx

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/klauspost/compress/flate"
)

// ErrNotOurs is wrapped by what Load returns for a file that was read, and is not a workbook as this package writes it.
var ErrNotOurs = errors.New("it is damaged, or not a workbook that fanmill wrote")

// Load reads the state of a workbook that this package wrote and that ends at length; bytes after that are not looked at. A
// workbook of which nothing was written yet has length 0. It checks the directory, every entry's header and all parts but
// the sheets' own bytes.
func Load(r io.ReaderAt, length int64, p Properties) (*Workbook, error) {
	if length == 0 {
		return New(p), nil
	}
	wb := &Workbook{props: p, length: length}
	l := &loader{r: r, wb: wb, files: map[string]*entry{}}
	if err := l.load(); err != nil {
		return nil, fmt.Errorf("read workbook of %d bytes: %w", length, err)
	}
	return wb, nil
}

// Marked reports whether a file is, or once was, a workbook of this package: other programs keep its mark when they save it.
func Marked(r io.ReaderAt, length int64) bool {
	z, err := zip.NewReader(r, length)
	if err != nil {
		return false
	}
	f, err := z.Open(customFile)
	if err != nil {
		return false
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxPart))
	return err == nil && bytes.Contains(content, []byte(` name="`+Mark+`"`))
}

// loader sorts the entries of a file.
type loader struct {
	r     io.ReaderAt
	wb    *Workbook
	files map[string]*entry // those not yet accounted for
}

// relation is how a part is found.
type relation struct {
	ID     string `xml:"Id,attr"`
	Target string `xml:"Target,attr"`
}

func (l *loader) load() error {
	entries, err := readDirectory(l.r, l.wb.length)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if l.files[e.name] != nil {
			return fmt.Errorf("entry %s is there twice: %w", e.name, ErrNotOurs)
		}
		l.files[e.name] = e
	}
	for _, f := range []func() error{l.fixed, l.styles, l.sheets} {
		if err := f(); err != nil {
			return err
		}
	}
	for name := range l.files {
		return fmt.Errorf("entry %s is one that fanmill does not write: %w", name, ErrNotOurs)
	}
	return l.wb.check()
}

// take finds a part; nobody else may have it.
func (l *loader) take(name string) (*entry, error) {
	e := l.files[name]
	if e == nil {
		return nil, fmt.Errorf("%s is missing: %w", name, ErrNotOurs)
	}
	delete(l.files, name)
	return e, nil
}

// fixed takes the parts that are the same in every workbook, but for its properties.
func (l *loader) fixed() error {
	for _, name := range []string{rootFile, coreFile, appFile, customFile} {
		e, err := l.take(name)
		if err != nil {
			return err
		}
		content, err := l.read(e)
		if err != nil {
			return err
		}
		if want := map[string]string{rootFile: rootRelations, customFile: customProperties}[name]; want != "" && string(content) != want {
			return fmt.Errorf("%s is not as fanmill writes it: %w", name, ErrNotOurs)
		}
		l.wb.fixed = append(l.wb.fixed, e)
	}
	return nil
}

// styles finds the number formats that the workbook has beside its own; with them its styles must be what we write.
func (l *loader) styles() error {
	wb := l.wb
	var err error
	if wb.styles, err = l.take(stylesFile); err != nil {
		return err
	}
	content, err := l.read(wb.styles)
	if err != nil {
		return err
	}
	var sheet struct {
		Formats []struct {
			ID   int    `xml:"numFmtId,attr"`
			Code string `xml:"formatCode,attr"`
		} `xml:"numFmts>numFmt"`
	}
	if err := xml.Unmarshal(content, &sheet); err != nil {
		return fmt.Errorf("%s: %w: %w", stylesFile, err, ErrNotOurs)
	}
	for _, f := range sheet.Formats {
		if f.ID >= formatCustom {
			wb.formats = append(wb.formats, unescaped(f.Code))
		}
	}
	wb.styled = len(wb.formats)
	if !bytes.Equal(content, stylesXML(wb.formats)) {
		return fmt.Errorf("%s is not as fanmill writes it: %w", stylesFile, ErrNotOurs)
	}
	return nil
}

// sheets finds the sheets, the page and the facts, as the parts that name them say.
func (l *loader) sheets() error {
	wb := l.wb
	var book struct {
		Views []struct {
			Active int `xml:"activeTab,attr"`
		} `xml:"bookViews>workbookView"`
		Sheets []struct {
			Name string `xml:"name,attr"`
			ID   int    `xml:"sheetId,attr"`
			RID  string `xml:"http://schemas.openxmlformats.org/officeDocument/2006/relationships id,attr"`
		} `xml:"sheets>sheet"`
		Names []struct {
			Sheet int    `xml:"localSheetId,attr"`
			Area  string `xml:",chardata"`
		} `xml:"definedNames>definedName"`
	}
	var types struct{}
	var relations struct {
		List []relation `xml:"Relationship"`
	}
	for _, part := range []struct {
		name string
		into any
	}{{typesFile, &types}, {workbookFile, &book}, {relationsFile, &relations}} {
		e, err := l.take(part.name)
		if err != nil {
			return err
		}
		if err := l.readXML(e, part.into); err != nil {
			return err
		}
		wb.meta = append(wb.meta, e)
	}
	targets := make(map[string]string, len(relations.List))
	for _, rel := range relations.List {
		targets[rel.ID] = strings.TrimPrefix("xl/"+rel.Target, "xl/../")
	}
	for i, s := range book.Sheets {
		e, err := l.take(targets[s.RID])
		if err != nil {
			return fmt.Errorf("sheet %q: %w", s.Name, err)
		}
		wb.lastID = max(wb.lastID, s.ID)
		switch {
		case s.RID == emptyRelation && len(book.Sheets) == 1:
			wb.meta, wb.lastID = append(wb.meta, e), 0
		case s.RID == pageRelation && i == len(book.Sheets)-1:
			wb.page = &lastPage{entry: e, title: s.Name, id: s.ID, front: len(book.Views) == 1 && book.Views[0].Active == i}
		default:
			found := sheet{entry: e, title: s.Name, relation: s.RID, id: s.ID}
			if found.place, err = placeOf(s.RID); err != nil {
				return fmt.Errorf("sheet %q: %w", s.Name, err)
			}
			if err := l.facts(&found, targets); err != nil {
				return fmt.Errorf("sheet %q: %w", s.Name, err)
			}
			wb.sheets = append(wb.sheets, found)
		}
	}
	for _, n := range book.Names {
		area := n.Area[strings.LastIndexByte(n.Area, '!')+1:]
		switch {
		case n.Sheet >= 0 && n.Sheet < len(wb.sheets):
			wb.sheets[n.Sheet].filter = area
		case n.Sheet == len(wb.sheets) && wb.page != nil:
			wb.page.filter = area
		default:
			return fmt.Errorf("a filter of sheet %d: %w", n.Sheet, ErrNotOurs)
		}
	}
	return nil
}

// placeOf reads a sheet's place from its relation.
func placeOf(relation string) (place [4]int, err error) {
	fields := strings.Split(strings.TrimPrefix(relation, "s"), "-")
	if len(fields) != len(place) || relation[0] != 's' {
		return place, fmt.Errorf("relation %q: %w", relation, ErrNotOurs)
	}
	for i, f := range fields {
		if place[i], err = strconv.Atoi(f); err != nil {
			return place, fmt.Errorf("relation %q: %w", relation, ErrNotOurs)
		}
	}
	if fmt.Sprintf(sheetRelation, place[0], place[1], place[2], place[3]) != relation {
		return place, fmt.Errorf("relation %q: %w", relation, ErrNotOurs)
	}
	return place, nil
}

// facts reads those of a sheet, if it has any.
func (l *loader) facts(s *sheet, targets map[string]string) error {
	file := targets[factsRelation(s.relation)]
	if file == "" {
		return nil
	}
	var err error
	if s.facts, err = l.take(file); err != nil {
		return err
	}
	var facts struct {
		XMLName xml.Name `xml:"urn:fanmill:facts facts"`
		Text    []byte   `xml:",chardata"`
	}
	if err := l.readXML(s.facts, &facts); err != nil {
		return err
	}
	s.text = facts.Text
	return nil
}

// factsXML is the part that holds a sheet's facts.
func factsXML(text []byte) []byte {
	b := bytes.NewBufferString(factsHead)
	_ = xml.EscapeText(b, text) // a buffer takes everything
	b.WriteString(factsTail)
	return b.Bytes()
}

// maxPart bounds what a part may unfold to: a directory line that lies must not fill the memory.
const maxPart = 64 << 20

func (l *loader) readXML(e *entry, into any) error {
	b, err := l.read(e)
	if err != nil {
		return err
	}
	if err := xml.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%s: %w: %w", e.name, err, ErrNotOurs)
	}
	return nil
}

// read unfolds a part and compares it with its checksum.
func (l *loader) read(e *entry) ([]byte, error) {
	if e.raw > maxPart {
		return nil, fmt.Errorf("%s is %d bytes long: %w", e.name, e.raw, ErrNotOurs)
	}
	fr := flate.NewReader(io.NewSectionReader(l.r, e.data(), e.size))
	defer fr.Close()
	b, err := io.ReadAll(io.LimitReader(fr, e.raw+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", e.name, err, ErrNotOurs)
	}
	if int64(len(b)) != e.raw || crcOf(b) != e.crc {
		return nil, fmt.Errorf("%s does not match its checksum: %w", e.name, ErrNotOurs)
	}
	return b, nil
}
