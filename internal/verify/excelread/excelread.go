// Package excelread reads workbooks through excelize, as a second opinion beside package verify's own reader: a workbook
// that both read alike was not understood by accident. It is apart so that only tests carry excelize.
package excelread

import (
	"errors"
	"fmt"
	"slices"

	"github.com/xuri/excelize/v2"

	"fanmill/internal/verify"
)

// Workbook is verify.Workbook, read row by row through excelize. It cannot tell NULL from the empty text, nor how a value is
// stored: compare with verify.DiffLoose.
func Workbook(file string, truth []verify.Column, skip ...string) (out verify.Dataset, err error) {
	f, err := excelize.OpenFile(file, excelize.Options{RawCellValue: true})
	if err != nil {
		return nil, fmt.Errorf("read workbook %s: %w", file, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	out = verify.Dataset{}
	for _, name := range f.GetSheetList() {
		if slices.Contains(skip, name) {
			continue
		}
		if out[name], err = sheet(f, name, truth); err != nil {
			return nil, fmt.Errorf("read workbook %s: sheet %q: %w", file, name, err)
		}
	}
	return out, nil
}

func sheet(f *excelize.File, name string, truth []verify.Column) (_ verify.Table, err error) {
	rows, err := f.Rows(name)
	if err != nil {
		return verify.Table{}, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if !rows.Next() {
		return verify.Table{}, errors.Join(rows.Error(), errors.New("the sheet has no header row"))
	}
	header, err := rows.Columns()
	if err != nil {
		return verify.Table{}, err
	}
	t := verify.NewCells(header, truth)
	for rows.Next() {
		cells, err := rows.Columns()
		if err != nil {
			return verify.Table{}, err
		}
		if err := t.Row(cells); err != nil {
			return verify.Table{}, err
		}
	}
	return t.Table(), rows.Error()
}
