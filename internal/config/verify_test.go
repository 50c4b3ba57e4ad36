package config_test

import (
	"reflect"
	"strings"
	"testing"

	"fanmill/internal/config"
	"fanmill/pipeline"
)

// verified is a job of one connection with these further keys.
func verified(keys string) string {
	return `{"id": "j", "connections": [{"id": "c", "driver": "sqlite", "database": "a.db"}], "destinations": [{"type": "csv", "filePath": "x.csv"}], ` + keys + `}`
}

// Control totals are the job's, unless a query has its own.
func TestVerify(t *testing.T) {
	all := &pipeline.Verify{Count: true, Sum: []string{"total"}}
	for _, c := range []struct {
		keys string
		want []*pipeline.Verify
	}{
		{`"query": "select 1"`, []*pipeline.Verify{nil}},
		{`"query": "select 1", "verify": true`, []*pipeline.Verify{{Count: true}}},
		{`"query": "select 1", "verify": {"sum": "total"}`, []*pipeline.Verify{all}},
		{`"query": "select 1", "verify": {"count": false, "sum": ["a", "b"], "query": "select 1, 2"}`, []*pipeline.Verify{{Sum: []string{"a", "b"}, Query: "select 1, 2"}}},
		{`"queries": [{"name": "a", "sql": "select 1"}, {"name": "b", "sql": "select 2", "verify": {"sum": ["x"]}}, {"name": "c", "sql": "select 3", "verify": false}], "verify": {"sum": ["total"]}`,
			[]*pipeline.Verify{all, {Count: true, Sum: []string{"x"}}, {}}},
	} {
		f, err := config.Parse("j.json", []byte(verified(c.keys)), options(nil))
		if err != nil {
			t.Errorf("%s: %v", c.keys, err)
			continue
		}
		for i, q := range f.Job.Connections[0].Queries {
			if !reflect.DeepEqual(q.Verify, c.want[i]) {
				t.Errorf("%s: query %d has %+v, want %+v", c.keys, i, q.Verify, c.want[i])
			}
		}
	}
}

// A change is given in percent, in each way that people write it.
func TestAlert(t *testing.T) {
	for text, want := range map[string]pipeline.Alert{
		`"30 %"`: {Rows: 30, Total: 30}, `"2.5%"`: {Rows: 2.5, Total: 2.5}, `30`: {Rows: 30, Total: 30}, `{"rows": "30 %"}`: {Rows: 30}, `{"total": 5}`: {Total: 5},
	} {
		f, err := config.Parse("j.json", []byte(verified(`"query": "select 1", "verify": {"sum": ["x"]}, "alert": `+text)), options(nil))
		if err != nil || *f.Job.Alert != want {
			t.Errorf("%s: %+v, %v", text, f, err)
		}
	}
}

// What is wrong with either is said at its place.
func TestVerifyMistakes(t *testing.T) {
	for keys, want := range map[string]string{
		`"query": "select 1", "verify": {"count": false}`:    `verify: asks for nothing`,
		`"query": "select 1", "verify": {"sums": ["a"]}`:     `verify.sums: is not a key fanmill knows here; did you mean "sum"?`,
		`"query": "select 1", "verify": {"sum": ["a", "a"]}`: `verify.sum[1]: "a" is here twice`,
		`"query": "select 1", "verify": {"sum": []}`:         `verify.sum: is empty`,
		`"query": "select 1", "verify": 3`:                   `verify: must be an object with count, sum, query, not a number`,
		`"queries": [{"name": "a", "sql": "select 1"}, {"name": "b", "sql": "select 2"}], "verify": {"query": "select 1"}`: `verify.query: is one query, and connections have several`,
		`"query": "select 1", "alert": "much"`: `alert: must be a change in percent, above 0, such as "30 %"`,
		`"query": "select 1", "alert": 0`:      `alert: must be a change in percent`,
		`"query": "select 1", "alert": {}`:     `alert: names nothing`,
		`"query": "select 1", "params": {"from": "a"}, "verify": {"count": false, "sum": ["x"], "query": "select 1 where :frmo"}, "alert": {}`: `params.from: no query has :from; did you mean :frmo?`,
	} {
		_, err := config.Parse("j.json", []byte(verified(keys)), options(nil))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", keys, err, want)
		}
	}
}
