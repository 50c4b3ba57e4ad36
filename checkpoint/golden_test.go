package checkpoint_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Every member of every record, as the store has it. A name that changes here is one that no other version reads.
func TestRecordsAreSpelledAsEver(t *testing.T) {
	for name, record := range map[string]any{
		"run": &checkpoint.RunRecord{}, "connection": &checkpoint.ConnRecord{}, "commit": &checkpoint.CommitRecord{}, "pointer": &checkpoint.JobRun{},
		"note": &checkpoint.TriggerNote{}, "timetable": &checkpoint.Timetable{}, "manifest": &pipeline.Manifest{}, "checkpoint": &pipeline.PublicCheckpoint{},
		"process": &checkpoint.ProcessRecord{}, "place": &checkpoint.PlaceNote{}, "files": &checkpoint.FilesRecord{}, "room": &checkpoint.RoomRecord{},
		"notice": &checkpoint.NoticeRecord{}, "notices": &checkpoint.JobNotices{}, "specification": &checkpoint.SpecRecord{}, "specification.connection": &checkpoint.SpecConnection{},
		"figures": &checkpoint.JobFigures{}, "before": &checkpoint.RunFigures{},
	} {
		fill(t, reflect.ValueOf(record).Elem())
		got, err := json.MarshalIndent(record, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name+".json")
		if *update {
			if err := os.WriteFile(path, append(got, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(want) != string(got)+"\n" {
			t.Errorf("%s is spelled otherwise than %s (go test ./checkpoint -update writes that anew):\n%s", name, path, got)
		}
	}
}

// fill gives every member that is stored a value that is not its zero.
func fill(t *testing.T, v reflect.Value) {
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2026, 11, 30, 1, 2, 3, 4000, time.UTC)))
		return
	case json.RawMessage:
		v.SetBytes([]byte(`{"x":1}`))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Tag.Get("json") != "-" {
				fill(t, v.Field(i))
			}
		}
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(t, key)
		fill(t, value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, v.Index(0))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem())
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(8)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(9.5)
	default:
		t.Fatalf("%s is not filled", v.Type())
	}
}
