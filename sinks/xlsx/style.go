package xlsx

import (
	"slices"
	"strconv"
)

// style is an index into the workbook's cellXfs: what a cell's s attribute says. Every workbook begins with the same ones, so that an
// encoded batch fits every workbook; those of number formats that a user chose follow, in the order of Workbook.Formats.
type style int

const (
	styleGeneral     style = iota // floats and numerics: as many digits as fit
	styleHeader                   // bold, on a tint, with a line below
	styleText                     // "@": typing into the cell again keeps it text
	styleExact                    // a number, date or time that only text holds exactly: "@", to the right
	styleInt                      // no thousands separators: mostly identifiers
	styleDate                     // days
	styleStamp                    // seconds
	styleStampMillis              // milliseconds, the most Excel can show
	styleTime
	styleTimeMillis
	styleBool
	styleDecimal // and one more for every further digit of scale, up to maxScale
)

// Styles of pages.
const (
	styleTitle style = styleDecimal + maxScale + 1 + iota
	styleNote
	styleAlert
	styleHeaderRight // above numbers
	styleHeaderIndent
	styleIndent // a text to the right of numbers
	styleLink
	styleGood
	styleBad
	styleOpen
	styleCount
	styleDuration
	styleTotalText
	styleTotalExact
	styleTotalInt
	styleTotalGeneral
	styleTotalCount
	styleTotalDecimal // and one more for every further digit of scale

	styleCustom = styleTotalDecimal + maxScale + 1 // two for every format: of cells, and of totals
)

// maxScale is the largest number of decimals that is shown; a double holds no more digits. The value itself is whole.
const maxScale = 15

func decimalStyle(scale int32) style { return styleDecimal + style(min(scale, maxScale)) }

func customStyle(format int) style { return styleCustom + style(2*format) }

// Number formats. Identifiers below 164 are built in [ECMA-376 18.8.30]; grouping follows the reader's regional settings, so
// that 12,34,567.00 is what an Indian Excel shows.
const (
	formatGeneral     = 0
	formatInt         = 1 // 0
	formatCount       = 3 // #,##0
	formatText        = 49
	formatDate        = 164
	formatStamp       = 165
	formatStampMillis = 166
	formatTime        = 167
	formatTimeMillis  = 168
	formatDuration    = 169
	formatDecimal     = 170 // and one more for every digit of scale
	formatCustom      = 200 // and one more for every format of Workbook.Formats
)

const stylesHead = xmlHead + `<styleSheet xmlns="` + nsMain + `">`

// Fonts, fills and borders by their place in the lists below.
const (
	fontPlain = iota
	fontBold
	fontTitle
	fontGrey
	fontAlert // bold
	fontLink
	fontGood
	fontBad
	fontOpen
)

var fonts = []string{
	`<font><sz val="11"/><color rgb="FF000000"/><name val="Calibri"/><family val="2"/></font>`,
	`<font><b/><sz val="11"/><color rgb="FF000000"/><name val="Calibri"/><family val="2"/></font>`,
	`<font><b/><sz val="14"/><color rgb="FF1F2A44"/><name val="Calibri"/><family val="2"/></font>`,
	`<font><sz val="11"/><color rgb="FF5B6473"/><name val="Calibri"/><family val="2"/></font>`,
	`<font><b/><sz val="11"/><color rgb="FF9C0006"/><name val="Calibri"/><family val="2"/></font>`,
	`<font><u/><sz val="11"/><color rgb="FF1F4E9E"/><name val="Calibri"/><family val="2"/></font>`,
	`<font><sz val="11"/><color rgb="FF2E6B34"/><name val="Calibri"/><family val="2"/></font>`,
	`<font><sz val="11"/><color rgb="FF9C0006"/><name val="Calibri"/><family val="2"/></font>`,
	`<font><sz val="11"/><color rgb="FF7F6000"/><name val="Calibri"/><family val="2"/></font>`,
}

const (
	fillNone   = 0
	fillHeader = 2 // 1 is reserved
	fillBad    = 3
	fillOpen   = 4
)

var fills = []string{
	`<fill><patternFill patternType="none"/></fill>`,
	`<fill><patternFill patternType="gray125"/></fill>`,
	`<fill><patternFill patternType="solid"><fgColor rgb="FFE7EBF1"/><bgColor indexed="64"/></patternFill></fill>`,
	`<fill><patternFill patternType="solid"><fgColor rgb="FFF8DEDC"/><bgColor indexed="64"/></patternFill></fill>`,
	`<fill><patternFill patternType="solid"><fgColor rgb="FFFDF1CF"/><bgColor indexed="64"/></patternFill></fill>`,
}

const (
	borderNone = iota
	borderBelow
	borderAbove
)

var borders = []string{
	`<border><left/><right/><top/><bottom/><diagonal/></border>`,
	`<border><left/><right/><top/><bottom style="thin"><color rgb="FF8A94A6"/></bottom><diagonal/></border>`,
	`<border><left/><right/><top style="thin"><color rgb="FF8A94A6"/></top><bottom/><diagonal/></border>`,
}

// xf is a cell format [ECMA-376 18.8.45].
type xf struct {
	format, font, fill, border int
	align                      string // "", or the attributes of its alignment
}

const (
	alignRight  = `horizontal="right"`
	alignIndent = `horizontal="left" indent="1"`
)

