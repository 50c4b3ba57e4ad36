package xlsx

import (
	"math"
	"strconv"

	"fanmill/pipeline/columnar"
)

// What follows the row number of a cell. The numbers are styles; TestMarkupNamesStyles holds them together.
const (
	textStart   = `" s="2" t="inlineStr"><is><t>`
	textKeep    = `" s="2" t="inlineStr"><is><t xml:space="preserve">`
	exactStart  = `" s="3" t="inlineStr"><is><t>`
	headerStart = `" s="1" t="inlineStr"><is><t>`
	headerKeep  = `" s="1" t="inlineStr"><is><t xml:space="preserve">`
	textEnd     = `</t></is></c>`

	generalStart     = `" s="0"><v>`
	intStart         = `" s="4"><v>`
	dateStart        = `" s="5"><v>`
	stampStart       = `" s="6"><v>`
	stampMillisStart = `" s="7"><v>`
	timeStart        = `" s="8"><v>`
	timeMillisStart  = `" s="9"><v>`
	falseCell        = `" s="10" t="b"><v>0</v></c>`
	trueCell         = `" s="10" t="b"><v>1</v></c>`
	numberEnd        = `</v></c>`
)

// Excel keeps 15 significant digits of a number [ECMA-376 18.17.5]: a longer whole one, which may be an identifier,
// is written as text, and one with a fraction is rounded to them.
const (
	maxDigits  = 15
	pastDigits = 1_000_000_000_000_000 // 10^maxDigits
)

// smallestFloat is the smallest magnitude Excel keeps; it makes a zero of a denormal.
const smallestFloat = 0x1p-1022

// appendRows writes rows from..to-1 of the batch as rows number, number+1... of the sheet.
func (w *cellWriter) appendRows(from, to int, number int64) error {
	var digits [20]byte
	var err error
	buf := w.buf
	for i := from; i < to; i++ {
		row := strconv.AppendInt(digits[:0], number, 10)
		number++
		buf = append(buf, `<row r="`...)
		buf = append(buf, row...)
		buf = append(buf, `">`...)
		for k := range w.cols {
			c := &w.cols[k]
			if c.view.Null(i) {
				continue
			}
			buf = append(buf, c.open...)
			buf = append(buf, row...)
			switch c.form {
			case columnar.Text:
				if buf, err = w.appendText(buf, c.view.Bytes(i), k, i, textStart, textKeep); err != nil {
					return err
				}
			case columnar.Decimal:
				v := c.view.Decimals[i]
				if hi, lo := v.HighBits(), v.LowBits(); hi == 0 && lo < pastDigits || hi == -1 && -lo-1 < pastDigits-1 {
					buf = append(columnar.AppendDecimal(append(buf, c.start...), v, int(c.view.Scale)), numberEnd...)
				} else if buf, err = w.appendLongDecimal(buf, c, k, i); err != nil {
					return err
				}
			case columnar.Int:
				if v := c.view.Longs[i]; v < pastDigits && v > -pastDigits {
					buf = append(strconv.AppendInt(append(buf, c.start...), v, 10), numberEnd...)
				} else {
					w.long(k, i)
					buf = append(strconv.AppendInt(append(buf, exactStart...), v, 10), textEnd...)
				}
			case columnar.Date:
				buf = w.appendDate(buf, c, k, i, int64(c.view.Ints[i]))
			case columnar.Timestamp:
				buf = w.appendStamp(buf, c, k, i, c.view.Longs[i])
			case columnar.Instant:
				v := c.view.Longs[i]
				buf = w.appendStamp(buf, c, k, i, v+w.clock.Offset(v)*1_000_000)
			case columnar.Float:
				buf = w.appendFloat(buf, c, k, i, math.Float64frombits(uint64(c.view.Longs[i])))
			case columnar.Float32:
				buf = w.appendFloat(buf, c, k, i, float64(math.Float32frombits(uint32(c.view.Ints[i]))))
			case columnar.Bool:
				if c.view.Bool(i) {
					buf = append(buf, trueCell...)
				} else {
					buf = append(buf, falseCell...)
				}
			case columnar.Time:
				buf = w.appendTime(buf, c, k, i, c.view.Longs[i])
			case columnar.Uint:
				if v := uint64(c.view.Longs[i]); v < pastDigits {
					buf = append(strconv.AppendUint(append(buf, c.start...), v, 10), numberEnd...)
				} else {
					w.long(k, i)
					buf = append(strconv.AppendUint(append(buf, exactStart...), v, 10), textEnd...)
				}
			case columnar.Numeric:
				if buf, err = w.appendNumber(buf, c, k, i, c.view.Bytes(i)); err != nil {
					return err
				}
			case columnar.Mixed:
				if buf, err = w.appendMixed(buf, c, k, i); err != nil {
					return err
				}
			case formDigits:
				buf = w.appendDigits(buf, c, k, i)
			case columnar.TimestampNano:
				if buf, err = w.appendStampNano(buf, c, k, i, 0); err != nil {
					return err
				}
			case columnar.InstantNano:
				if buf, err = w.appendStampNano(buf, c, k, i, w.clock.OffsetNano(c.view.Longs[i])); err != nil {
					return err
				}
			case columnar.TimeNano:
				if buf, err = w.appendTimeNano(buf, c, k, i); err != nil {
					return err
				}
			default:
				if buf, err = w.appendBinary(buf, c.view.Bytes(i), k, i); err != nil {
					return err
				}
			}
			if len(buf) >= flushBytes { // a row may be many times that
				buf = w.compress(buf)
			}
		}
		buf = append(buf, "</row>"...)
	}
	w.buf = buf
	return nil
}

