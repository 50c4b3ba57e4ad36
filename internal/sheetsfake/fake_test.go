package sheetsfake_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2/google"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
	"google.golang.org/api/sheets/v4"

	"fanmill/internal/sheetsfake"
)

const account = "robot@fake.iam.gserviceaccount.com"

// world is a fake with one spreadsheet, and Google's own client logged in at it.
type world struct {
	*sheetsfake.Server
	book *sheetsfake.Book
	api  *sheets.Service
}

func newWorld(t *testing.T, o sheetsfake.Options) *world {
	t.Helper()
	s, err := sheetsfake.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	jwt, err := google.JWTConfigFromJSON(s.KeyFile(account), sheets.SpreadsheetsScope)
	if err != nil {
		t.Fatal(err)
	}
	api, err := sheets.NewService(context.Background(), option.WithHTTPClient(jwt.Client(context.Background())), option.WithEndpoint(s.URL()))
	if err != nil {
		t.Fatal(err)
	}
	return &world{Server: s, book: s.Create("doc", account), api: api}
}

func (w *world) do(requests ...*sheets.Request) error {
	_, err := w.api.Spreadsheets.BatchUpdate("doc", &sheets.BatchUpdateSpreadsheetRequest{Requests: requests}).Do()
	return err
}

func addSheet(id int64, title string, rows, cols int64, hidden bool) *sheets.Request {
	return &sheets.Request{AddSheet: &sheets.AddSheetRequest{Properties: &sheets.SheetProperties{SheetId: id, Title: title, Hidden: hidden,
		GridProperties: &sheets.GridProperties{RowCount: rows, ColumnCount: cols}}}}
}

func set(id int64, fields string, p *sheets.SheetProperties) *sheets.Request {
	p.SheetId = id
	return &sheets.Request{UpdateSheetProperties: &sheets.UpdateSheetPropertiesRequest{Properties: p, Fields: fields}}
}

func remove(id int64) *sheets.Request {
	return &sheets.Request{DeleteSheet: &sheets.DeleteSheetRequest{SheetId: id}}
}

func text(id int64, s string) *sheets.Request {
	return &sheets.Request{UpdateCells: &sheets.UpdateCellsRequest{Fields: "userEnteredValue", Start: &sheets.GridCoordinate{SheetId: id},
		Rows: []*sheets.RowData{{Values: []*sheets.CellData{{UserEnteredValue: &sheets.ExtendedValue{StringValue: &s}}}}}}}
}

func mark(id int64, value string) *sheets.Request {
	return &sheets.Request{CreateDeveloperMetadata: &sheets.CreateDeveloperMetadataRequest{DeveloperMetadata: &sheets.DeveloperMetadata{
		MetadataId: id, MetadataKey: "k", MetadataValue: value, Visibility: "DOCUMENT", Location: &sheets.DeveloperMetadataLocation{Spreadsheet: true}}}}
}

// What Google refuses with 400, and that nothing of such a batch is done.
func TestRefusedBatchesChangeNothing(t *testing.T) {
	long := strings.Repeat("x", 50_001)
	for name, c := range map[string]struct {
		say      string
		requests []*sheets.Request
	}{
		"last visible tab":       {"can't remove all the visible sheets", []*sheets.Request{addSheet(5, "Hidden", 1, 1, true), remove(0)}},
		"hide the last tab":      {"can't hide all", []*sheets.Request{set(0, "hidden", &sheets.SheetProperties{Hidden: true})}},
		"title taken":            {`name "SHEET1" already exists`, []*sheets.Request{addSheet(5, "SHEET1", 1, 1, false)}},
		"title too long":         {"cannot be empty or greater than 100", []*sheets.Request{addSheet(5, long[:101], 1, 1, false)}},
		"title reset":            {"cannot be empty", []*sheets.Request{set(0, "title", &sheets.SheetProperties{})}},
		"tab id taken":           {"already in use", []*sheets.Request{addSheet(5, "A", 1, 1, false), addSheet(5, "B", 1, 1, false)}},
		"no such tab":            {"No sheet with id: 9", []*sheets.Request{addSheet(5, "A", 1, 1, false), text(9, "x")}},
		"too many cells":         {"above the limit of 10000000", []*sheets.Request{addSheet(5, "A", 400_000, 25, true)}},
		"rows grow on wide grid": {"above the limit", []*sheets.Request{set(0, "gridProperties(rowCount,columnCount)", &sheets.SheetProperties{GridProperties: &sheets.GridProperties{RowCount: 1_000_000, ColumnCount: 5}})}},
		"too many columns":       {"no more than 18278", []*sheets.Request{addSheet(5, "A", 1, 18_279, true)}},
		"cell too long":          {"maximum of 50000 characters", []*sheets.Request{text(0, "kept?"), text(0, long)}},
		"metadata id taken":      {"already exists", []*sheets.Request{text(0, "kept?"), mark(7, "a"), mark(7, "b")}},
		"metadata too long":      {"30000 characters", []*sheets.Request{mark(7, strings.Repeat("x", 30_000))}},
		"outside the grid":       {"exceeds grid limits", []*sheets.Request{{CopyPaste: &sheets.CopyPasteRequest{Source: &sheets.GridRange{}, Destination: &sheets.GridRange{EndRowIndex: 1001}}}}},
		"unknown mask":           {"Invalid field mask", []*sheets.Request{set(0, "titel", &sheets.SheetProperties{})}},
		"nothing":                {"at least one request", nil},
		"two kinds in one":       {"exactly one kind", []*sheets.Request{{DeleteSheet: &sheets.DeleteSheetRequest{SheetId: 3}, AddSheet: addSheet(5, "A", 1, 1, false).AddSheet}}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, sheetsfake.Options{})
			before := w.book.Tabs()
			err := w.do(c.requests...)
			var refused *googleapi.Error
			if !errors.As(err, &refused) || refused.Code != http.StatusBadRequest || !strings.Contains(refused.Message, c.say) {
				t.Fatalf("got %v, want 400 with %q", err, c.say)
			}
			if n, _ := w.book.Metadata(); !slices.Equal(before, w.book.Tabs()) || len(w.book.Values("Sheet1")) > 0 || n > 0 {
				t.Errorf("a refused batch changed %v %v", w.book.Tabs(), w.book.Values("Sheet1"))
			}
		})
	}
}

