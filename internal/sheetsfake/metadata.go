package sheetsfake

import "slices"

// mostMetadata is what the developer metadata of one place, the spreadsheet or a tab, may have together, in characters.
const mostMetadata = 30_000

// metadata is an entry of developer metadata.
type metadata struct {
	ID          int64
	Key, Value  string
	Visibility  string
	Spreadsheet bool
	Sheet       int64
}

type createMetadata struct {
	DeveloperMetadata metadataJSON `json:"developerMetadata"`
}

type updateMetadata struct {
	DataFilters       []dataFilter `json:"dataFilters"`
	DeveloperMetadata metadataJSON `json:"developerMetadata"`
	Fields            string       `json:"fields"`
}

type deleteMetadata struct {
	DataFilter dataFilter `json:"dataFilter"`
}

type metadataJSON struct {
	MetadataID    int64        `json:"metadataId"`
	MetadataKey   string       `json:"metadataKey"`
	MetadataValue string       `json:"metadataValue"`
	Visibility    string       `json:"visibility"`
	Location      metadataHome `json:"location"`
}

type metadataHome struct {
	LocationType string `json:"locationType"`
	Spreadsheet  bool   `json:"spreadsheet"`
	SheetID      *int64 `json:"sheetId"`
}

type dataFilter struct {
	DeveloperMetadataLookup *metadataLookup `json:"developerMetadataLookup"`
	GridRange               *gridRange      `json:"gridRange"`
}

type metadataLookup struct {
	LocationType             string        `json:"locationType"`
	MetadataID               int64         `json:"metadataId"`
	MetadataKey              string        `json:"metadataKey"`
	MetadataValue            string        `json:"metadataValue"`
	Visibility               string        `json:"visibility"`
	MetadataLocation         *metadataHome `json:"metadataLocation"`
	LocationMatchingStrategy string        `json:"locationMatchingStrategy"`
}

func (b *batch) createMetadata(j *metadataJSON) *apiError {
	m := &metadata{ID: j.MetadataID, Key: j.MetadataKey, Value: j.MetadataValue, Visibility: j.Visibility, Spreadsheet: j.Location.Spreadsheet}
	switch {
	case m.Key == "":
		return b.bad("metadataKey is required.")
	case m.Visibility != "DOCUMENT" && m.Visibility != "PROJECT":
		return b.bad("visibility is required.")
	case m.Spreadsheet == (j.Location.SheetID != nil):
		return b.bad("location: one of spreadsheet and sheetId is required.")
	case m.ID < 0 || m.ID > 1<<31-1:
		return b.bad("metadataId is not valid: %d", m.ID)
	case m.ID != 0 && b.meta[m.ID] != nil:
		return b.bad("Developer metadata with id %d already exists.", m.ID)
	}
	if !m.Spreadsheet {
		t, err := b.find(*j.Location.SheetID)
		if err != nil {
			return err
		}
		m.Sheet = t.id
	}
	for m.ID == 0 {
		for m.ID = 1; b.meta[m.ID] != nil; m.ID++ {
		}
	}
	b.meta[m.ID] = m
	return b.checkMetadata(m)
}

// checkMetadata looks at the budget of an entry's place.
func (b *batch) checkMetadata(m *metadata) *apiError {
	n := 0
	for _, other := range b.meta {
		if other.Spreadsheet == m.Spreadsheet && other.Sheet == m.Sheet {
			n += len(other.Key) + len(other.Value)
		}
	}
	if n > mostMetadata {
		return b.bad("Developer metadata exceeds the limit of %d characters.", mostMetadata)
	}
	return nil
}

// updateMetadata changes what matches. That nothing matches is no error.
func (b *batch) updateMetadata(u *updateMetadata) *apiError {
	m, ok := parseMask(u.Fields)
	if !ok || m.unknown("metadataKey", "metadataValue", "visibility") != "" {
		return b.bad("Invalid field mask: %q", u.Fields)
	}
	if len(u.DataFilters) == 0 {
		return b.bad("dataFilters is required.")
	}
	for _, f := range u.DataFilters {
		for _, id := range b.matching(&f) {
			changed := *b.meta[id]
			if m.has("metadataKey") {
				changed.Key = u.DeveloperMetadata.MetadataKey
			}
			if m.has("metadataValue") {
				changed.Value = u.DeveloperMetadata.MetadataValue
			}
			if m.has("visibility") {
				changed.Visibility = u.DeveloperMetadata.Visibility
			}
			b.meta[id] = &changed
			if err := b.checkMetadata(&changed); err != nil {
				return err
			}
		}
	}
	return nil
}

// deleteMetadata removes what matches. That nothing matches is no error.
func (b *batch) deleteMetadata(f *dataFilter) *apiError {
	if f.DeveloperMetadataLookup == nil {
		return b.bad("dataFilter.developerMetadataLookup is required.")
	}
	for _, id := range b.matching(f) {
		delete(b.meta, id)
	}
	return nil
}

// matching are the ids that a filter finds, in order.
func (s *state) matching(f *dataFilter) (ids []int64) {
	l := f.DeveloperMetadataLookup
	if l == nil {
		return nil
	}
	for id, m := range s.meta {
		place := "SHEET"
		if m.Spreadsheet {
			place = "SPREADSHEET"
		}
		home := l.MetadataLocation
		if (l.MetadataID == 0 || l.MetadataID == id) && (l.MetadataKey == "" || l.MetadataKey == m.Key) && (l.MetadataValue == "" || l.MetadataValue == m.Value) &&
			(l.Visibility == "" || l.Visibility == m.Visibility) && (l.LocationType == "" || l.LocationType == place) &&
			(home == nil || home.Spreadsheet == m.Spreadsheet && (home.SheetID == nil || *home.SheetID == m.Sheet)) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// search answers developerMetadata:search.
func (b *Book) search(body []byte) (any, *apiError) {
	var r struct {
		DataFilters []dataFilter `json:"dataFilters"`
	}
	if err := strict(body, &r); err != nil {
		return nil, err
	}
	found := []any{}
	for i := range r.DataFilters {
		for _, id := range b.state.matching(&r.DataFilters[i]) {
			found = append(found, map[string]any{"developerMetadata": b.state.meta[id].json()})
		}
	}
	return map[string]any{"matchedDeveloperMetadata": found}, nil
}

// json is the entry as it is answered: without what is empty or zero.
func (m *metadata) json() map[string]any {
	location := map[string]any{"locationType": "SPREADSHEET", "spreadsheet": true}
	if !m.Spreadsheet {
		location = map[string]any{"locationType": "SHEET"}
		if m.Sheet != 0 {
			location["sheetId"] = m.Sheet
		}
	}
	out := map[string]any{"metadataId": m.ID, "metadataKey": m.Key, "visibility": m.Visibility, "location": location}
	if m.Value != "" {
		out["metadataValue"] = m.Value
	}
	return out
}

// metadataOf is a place's metadata in the order of its ids.
func (s *state) metadataOf(spreadsheet bool, sheet int64) (out []any) {
	ids := make([]int64, 0, len(s.meta))
	for id := range s.meta {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		if m := s.meta[id]; m.Spreadsheet == spreadsheet && (spreadsheet || m.Sheet == sheet) {
			out = append(out, m.json())
		}
	}
	return out
}
