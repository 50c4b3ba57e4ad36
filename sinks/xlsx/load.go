package xlsx

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/flate"
)

// Load reads the state of a workbook that this package wrote and that ends at length; bytes after that are not looked at. A
// workbook of which nothing was written yet has length 0. It checks the directory, every entry's header and the parts
// that name the sheets, not the sheets' own bytes.
func Load(r io.ReaderAt, length int64, p Properties) (*Workbook, error) {
	if length == 0 {
		return New(p), nil
	}
	wb := &Workbook{props: p, length: length}
	if err := wb.load(r); err != nil {
		return nil, fmt.Errorf("read workbook of %d bytes: %w", length, err)
	}
	return wb, nil
}

func (wb *Workbook) load(r io.ReaderAt) error {
	entries, err := readDirectory(r, wb.length)
	if err != nil {
		return err
	}
	files := make(map[string]*entry, len(entries))
	for _, e := range entries {
		if files[e.name] != nil {
			return fmt.Errorf("entry %s is there twice: %w", e.name, errNotOurs)
		}
		files[e.name] = e
		switch {
		case isFixed(e.name):
			wb.fixed = append(wb.fixed, e)
		case isMeta(e.name):
			wb.meta = append(wb.meta, e)
		case !isSheet(e.name):
			return fmt.Errorf("entry %s: %w", e.name, errNotOurs)
		}
	}
	var book struct {
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
	var relations struct {
		List []struct {
			ID     string `xml:"Id,attr"`
			Target string `xml:"Target,attr"`
		} `xml:"Relationship"`
	}
	if err := readXML(r, files, workbookFile, &book); err != nil {
		return err
	}
	if err := readXML(r, files, relationsFile, &relations); err != nil {
		return err
	}
	targets := make(map[string]string, len(relations.List))
	for _, rel := range relations.List {
		targets[rel.ID] = "xl/" + rel.Target
	}
	for _, s := range book.Sheets {
		file := targets[s.RID]
		e := files[file]
		if e == nil {
			return fmt.Errorf("sheet %q has no file: %w", s.Name, errNotOurs)
		}
		delete(files, file)
		if s.RID == emptyRelation && len(book.Sheets) == 1 {
			wb.meta = append(wb.meta, e)
			break
		}
		found := sheet{entry: e, title: s.Name, id: s.ID}
		if n, err := fmt.Sscanf(s.RID, sheetRelation, &found.order[0], &found.order[1], &found.order[2]); n != 3 || err != nil {
			return fmt.Errorf("sheet %q in %s: %w", s.Name, file, errNotOurs)
		}
		wb.sheets = append(wb.sheets, found)
		wb.lastID = max(wb.lastID, s.ID)
	}
	for _, n := range book.Names {
		if n.Sheet < 0 || n.Sheet >= len(wb.sheets) {
			return fmt.Errorf("a filter of sheet %d: %w", n.Sheet, errNotOurs)
		}
		wb.sheets[n.Sheet].filter = n.Area[strings.LastIndexByte(n.Area, '!')+1:]
	}
	for name := range files {
		if isSheet(name) {
			return fmt.Errorf("file %s has no sheet: %w", name, errNotOurs)
		}
	}
	if len(wb.fixed) != 4 {
		return fmt.Errorf("parts are missing: %w", errNotOurs)
	}
	return wb.check()
}

// maxPart bounds what a part may unfold to: a directory line that lies must not fill the memory.
const maxPart = 64 << 20

// readXML reads a small part.
func readXML(r io.ReaderAt, files map[string]*entry, name string, into any) error {
	e := files[name]
	if e == nil {
		return fmt.Errorf("%s is missing: %w", name, errNotOurs)
	}
	if e.raw > maxPart {
		return fmt.Errorf("%s is %d bytes long: %w", name, e.raw, errNotOurs)
	}
	fr := flate.NewReader(io.NewSectionReader(r, e.data(), e.size))
	defer fr.Close()
	b, err := io.ReadAll(io.LimitReader(fr, e.raw+1))
	if err != nil {
		return fmt.Errorf("%s: %w: %w", name, err, errNotOurs)
	}
	if int64(len(b)) != e.raw || crcOf(b) != e.crc {
		return fmt.Errorf("%s does not match its checksum: %w", name, errNotOurs)
	}
	if err := xml.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%s: %w: %w", name, err, errNotOurs)
	}
	return nil
}