// A name that Google does not know is refused, wherever it stands.
func TestUnknownNames(t *testing.T) {
	w := newWorld(t, sheetsfake.Options{})
	jwt, err := google.JWTConfigFromJSON(w.KeyFile(account), sheets.SpreadsheetsScope)
	if err != nil {
		t.Fatal(err)
	}
	client := jwt.Client(context.Background())
	for _, body := range []string{`{"request":[]}`, `{"requests":[{"deleteSheet":{"sheetID":1,"x":2}}]}`, `{"requests":[{"updateCells":{"rows":[{"values":[{"value":1}]}]}}]}`} {
		r, err := client.Post(w.URL()+"v4/spreadsheets/doc:batchUpdate", "application/json", bytes.NewReader([]byte(body)))
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		if r.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s", body, r.Status)
		}
	}
}

// A batch of hidden tab, cells, copy, deletion and ledger keeps the visible tab's id, so formulas and named ranges of
// others survive; deleting the visible tab breaks them for good.
func TestReferencesSurviveCopiesAndNotDeletion(t *testing.T) {
	w := newWorld(t, sheetsfake.Options{})
	id := w.book.AddTab("Data", 3, 1)
	w.book.Put("Data", 0, 0, "old")
	w.book.Put("Sheet1", 0, 0, "='Data'!A1")
	w.book.Name("figures", "Data", 0, 0, 3, 1)
	rng := func(id int64) *sheets.GridRange {
		return &sheets.GridRange{SheetId: id, EndRowIndex: 1, EndColumnIndex: 1}
	}
	if err := w.do(addSheet(77, "stage", 1, 1, true), text(77, "new"), &sheets.Request{CopyPaste: &sheets.CopyPasteRequest{Source: rng(77), Destination: rng(id)}}, remove(77), mark(1, "done")); err != nil {
		t.Fatal(err)
	}
	named, ok := w.book.Named("figures")
	if got := w.book.Values("Sheet1")[0][0]; got != "new" || !ok || named[0][0] != "new" {
		t.Errorf("after the copy the formula shows %v, the named range %v", got, named)
	}
	if err := w.do(remove(id), addSheet(78, "Data", 1, 1, false)); err != nil {
		t.Fatal(err)
	}
	if _, ok = w.book.Named("figures"); ok || w.book.Values("Sheet1")[0][0] != "#REF!" {
		t.Errorf("after the deletion the formula shows %v, the named range is there: %v", w.book.Values("Sheet1")[0][0], ok)
	}
}

