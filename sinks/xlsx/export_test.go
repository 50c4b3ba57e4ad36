package xlsx

import "fanmill/pipeline/columnar"

// Doors for the tests.
var (
	AppendEscaped = appendEscaped
	ExactNumber   = exactNumber
	FoldName      = foldName
	CheckName     = checkName
)

// LimitRows makes the sheets of an encoder hold so many rows, header included.
func (e *Encoder) LimitRows(rows int64) { e.rowsOfSheet = rows - 1 }

// Sum is the totals of a batch.
func (e *Encoder) Sum(b *columnar.Batch) []columnar.Total { return e.sum(b) }

// MoveEnd says that the workbook ends somewhere else.
func (wb *Workbook) MoveEnd(length int64) { wb.length = length }

// MarkupStyles pairs the style numbers spelled in the markup with their names.
func MarkupStyles() map[string]int {
	return map[string]int{
		textStart: int(styleText), textKeep: int(styleText), exactStart: int(styleExact), headerStart: int(styleHeader),
		headerKeep: int(styleHeader), generalStart: int(styleGeneral), intStart: int(styleInt), dateStart: int(styleDate),
		stampStart: int(styleStamp), stampMillisStart: int(styleStampMillis), timeStart: int(styleTime),
		timeMillisStart: int(styleTimeMillis), falseCell: int(styleBool), trueCell: int(styleBool), decimalStarts[2]: int(styleDecimal) + 2,
	}
}
