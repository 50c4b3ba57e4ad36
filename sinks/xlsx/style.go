package xlsx

import "strconv"

// style is an index into the workbook's cellXfs: what a cell's s attribute says. Every workbook has the same ones, so
// that an encoded batch fits every workbook.
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

// maxScale is the largest number of decimals that is shown; a double holds no more digits. The value itself is whole.
const maxScale = 15

func decimalStyle(scale int32) style { return styleDecimal + style(min(scale, maxScale)) }

// Number formats. Identifiers below 164 are built in [ECMA-376 18.8.30]; grouping follows the reader's regional settings, so
// that 12,34,567.00 is what an Indian Excel shows.
const (
	formatGeneral     = 0
	formatInt         = 1 // 0
	formatText        = 49
	formatDate        = 164
	formatStamp       = 165
	formatStampMillis = 166
	formatTime        = 167
	formatTimeMillis  = 168
	formatDecimal     = 170 // and one more for every digit of scale
)

const stylesHead = xmlHead + `<styleSheet xmlns="` + nsMain + `">`

// stylesXML is xl/styles.xml. The order of cellXfs is that of the style constants.
func stylesXML() []byte {
	b := append([]byte(nil), stylesHead...)
	formats := []struct {
		id   int
		code string
	}{
		{formatDate, `yyyy\-mm\-dd`}, {formatStamp, `yyyy\-mm\-dd\ hh:mm:ss`}, {formatStampMillis, `yyyy\-mm\-dd\ hh:mm:ss.000`},
		{formatTime, `hh:mm:ss`}, {formatTimeMillis, `hh:mm:ss.000`},
	}
	b = append(b, `<numFmts count="`...)
	b = strconv.AppendInt(b, int64(len(formats)+maxScale+1), 10)
	b = append(b, `">`...)
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
	b = append(b, `</numFmts><fonts count="2">`+
		`<font><sz val="11"/><color rgb="FF000000"/><name val="Calibri"/><family val="2"/></font>`+
		`<font><b/><sz val="11"/><color rgb="FF000000"/><name val="Calibri"/><family val="2"/></font></fonts>`+
		`<fills count="3"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill>`+
		`<fill><patternFill patternType="solid"><fgColor rgb="FFE7EBF1"/><bgColor indexed="64"/></patternFill></fill></fills>`+
		`<borders count="2"><border><left/><right/><top/><bottom/><diagonal/></border>`+
		`<border><left/><right/><top/><bottom style="thin"><color rgb="FF8A94A6"/></bottom><diagonal/></border></borders>`+
		`<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs><cellXfs count="`...)
	b = strconv.AppendInt(b, int64(styleDecimal)+maxScale+1, 10)
	b = append(b, `">`...)
	xf := func(format int) {
		b = append(b, `<xf numFmtId="`...)
		b = strconv.AppendInt(b, int64(format), 10)
		b = append(b, `" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>`...)
	}
	xf(formatGeneral)
	b = append(b, `<xf numFmtId="49" fontId="1" fillId="2" borderId="1" xfId="0" applyNumberFormat="1" applyFont="1" applyFill="1" applyBorder="1"/>`...)
	xf(formatText)
	b = append(b, `<xf numFmtId="49" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1" applyAlignment="1"><alignment horizontal="right"/></xf>`...)
	for _, f := range []int{formatInt, formatDate, formatStamp, formatStampMillis, formatTime, formatTimeMillis, formatGeneral} {
		xf(f)
	}
	for scale := range maxScale + 1 {
		xf(formatDecimal + scale)
	}
	return append(b, `</cellXfs><cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>`...)
}

func appendFormat(b []byte, id int, code string) []byte {
	b = append(b, `<numFmt numFmtId="`...)
	b = strconv.AppendInt(b, int64(id), 10)
	return append(append(append(b, `" formatCode="`...), code...), `"/>`...)
}