// A field of the mask without a value is reset; metadata go with their tab; masks of answers leave the rest out.
func TestMasks(t *testing.T) {
	w := newWorld(t, sheetsfake.Options{})
	onTab := mark(9, "x")
	onTab.CreateDeveloperMetadata.DeveloperMetadata.Location = &sheets.DeveloperMetadataLocation{SheetId: 5}
	if err := w.do(addSheet(5, "A", 2, 2, true), onTab, mark(10, "y"), text(5, "v")); err != nil {
		t.Fatal(err)
	}
	empty := &sheets.Request{RepeatCell: &sheets.RepeatCellRequest{Range: &sheets.GridRange{SheetId: 5}, Cell: &sheets.CellData{}, Fields: "userEnteredValue"}}
	if err := w.do(set(5, "hidden", &sheets.SheetProperties{Title: "not in the mask"}), empty); err != nil {
		t.Fatal(err)
	}
	if got := w.book.Tabs()[1]; got.Hidden || got.Title != "A" || w.book.Values("A") != nil {
		t.Errorf("the tab is %+v with %v", got, w.book.Values("A"))
	}
	doc, err := w.api.Spreadsheets.Get("doc").Fields("sheets(properties.title,developerMetadata.metadataId)").Do()
	if err != nil || doc.SpreadsheetId != "" || doc.Sheets[1].Properties.Title != "A" || doc.Sheets[1].Properties.GridProperties != nil || doc.Sheets[1].DeveloperMetadata[0].MetadataId != 9 {
		t.Errorf("get by mask: %+v, %v", doc, err)
	}
	if err := w.do(remove(5)); err != nil {
		t.Fatal(err)
	}
	found, err := w.api.Spreadsheets.DeveloperMetadata.Search("doc", &sheets.SearchDeveloperMetadataRequest{DataFilters: []*sheets.DataFilter{{DeveloperMetadataLookup: &sheets.DeveloperMetadataLookup{MetadataKey: "k"}}}}).Do()
	if err != nil || len(found.MatchedDeveloperMetadata) != 1 || found.MatchedDeveloperMetadata[0].DeveloperMetadata.MetadataId != 10 {
		t.Errorf("search: %+v, %v", found, err)
	}
}

// Both quotas are of the last minute; reads and writes are counted apart, refused requests not at all.
func TestQuotas(t *testing.T) {
	now := time.Unix(0, 0)
	w := newWorld(t, sheetsfake.Options{Now: func() time.Time { return now }, PerUser: 3})
	over := func(err error) bool {
		var e *googleapi.Error
		return errors.As(err, &e) && e.Code == http.StatusTooManyRequests && strings.Contains(e.Body, `"quota_limit":"WriteRequestsPerMinutePerUser"`)
	}
	for i := range 3 {
		now = now.Add(10 * time.Second)
		if err := w.do(text(0, "x")); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := w.do(text(0, "x")); !over(err) {
		t.Errorf("the fourth write of a minute: %v", err)
	}
	if _, err := w.api.Spreadsheets.Get("doc").Fields("spreadsheetId").Do(); err != nil {
		t.Errorf("a read: %v", err)
	}
	now = now.Add(40 * time.Second) // a minute after the first
	if err := w.do(text(0, "x")); err != nil {
		t.Errorf("after a minute: %v", err)
	}
	if err := w.do(text(0, "x")); !over(err) {
		t.Errorf("the second is 50 s old: %v", err)
	}
}

// Roles, unknown documents, tokens.
func TestAccess(t *testing.T) {
	w := newWorld(t, sheetsfake.Options{})
	code := func(err error) int {
		var e *googleapi.Error
		if !errors.As(err, &e) {
			return 0
		}
		return e.Code
	}
	w.book.Share(account, sheetsfake.Reader)
	if err := w.do(text(0, "x")); code(err) != http.StatusForbidden {
		t.Errorf("a reader writes: %v", err)
	}
	if _, err := w.api.Spreadsheets.Get("other").Do(); code(err) != http.StatusNotFound {
		t.Errorf("unknown: %v", err)
	}
	w.ExpireTokens()
	if _, err := w.api.Spreadsheets.Get("doc").Do(); code(err) != http.StatusUnauthorized {
		t.Errorf("an expired token: %v", err)
	}
}

// A lost answer is that of a batch that was applied; a dropped request was not.
func TestLostAnswers(t *testing.T) {
	w := newWorld(t, sheetsfake.Options{})
	if err := w.do(mark(1, "a")); err != nil {
		t.Fatal(err)
	}
	w.OnCall(func(c sheetsfake.Call) sheetsfake.Fault {
		return sheetsfake.Fault{Lost: c.Kind == "batchUpdate" && c.Number == 2, Drop: c.Kind == "batchUpdate" && c.Number == 3}
	})
	for range 2 {
		if err := w.do(mark(int64(w.Counts().Writes)+1, "x")); err == nil {
			t.Error("an answer came")
		}
	}
	if n, _ := w.book.Metadata(); n != 2 {
		t.Errorf("%d entries, want 2", n)
	}
}
