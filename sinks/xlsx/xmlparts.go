package xlsx

import (
	"fmt"
	"hash/crc32"
	"strconv"
)

// The files of a workbook [ECMA-376 part 2, part 1 12.3].
const (
	typesFile     = "[Content_Types].xml"
	rootFile      = "_rels/.rels"
	coreFile      = "docProps/core.xml"
	appFile       = "docProps/app.xml"
	workbookFile  = "xl/workbook.xml"
	relationsFile = "xl/_rels/workbook.xml.rels"
	stylesFile    = "xl/styles.xml"
	sheetFile     = "xl/worksheets/sheet%d.xml" // some readers find sheets by this name alone

	// The relation that leads to a sheet says its order: connection, query, roll-over. Load reads it from there.
	sheetRelation = "s%d-%d-%d"

	// What stands in while there is no sheet.
	emptyFile     = "xl/worksheets/sheet1.xml"
	emptyName     = "Sheet1"
	emptyRelation = "empty"
)

const (
	nsRelations   = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
	nsPackage     = "http://schemas.openxmlformats.org/package/2006/"
	typeOffice    = "application/vnd.openxmlformats-officedocument."
	typeSheet     = typeOffice + "spreadsheetml.worksheet+xml"
	relationsHead = xmlHead + `<Relationships xmlns="` + nsPackage + `relationships">`

	rootRelations = relationsHead +
		`<Relationship Id="rId1" Type="` + nsRelations + `/officeDocument" Target="xl/workbook.xml"/>` +
		`<Relationship Id="rId2" Type="` + nsPackage + `relationships/metadata/core-properties" Target="docProps/core.xml"/>` +
		`<Relationship Id="rId3" Type="` + nsRelations + `/extended-properties" Target="docProps/app.xml"/></Relationships>`

	emptySheet = xmlHead + `<worksheet xmlns="` + nsMain + `"><sheetData/></worksheet>`
)

func crcOf(b []byte) uint32 { return crc32.ChecksumIEEE(b) }

// core is docProps/core.xml. It has no dates: the same workbook is to be the same bytes.
func (p *Properties) core() []byte {
	b := []byte(xmlHead + `<cp:coreProperties xmlns:cp="` + nsPackage + `metadata/core-properties" xmlns:dc="http://purl.org/dc/elements/1.1/">`)
	b = appendElement(b, "dc:title", p.Title)
	b = appendElement(b, "dc:creator", p.Creator)
	return append(b, `</cp:coreProperties>`...)
}

func (p *Properties) app() []byte {
	b := []byte(xmlHead + `<Properties xmlns="http://schemas.openxmlformats.org/officeDocument/2006/extended-properties">`)
	b = appendElement(b, "Application", p.Application)
	return append(b, `</Properties>`...)
}

func appendElement(b []byte, name, text string) []byte {
	if text == "" {
		return b
	}
	b = append(append(append(b, '<'), name...), '>')
	b, _ = appendEscaped(b, []byte(text))
	return append(append(append(b, '<', '/'), name...), '>')
}

// tabs calls f with the file, the relation and the sheet of every tab; an empty workbook has one all the same.
func (wb *Workbook) tabs(f func(file, relation string, s *sheet)) {
	for i := range wb.sheets {
		s := &wb.sheets[i]
		f(s.name, fmt.Sprintf(sheetRelation, s.order[0], s.order[1], s.order[2]), s)
	}
	if len(wb.sheets) == 0 {
		f(emptyFile, emptyRelation, &sheet{title: emptyName, id: 1})
	}
}

func (wb *Workbook) contentTypes() []byte {
	b := []byte(xmlHead + `<Types xmlns="` + nsPackage + `content-types">` +
		`<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>` +
		`<Default Extension="xml" ContentType="application/xml"/>` +
		`<Override PartName="/xl/workbook.xml" ContentType="` + typeOffice + `spreadsheetml.sheet.main+xml"/>` +
		`<Override PartName="/xl/styles.xml" ContentType="` + typeOffice + `spreadsheetml.styles+xml"/>` +
		`<Override PartName="/docProps/core.xml" ContentType="application/vnd.openxmlformats-package.core-properties+xml"/>` +
		`<Override PartName="/docProps/app.xml" ContentType="` + typeOffice + `extended-properties+xml"/>`)
	wb.tabs(func(file, _ string, _ *sheet) {
		b = append(append(b, `<Override PartName="/`...), file...)
		b = append(b, `" ContentType="`+typeSheet+`"/>`...)
	})
	return append(b, `</Types>`...)
}

// workbookXML lists the sheets in the order of their tabs; the first is in front [ECMA-376 18.2.27].
func (wb *Workbook) workbookXML() []byte {
	b := []byte(xmlHead + `<workbook xmlns="` + nsMain + `" xmlns:r="` + nsRelations + `"><workbookPr/>` +
		`<bookViews><workbookView xWindow="0" yWindow="0" windowWidth="28800" windowHeight="15000" activeTab="0"/></bookViews><sheets>`)
	filters := false
	wb.tabs(func(_, relation string, s *sheet) {
		b, _ = appendEscaped(append(b, `<sheet name="`...), []byte(s.title))
		b = strconv.AppendInt(append(b, `" sheetId="`...), int64(s.id), 10)
		b = append(append(b, `" r:id="`...), relation...)
		b = append(b, `"/>`...)
		filters = filters || s.filter != ""
	})
	b = append(b, `</sheets>`...)
	if filters {
		// Excel keeps a hidden name for every filtered range, and so do the programs that read it.
		b = append(b, `<definedNames>`...)
		for i := range wb.sheets {
			s := &wb.sheets[i]
			if s.filter == "" {
				continue
			}
			b = strconv.AppendInt(append(b, `<definedName name="_xlnm._FilterDatabase" localSheetId="`...), int64(i), 10)
			b = append(b, `" hidden="1">`...)
			b, _ = appendEscaped(b, quoteName(s.title))
			b = append(append(append(b, '!'), s.filter...), `</definedName>`...)
		}
		b = append(b, `</definedNames>`...)
	}
	return append(b, `</workbook>`...)
}

func (wb *Workbook) relations() []byte {
	b := []byte(relationsHead + `<Relationship Id="rId1" Type="` + nsRelations + `/styles" Target="styles.xml"/>`)
	wb.tabs(func(file, relation string, _ *sheet) {
		b = append(append(b, `<Relationship Id="`...), relation...)
		b = append(b, `" Type="`+nsRelations+`/worksheet" Target="`...)
		b = append(append(b, file[len("xl/"):]...), `"/>`...)
	})
	return append(b, `</Relationships>`...)
}