// appendText writes a text cell of column k and batch row i, cut to what a cell holds.
func (w *cellWriter) appendText(buf, s []byte, k, i int, start, keep string) ([]byte, error) {
	if len(s) > MaxCellUnits {
		if whole := cutUnits(s, MaxCellUnits); len(whole) < len(s) {
			if err := w.lose(k, i, LossCut, units(s)); err != nil {
				return buf, err
			}
			s = whole
		}
	}
	if edgeSpace(s) {
		start = keep
	}
	buf, ok := appendEscaped(append(buf, start...), s)
	if !ok {
		if err := w.lose(k, i, LossUTF8, 0); err != nil {
			return buf, err
		}
	}
	return append(buf, textEnd...), nil
}

// appendLongDecimal writes a decimal whose unscaled value has more digits than Excel keeps.
func (w *cellWriter) appendLongDecimal(buf []byte, c *cellColumn, k, i int) ([]byte, error) {
	w.scratch = columnar.AppendDecimal(w.scratch[:0], c.view.Decimals[i], int(c.view.Scale))
	return w.appendNumber(buf, c, k, i, w.scratch)
}

// exactNumber reports whether s is a plain decimal number that Excel keeps digit for digit: at most 15 of them, not
// counting zeros at the end of the fraction, which add nothing to the value. Zeros at the end of an integer do count:
// a column of 16-digit identifiers is not to be half text, half numbers. Exponents, NaN and the like are not plain.
func exactNumber(s []byte) bool {
	if len(s) > 0 && s[0] == '-' {
		s = s[1:]
	}
	point := 0
	for point < len(s) && s[point] >= '0' && s[point] <= '9' {
		point++
	}
	// More than 300 characters may be a value below the smallest double.
	if point == 0 || point > maxDigits || point > 1 && s[0] == '0' || len(s) > 300 {
		return false
	}
	if point == len(s) {
		return true
	}
	if s[point] != '.' || point+1 == len(s) {
		return false
	}
	significant, digits := 0, point
	if s[0] == '0' {
		digits = 0
	}
	for _, c := range s[point+1:] {
		if c < '0' || c > '9' {
			return false
		}
		if digits > 0 || c != '0' {
			digits++
		}
		if c != '0' {
			significant = digits
		}
	}
	return significant <= maxDigits
}

// appendFloat writes the shortest digits that read back as the same value.
func (w *cellWriter) appendFloat(buf []byte, c *cellColumn, k, i int, f float64) []byte {
	if keepsFloat(f) {
		return append(c.view.AppendText(append(buf, c.start...), i, nil), numberEnd...)
	}
	w.stray(k, i)
	return append(c.view.AppendText(append(buf, textStart...), i, nil), textEnd...)
}

// keepsFloat reports whether a cell holds a double as a number: none but a number may stand there, or Excel takes the
// workbook for damaged.
func keepsFloat(f float64) bool {
	a := math.Abs(f)
	return a >= smallestFloat && a <= math.MaxFloat64 || a == 0
}

// appendBinary writes bytes as 0x and hexadecimal digits, cut to what a cell holds.
func (w *cellWriter) appendBinary(buf, s []byte, k, i int) ([]byte, error) {
	const most = (MaxCellUnits - len("0x")) / 2
	if len(s) > most {
		if err := w.lose(k, i, LossCut, len("0x")+2*len(s)); err != nil {
			return buf, err
		}
		s = s[:most]
	}
	const digits = "0123456789abcdef" // as in a CSV
	buf = append(append(buf, textStart...), "0x"...)
	for _, c := range s {
		buf = append(buf, digits[c>>4], digits[c&15])
	}
	return append(buf, textEnd...), nil
}
