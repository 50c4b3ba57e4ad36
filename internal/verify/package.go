package verify

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// sheetPart is a worksheet as the workbook names it.
type sheetPart struct {
	name string
	file *zip.File
}

// workbookPackage is an open .xlsx file [ECMA-376] part 2, its index read and checked.
type workbookPackage struct {
	zip    *zip.ReadCloser
	sheets []sheetPart // in the order of the tabs
	shared []string    // shared strings; fanmill writes none, but a spreadsheet program does
}

// openPackage reads what a spreadsheet program reads first. Every sheet must be named once, be in the archive once, and
// have the content type of a worksheet.
func openPackage(file string) (_ *workbookPackage, err error) {
	z, err := zip.OpenReader(file)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, z.Close())
		}
	}()
	parts := map[string]*zip.File{}
	for _, f := range z.File {
		if parts[f.Name] != nil {
			return nil, fmt.Errorf("the archive has %s twice", f.Name)
		}
		parts[f.Name] = f
	}
	var book struct {
		Sheets []struct {
			Name string `xml:"name,attr"`
			ID   string `xml:"http://schemas.openxmlformats.org/officeDocument/2006/relationships id,attr"`
		} `xml:"sheets>sheet"`
	}
	var rels struct {
		List []struct {
			ID     string `xml:"Id,attr"`
			Target string `xml:"Target,attr"`
		} `xml:"Relationship"`
	}
	var types struct {
		Overrides []struct {
			Part string `xml:"PartName,attr"`
			Type string `xml:"ContentType,attr"`
		} `xml:"Override"`
	}
	for name, into := range map[string]any{"xl/workbook.xml": &book, "xl/_rels/workbook.xml.rels": &rels, "[Content_Types].xml": &types} {
		if err := readPart(parts[name], name, into); err != nil {
			return nil, err
		}
	}
	if len(book.Sheets) == 0 {
		return nil, errors.New("the workbook has no sheet; no program opens one without")
	}
	typed := map[string]string{}
	for _, o := range types.Overrides {
		typed[strings.TrimPrefix(o.Part, "/")] = o.Type
	}
	targets := map[string]string{}
	for _, r := range rels.List {
		if strings.HasPrefix(r.Target, "/") {
			targets[r.ID] = r.Target[1:]
		} else {
			targets[r.ID] = path.Join("xl", r.Target)
		}
	}
	p := &workbookPackage{zip: z}
	names := map[string]bool{}
	for _, s := range book.Sheets {
		f := parts[targets[s.ID]]
		switch {
		case f == nil:
			return nil, fmt.Errorf("sheet %q has no part in the archive (relationship %s)", s.Name, s.ID)
		case typed[f.Name] != "application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml":
			return nil, fmt.Errorf("sheet %q: %s has the content type %q", s.Name, f.Name, typed[f.Name])
		case names[strings.ToLower(s.Name)]:
			return nil, fmt.Errorf("there are two sheets %q", s.Name)
		}
		names[strings.ToLower(s.Name)] = true
		p.sheets = append(p.sheets, sheetPart{s.Name, f})
	}
	p.shared, err = sharedStrings(parts["xl/sharedStrings.xml"])
	return p, err
}

func readPart(f *zip.File, name string, into any) error {
	if f == nil {
		return fmt.Errorf("the archive has no %s", name)
	}
	r, err := f.Open()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	data, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err == nil {
		err = xml.Unmarshal(data, into)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func sharedStrings(f *zip.File) ([]string, error) {
	if f == nil {
		return nil, nil
	}
	var table struct {
		Items []struct {
			Text string   `xml:"t"`
			Runs []string `xml:"r>t"`
		} `xml:"si"`
	}
	if err := readPart(f, f.Name, &table); err != nil {
		return nil, err
	}
	out := make([]string, len(table.Items))
	for i, s := range table.Items {
		out[i] = s.Text + strings.Join(s.Runs, "")
	}
	return out, nil
}

// OpenWorkbook looks whether a workbook opens: the archive and its index are sound, every byte of every part is read and
// agrees with its checksum, every sheet ends as it should. It returns the tabs in their order and the rows of each,
// headers included, without looking into the cells: quick enough to be done after every kill of a crash test.
func OpenWorkbook(file string) (sheets []string, rows map[string]int, err error) {
	p, err := openPackage(file)
	if err != nil {
		return nil, nil, fmt.Errorf("open workbook %s: %w", file, err)
	}
	defer func() { err = errors.Join(err, p.zip.Close()) }()
	counted := map[*zip.File]int{}
	for _, f := range p.zip.File {
		n, err := countRows(f)
		if err != nil {
			return nil, nil, fmt.Errorf("open workbook %s: %s: %w", file, f.Name, err)
		}
		counted[f] = n
	}
	rows = map[string]int{}
	for _, s := range p.sheets {
		if counted[s.file] < 0 {
			return nil, nil, fmt.Errorf("open workbook %s: %s does not end in </worksheet>", file, s.file.Name)
		}
		sheets = append(sheets, s.name)
		rows[s.name] = counted[s.file]
	}
	return sheets, rows, nil
}

// countRows reads a part to its end, which checks its checksum, and counts the rows in it; -1 if the end is not that of a
// worksheet. In XML text there is no <, so what looks like a row's tag is one.
func countRows(f *zip.File) (n int, err error) {
	r, err := f.Open()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	const keep = 32 // bytes carried over: more than a tag's beginning and the last tag
	buf := make([]byte, 256<<10)
	held := 0
	for {
		got, err := io.ReadFull(r, buf[held:])
		data := buf[:held+got]
		last := err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !last {
			return 0, err
		}
		limit := len(data)
		if !last {
			limit -= keep
		}
		n += countTags(data, limit)
		if last {
			if !bytes.HasSuffix(bytes.TrimRight(data, "\r\n\t "), []byte("</worksheet>")) {
				return -1, nil
			}
			return n, nil
		}
		held = copy(buf, data[limit:])
	}
}

// countTags counts the tags <row that begin before limit.
func countTags(data []byte, limit int) (n int) {
	for i := 0; ; {
		at := bytes.Index(data[i:], []byte("<row"))
		if at < 0 || i+at >= limit {
			return n
		}
		i += at + 4
		if i < len(data) && (data[i] == ' ' || data[i] == '>' || data[i] == '/') {
			n++
		}
	}
}
