package dead_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"fanmill/pipeline/dead"
)

const body = `{"rows":[1,2,3]}`

func letter(key string, at int) dead.Letter {
	sum := sha256.Sum256([]byte(body))
	return dead.Letter{Key: key, Job: "job", Number: at, Length: int64(len(body)), SHA256: hex.EncodeToString(sum[:]), Error: "422", Time: time.Unix(int64(at), 0).UTC()}
}

func put(t *testing.T, f *dead.Folder, l dead.Letter) bool {
	t.Helper()
	fresh, err := f.Put(l, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	return fresh
}

// A letter keeps its bytes until it is removed, and the newest answer.
func TestPutFindRemove(t *testing.T) {
	f := &dead.Folder{Dir: filepath.Join(t.TempDir(), "dead")}
	if all, err := f.List(""); err != nil || len(all) != 0 {
		t.Fatalf("%v, %v", all, err)
	}
	if !put(t, f, letter("aaaabbbbcccc", 2)) || !put(t, f, letter("aaaaccccdddd", 1)) {
		t.Error("a new letter is called known")
	}
	newer := letter("aaaabbbbcccc", 2)
	newer.Error = "still 422"
	if put(t, f, newer) {
		t.Error("a known letter is called new")
	}
	all, err := f.List("job")
	if err != nil || len(all) != 2 || all[0].Number != 1 || all[1].Error != "still 422" {
		t.Fatalf("%+v, %v", all, err)
	}
	if n := f.Bytes(); n != 2*int64(len(body)) {
		t.Errorf("%d bytes", n)
	}
	if l, err := f.Find("AAAAB"); err != nil || l.Key != "aaaabbbbcccc" {
		t.Errorf("%+v, %v", l, err)
	}
	for _, prefix := range []string{"aaaa", "", "zz", "../x"} {
		if l, err := f.Find(prefix); err == nil {
			t.Errorf("%q finds %+v", prefix, l)
		}
	}
	in, err := f.Body("aaaabbbbcccc")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(in)
	if err = errors.Join(err, in.Close()); err != nil || string(text) != body {
		t.Errorf("%q, %v", text, err)
	}
	for range 2 {
		if err := f.Remove("aaaabbbbcccc"); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := f.List(""); err != nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
}

// Bytes that are not those that were recorded are no letter's.
func TestDamagedBody(t *testing.T) {
	f := &dead.Folder{Dir: t.TempDir()}
	if _, err := f.Put(letter("aaaabbbbcccc", 1), bytes.NewReader([]byte("other"))); !errors.Is(err, dead.ErrDamaged) {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(f.Dir); err != nil || len(left) != 0 {
		t.Errorf("%v, %v", left, err)
	}
	l := letter("aaaabbbbcccc", 1)
	if _, err := f.Put(l, nil); err != nil {
		t.Fatal(err)
	}
	if l, err := f.Find("aaaa"); err != nil || !l.Bodiless {
		t.Errorf("%+v, %v", l, err)
	}
}

// What a crash leaves half is no letter, and is in nobody's way.
func TestHalfALetter(t *testing.T) {
	f := &dead.Folder{Dir: t.TempDir()}
	for _, name := range []string{".aaaabbbbcccc", "aaaabbbbcccc"} {
		if err := os.Mkdir(filepath.Join(f.Dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(f.Dir, name, dead.BodyName), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := f.List(""); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
	if !put(t, f, letter("aaaabbbbcccc", 1)) {
		t.Error("half a letter is called known")
	}
	if l, err := f.Find("aaaa"); err != nil || l.Error != "422" {
		t.Errorf("%+v, %v", l, err)
	}
}
