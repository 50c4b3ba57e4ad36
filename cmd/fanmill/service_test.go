package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// What a service says is in a file of its day, and old days go.
func TestDailyLog(t *testing.T) {
	dir := logOfService(t.TempDir(), "fan mill")
	if name := filepath.Base(dir); name != "fan=20mill.service" {
		t.Errorf("the folder is %s", name)
	}
	var days []string
	synctest.Test(t, func(t *testing.T) {
		l, err := openDailyLog(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		for len(days) < logsKept+5 {
			day := time.Now().Format(time.DateOnly)
			days = append(days, day)
			for i := range 2 {
				if _, err := fmt.Fprintf(l, "%s line %d\n", day, i); err != nil {
					t.Fatal(err)
				}
			}
			path := filepath.Join(dir, day+".log")
			if text, err := os.ReadFile(path); err != nil || string(text) != fmt.Sprintf("%[1]s line 0\n%[1]s line 1\n", day) {
				t.Fatalf("%s holds %q, %v", path, text, err)
			}
			if err := os.Chtimes(path, time.Now(), time.Now()); err != nil { // the bubble's time
				t.Fatal(err)
			}
			time.Sleep(24 * time.Hour)
		}
	})
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != logsKept {
		t.Errorf("%d days are kept, %v", len(entries), err)
	}
	if first := entries[0].Name(); first != days[5]+".log" {
		t.Errorf("the oldest day kept is %s", first)
	}
}

// A log that is opened again goes on.
func TestDailyLogGoesOn(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		for range 2 {
			l, err := openDailyLog(dir)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.Write([]byte("line\n")); err != nil {
				t.Fatal(err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
	files, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	if len(files) != 1 {
		t.Fatalf("there are %v", files)
	}
	text, err := os.ReadFile(files[0])
	if err != nil || string(text) != "line\nline\n" {
		t.Errorf("%q, %v", text, err)
	}
}