// cellFormats are the styles that every workbook has, in the order of their constants.
func cellFormats() []xf {
	total := func(format int, align string) xf { return xf{format, fontBold, fillNone, borderAbove, align} }
	out := make([]xf, styleCustom)
	for at, x := range map[style]xf{
		styleHeader: {formatText, fontBold, fillHeader, borderBelow, ""}, styleText: {format: formatText}, styleExact: {format: formatText, align: alignRight},
		styleInt: {format: formatInt}, styleDate: {format: formatDate}, styleStamp: {format: formatStamp}, styleStampMillis: {format: formatStampMillis},
		styleTime: {format: formatTime}, styleTimeMillis: {format: formatTimeMillis},
		styleTitle: {format: formatText, font: fontTitle}, styleNote: {format: formatText, font: fontGrey}, styleAlert: {format: formatText, font: fontAlert},
		styleHeaderRight: {formatText, fontBold, fillHeader, borderBelow, alignRight}, styleHeaderIndent: {formatText, fontBold, fillHeader, borderBelow, alignIndent},
		styleIndent: {format: formatText, align: alignIndent}, styleLink: {format: formatText, font: fontLink},
		styleGood: {format: formatText, font: fontGood}, styleBad: {format: formatText, font: fontBad, fill: fillBad},
		styleOpen: {format: formatText, font: fontOpen, fill: fillOpen}, styleCount: {format: formatCount}, styleDuration: {format: formatDuration},
		styleTotalText: total(formatText, ""), styleTotalExact: total(formatText, alignRight), styleTotalInt: total(formatInt, ""),
		styleTotalGeneral: total(formatGeneral, ""), styleTotalCount: total(formatCount, ""),
	} {
		out[at] = x
	}
	for scale := range style(maxScale + 1) {
		out[styleDecimal+scale] = xf{format: formatDecimal + int(scale)}
		out[styleTotalDecimal+scale] = total(formatDecimal+int(scale), "")
	}
	return out
}

// stylesXML is xl/styles.xml of a workbook with these number formats beside its own.
func stylesXML(custom []string) []byte {
	xfs := cellFormats()
	b := append([]byte(nil), stylesHead...)
	formats := []struct {
		id   int
		code string
	}{
		{formatDate, `yyyy\-mm\-dd`}, {formatStamp, `yyyy\-mm\-dd\ hh:mm:ss`}, {formatStampMillis, `yyyy\-mm\-dd\ hh:mm:ss.000`},
		{formatTime, `hh:mm:ss`}, {formatTimeMillis, `hh:mm:ss.000`}, {formatDuration, `[h]:mm:ss.0`},
	}
	b = appendCount(b, "numFmts", len(formats)+maxScale+1+len(custom))
	for _, f := range formats {
		b = appendFormat(b, f.id, f.code)
	}
	code := "#,##0"
	for scale := range maxScale + 1 {
		if scale == 1 {
			code += "."
		}
		if scale > 0 {
			code += "0"
		}
		b = appendFormat(b, formatDecimal+scale, code)
	}
	for i, code := range custom {
		b = appendFormat(b, formatCustom+i, code)
		xfs = append(xfs, xf{format: formatCustom + i}, xf{format: formatCustom + i, font: fontBold, border: borderAbove})
	}
	b = append(b, `</numFmts>`...)
	for _, list := range []struct {
		name  string
		items []string
	}{{"fonts", fonts}, {"fills", fills}, {"borders", borders}} {
		b = appendCount(b, list.name, len(list.items))
		for _, item := range list.items {
			b = append(b, item...)
		}
		b = append(append(append(b, "</"...), list.name...), '>')
	}
	b = append(b, `<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>`...)
	b = appendCount(b, "cellXfs", len(xfs))
	for i := range xfs {
		b = xfs[i].append(b)
	}
	return append(b, `</cellXfs><cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>`...)
}

func (x *xf) append(b []byte) []byte {
	number := func(name string, n int) {
		b = append(append(b, name...), `="`...)
		b = append(strconv.AppendInt(b, int64(n), 10), `" `...)
	}
	b = append(b, `<xf `...)
	number("numFmtId", x.format)
	number("fontId", x.font)
	number("fillId", x.fill)
	number("borderId", x.border)
	b = append(b, `xfId="0" applyNumberFormat="1"`...)
	for _, a := range []struct {
		set  bool
		name string
	}{{x.font != fontPlain, "applyFont"}, {x.fill != fillNone, "applyFill"}, {x.border != borderNone, "applyBorder"}, {x.align != "", "applyAlignment"}} {
		if a.set {
			b = append(append(append(b, ' '), a.name...), `="1"`...)
		}
	}
	if x.align != "" {
		return append(append(append(b, `><alignment `...), x.align...), `/></xf>`...)
	}
	return append(b, `/>`...)
}

func appendCount(b []byte, name string, n int) []byte {
	b = append(append(append(b, '<'), name...), ` count="`...)
	return append(strconv.AppendInt(b, int64(n), 10), `">`...)
}

func appendFormat(b []byte, id int, code string) []byte {
	b = append(b, `<numFmt numFmtId="`...)
	b = strconv.AppendInt(b, int64(id), 10)
	b, _ = appendEscaped(append(b, `" formatCode="`...), []byte(code))
	return append(b, `"/>`...)
}

// missingFormats are those of codes that have has not, each once, sorted, so that the order of asking does not matter.
func missingFormats(have, codes []string) []string {
	var out []string
	for _, c := range codes {
		if !slices.Contains(have, c) && !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	slices.Sort(out)
	return out
}
