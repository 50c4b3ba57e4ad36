package sheets

import (
	"context"
	"errors"
	"net/http"

	"google.golang.org/api/googleapi"
)

// probeBody is a batch that fails whatever the spreadsheet holds: ids of tabs are not negative. Who may not write is
// told so first; nothing is changed.
const probeBody = `{"requests":[{"deleteSheet":{"sheetId":-1}}]}`

// Probe looks whether the spreadsheet can be reached, read and written, and changes nothing. An error is a
// *pipeline.Trouble that says what to do.
func (d *Document) Probe(ctx context.Context) error {
	if _, err := d.client.get(ctx, d.c.Spreadsheet, "spreadsheetId"); err != nil {
		return d.classify("read", err)
	}
	err := d.client.update(ctx, d.c.Spreadsheet, []byte(probeBody))
	var g *googleapi.Error
	if errors.As(err, &g) && g.Code == http.StatusBadRequest {
		return nil
	}
	return d.classify("write", err)
}
