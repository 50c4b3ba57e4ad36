package stages_test

import (
	"fmt"
	"strings"
	"testing"

	"fanmill/internal/minitds"
)

// A packet may end anywhere in a value, in its length or between two of them: every type arrives whole, in rows that begin at every place of
// a packet.
func TestSQLServerPacketBoundaries(t *testing.T) {
	columns := []minitds.Column{{Name: "shift", Type: minitds.VarChar(1000), NotNull: true}}
	var values, nulls []any
	var want, none []string
	for i, v := range sqlserverValues {
		if len(v.text) > 1000 {
			continue // has many packets of its own
		}
		columns = append(columns, minitds.Column{Name: fmt.Sprint("v", i), Type: v.typ})
		values, want = append(values, v.value), append(want, v.text)
		nulls, none = append(nulls, nil), append(none, "NULL")
	}
	const packet = 512 // the smallest
	var rows [][]any
	var texted []string
	for n := range packet {
		shift := strings.Repeat("x", n)
		rows = append(rows, append([]any{shift}, values...), append([]any{shift}, nulls...))
		texted = append(texted, shift+"|"+strings.Join(want, "|"), shift+"|"+strings.Join(none, "|"))
	}
	s, dsn := answered(t, minitds.Config{}, minitds.Script{"q": {Info: "before the rows", Columns: columns, Rows: rows, Then: &minitds.Answer{Info: "behind them"}}})
	got, _ := texts(t, open(t, "sqlserver", dsn+fmt.Sprintf("&packet+size=%d", packet), "q"), 0, 100)
	if size := s.Record().Logins[0].PacketSize; size != packet {
		t.Errorf("packets of %d bytes were asked for", size)
	}
	if len(got) != len(texted) {
		t.Fatalf("%d rows, want %d", len(got), len(texted))
	}
	for i := range got {
		if got[i] != texted[i] {
			t.Fatalf("row %d:\n got %.300q\nwant %.300q", i, got[i], texted[i])
		}
	}
}
