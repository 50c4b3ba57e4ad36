package xlsx

import (
	"hash/crc32"
	"strconv"
)

// The files of a workbook [ECMA-376 part 2, part 1 12.3].
const (
	typesFile     = "[Content_Types].xml"
	rootFile      = "_rels/.rels"
	coreFile      = "docProps/core.xml"
	appFile       = "docProps/app.xml"
	customFile    = "docProps/custom.xml"
	workbookFile  = "xl/workbook.xml"
	relationsFile = "xl/_rels/workbook.xml.rels"
	stylesFile    = "xl/styles.xml"
	sheetFile     = "xl/worksheets/sheet%d.xml" // some readers find sheets by this name alone
	factsFile     = "customXml/item%d.xml"      // custom XML data [ECMA-376 15.2.5], numbered as its sheet

	// The relation that leads to a sheet says its place: series, and order of connection, query and roll-over. Load reads it
	// from there.
	sheetRelation = "s%d-%d-%d-%d"
	pageRelation  = "page"

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
		`<Relationship Id="rId3" Type="` + nsRelations + `/extended-properties" Target="docProps/app.xml"/>` +
		`<Relationship Id="rId4" Type="` + nsRelations + `/custom-properties" Target="docProps/custom.xml"/></Relationships>`

	// Mark is the document property that every workbook of this package has. Programs that save it keep the property, but not the
	// structure that an append needs.
	Mark = "fanmill"

	customProperties = xmlHead + `<Properties xmlns="http://schemas.openxmlformats.org/officeDocument/2006/custom-properties" ` +
		`xmlns:vt="http://schemas.openxmlformats.org/officeDocument/2006/docPropsVTypes">` +
		`<property fmtid="{D5CDD505-2E9C-101B-9397-08002B2CF9AE}" pid="2" name="` + Mark + `"><vt:lpwstr>appendable 1</vt:lpwstr></property></Properties>`

	factsHead = xmlHead + `<facts xmlns="urn:fanmill:facts">`
	factsTail = `</facts>`

	emptySheet = xmlHead + `<worksheet xmlns="` + nsMain + `"><sheetData/></worksheet>`
)

// factsRelation leads to the facts of the sheet that a relation leads to: it has another first letter.
func factsRelation(sheet string) string { return "f" + sheet[1:] }

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

// tab is a sheet as the workbook names it.
type tab struct {
	file, relation, title string
	id                    int
	filter                string
}

// tabs calls f for every tab in order; an empty workbook has one all the same.
func (wb *Workbook) tabs(f func(t tab)) {
	for i := range wb.sheets {
		s := &wb.sheets[i]
		f(tab{s.name, s.relation, s.title, s.id, s.filter})
	}
	switch {
	case wb.page != nil:
		p := wb.page
		f(tab{p.name, pageRelation, p.title, p.id, p.filter})
	case len(wb.sheets) == 0:
		f(tab{emptyFile, emptyRelation, emptyName, 1, ""})
	}
}

func (wb *Workbook) contentTypes() []byte {
	b := []byte(xmlHead + `<Types xmlns="` + nsPackage + `content-types">` +
		`<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>` +
		`<Default Extension="xml" ContentType="application/xml"/>` +
		`<Override PartName="/xl/workbook.xml" ContentType="` + typeOffice + `spreadsheetml.sheet.main+xml"/>` +
		`<Override PartName="/xl/styles.xml" ContentType="` + typeOffice + `spreadsheetml.styles+xml"/>` +
		`<Override PartName="/docProps/core.xml" ContentType="application/vnd.openxmlformats-package.core-properties+xml"/>` +
		`<Override PartName="/docProps/app.xml" ContentType="` + typeOffice + `extended-properties+xml"/>` +
		`<Override PartName="/docProps/custom.xml" ContentType="` + typeOffice + `custom-properties+xml"/>`)
	wb.tabs(func(t tab) {
		b = append(append(b, `<Override PartName="/`...), t.file...)
		b = append(b, `" ContentType="`+typeSheet+`"/>`...)
	})
	return append(b, `</Types>`...)
}

// workbookXML lists the sheets in the order of their tabs; the first is in front unless the page is to be [ECMA-376 18.2.27].
func (wb *Workbook) workbookXML() []byte {
	front := 0
	if wb.page != nil && wb.page.front {
		front = len(wb.sheets)
	}
	b := []byte(xmlHead + `<workbook xmlns="` + nsMain + `" xmlns:r="` + nsRelations + `"><workbookPr/>` +
		`<bookViews><workbookView xWindow="0" yWindow="0" windowWidth="28800" windowHeight="15000" activeTab="`)
	b = append(strconv.AppendInt(b, int64(front), 10), `"/></bookViews><sheets>`...)
	filters := false
	wb.tabs(func(t tab) {
		b, _ = appendEscaped(append(b, `<sheet name="`...), []byte(t.title))
		b = strconv.AppendInt(append(b, `" sheetId="`...), int64(t.id), 10)
		b = append(append(b, `" r:id="`...), t.relation...)
		b = append(b, `"/>`...)
		filters = filters || t.filter != ""
	})
	b = append(b, `</sheets>`...)
	if filters {
		// Excel keeps a hidden name for every filtered range, and so do the programs that read it.
		b = append(b, `<definedNames>`...)
		n := int64(0)
		wb.tabs(func(t tab) {
			if t.filter != "" {
				b = strconv.AppendInt(append(b, `<definedName name="_xlnm._FilterDatabase" localSheetId="`...), n, 10)
				b = append(b, `" hidden="1">`...)
				b, _ = appendEscaped(b, quoteName(t.title))
				b = append(append(append(b, '!'), t.filter...), `</definedName>`...)
			}
			n++
		})
		b = append(b, `</definedNames>`...)
	}
	return append(b, `</workbook>`...)
}

func (wb *Workbook) relations() []byte {
	b := []byte(relationsHead + `<Relationship Id="rId1" Type="` + nsRelations + `/styles" Target="styles.xml"/>`)
	wb.tabs(func(t tab) {
		b = append(append(b, `<Relationship Id="`...), t.relation...)
		b = append(b, `" Type="`+nsRelations+`/worksheet" Target="`...)
		b = append(append(b, t.file[len("xl/"):]...), `"/>`...)
	})
	for i := range wb.sheets {
		if s := &wb.sheets[i]; s.facts != nil {
			b = append(append(b, `<Relationship Id="`...), factsRelation(s.relation)...)
			b = append(append(b, `" Type="`+nsRelations+`/customXml" Target="../`...), s.facts.name...)
			b = append(b, `"/>`...)
		}
	}
	return append(b, `</Relationships>`...)
}
