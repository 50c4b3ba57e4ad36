package deliver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fanmill/checkpoint"
	"fanmill/internal/memstore"
	"fanmill/pipeline"
	"fanmill/pipeline/failpoint"
	"fanmill/pipeline/spool"
	"fanmill/sinks"
)

// ground is a destination of one run, its record, and the folders of two hosts. Claims are made as a delivery makes
// them, with the real sink of a CSV file, one connection of which is delivered.
type ground struct {
	t       *testing.T
	kv      pipeline.KV
	records checkpoint.Records
	m       *pipeline.Manifest
	said    bytes.Buffer
	claims  int
}

// visitor is a process that claims the destination.
type visitor struct {
	places *Places
	folder string
}

var claimSteps = []string{"claimed", "locked", "nonce", "fenced", "folder", "copied", "found", "recorded", "republished", "nonce dropped", "over"}

func newGround(t *testing.T) *ground {
	g := &ground{t: t, kv: &memstore.KV{}, m: &pipeline.Manifest{Run: "run", JobID: "job", Connections: []pipeline.ManifestConnection{{ID: "a", Name: "a", Queries: []pipeline.ManifestQuery{{}}}}}}
	g.m.Destinations = []pipeline.ManifestDestination{{ID: "csv", Type: "csv", Place: "reports", Path: "sales.csv", Mode: "replace"}}
	g.records = checkpoint.NewRecords(g.kv)
	if err := g.records.Create(t.Context(), "run", "csv", checkpoint.OpenRecord(checkpoint.Opened{})); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *ground) visitor(home, folder string) *visitor {
	return &visitor{&Places{Home: home, Folders: map[string]string{"reports": folder}}, folder}
}

type killed struct{}

// claim goes through a claim until a step, where the process is killed, or to its end.
func (g *ground) claim(v *visitor, until string, adopted bool) (err error) {
	g.t.Helper()
	g.claims++
	owner := pipeline.Owner{Token: fmt.Sprintf("token%d", g.claims), Home: v.places.Home, Host: pipeline.HostOf(v.places.Home), LeaseMS: 1}
	step := func(name string) {
		if name == until {
			panic(killed{})
		}
	}
	if until != "" {
		defer failpoint.Watch(step)()
	}
	defer func() {
		if r := recover(); r != nil && r != any(killed{}) {
			panic(r)
		}
	}()
	kind := sinks.Kinds()["csv"]
	d, err := v.places.Here(&g.m.Destinations[0])
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(&g.said, nil))
	spec := pipeline.SinkSpec{Manifest: g.m, Destination: d, StoreID: "store", Home: owner.Home, Nonce: owner.Token, Log: log}
	at := sight{kind: kind, spec: spec, places: v.places, alone: adopted, log: log}
	c, err := g.records.Claim(g.t.Context(), "run", "csv", 0, owner, "", at.look)
	if err != nil {
		return err
	}
	step("claimed")
	sink, err := kind.New(spec)
	if err != nil {
		return err
	}
	defer func() { _ = sink.Close() }()
	found, err := sink.Recover(g.t.Context(), pipeline.Fence{Token: c.Token()}, c.Record().Artifact, nil)
	if err != nil {
		return err
	}
	step("found")
	err = c.Commit(g.t.Context(), func(r *checkpoint.CommitRecord) { r.Recover(owner.Home, found.State, pipeline.LogID{}, nil) })
	if err != nil {
		return err
	}
	step("recorded")
	if _, err := sink.Release(g.t.Context(), nil, nil, false); err != nil {
		return err
	}
	step("over")
	return nil
}

func (g *ground) record() checkpoint.CommitRecord {
	g.t.Helper()
	rec, err := g.records.Load(g.t.Context(), "run", "csv")
	if err != nil {
		g.t.Fatal(err)
	}
	return rec
}

// has checks that a folder has one of the record's nonces.
func (g *ground) has(folder, after string) {
	g.t.Helper()
	rec := g.record()
	for _, nonce := range []string{rec.Nonce, rec.Next} {
		if _, err := os.Stat(filepath.Join(folder, ".fanmill", "sales.csv", "nonce-"+nonce)); nonce != "" && err == nil {
			return
		}
	}
	g.t.Errorf("%s: the record has %q and %q, and neither is there", after, rec.Nonce, rec.Next)
}

// Sequence 2, letter a: kills at any two steps of two claims, by either of two hosts that share the folder, leave a
// place that is found again, by both. Whoever does not win the record leaves nothing.
func TestKillsBetweenTheRecordAndTheNonce(t *testing.T) {
	for _, one := range claimSteps {
		for _, two := range claimSteps {
			g := newGround(t)
			folder := t.TempDir()
			a, b := g.visitor("first 1", folder), g.visitor("second 2", folder)
			a.places.saw("reports", "second 2", true)
			b.places.saw("reports", "first 1", true)
			if err := g.claim(a, "", false); err != nil {
				t.Fatal(err)
			}
			for _, kill := range []struct {
				by   *visitor
				step string
			}{{b, one}, {a, two}, {b, one}, {b, two}} {
				if err := g.claim(kill.by, kill.step, false); err != nil {
					t.Fatalf("%s, %s: killed at %s on %s: %v", one, two, kill.step, kill.by.places.Home, err)
				}
				g.has(folder, fmt.Sprintf("killed at %s on %s", kill.step, kill.by.places.Home))
			}
			for _, v := range []*visitor{b, a} {
				if err := g.claim(v, "", false); err != nil {
					t.Fatalf("%s, %s: %s does not find its place: %v", one, two, v.places.Home, err)
				}
			}
			if text := g.said.String(); strings.Contains(text, "is gone") {
				t.Fatalf("%s, %s: %s", one, two, text)
			}
		}
	}
}

// Letter a, too: of two that claim at once one finds the record changed. It has left nothing in the folder.
func TestLoserOfAClaimLeavesNoNonce(t *testing.T) {
	g := newGround(t)
	folder := t.TempDir()
	a, b := g.visitor("first 1", folder), g.visitor("second 2", folder)
	b.places.saw("reports", "first 1", true)
	if err := g.claim(a, "", false); err != nil {
		t.Fatal(err)
	}
	before := namesIn(t, folder)
	rival := &raced{KV: g.kv, then: func() {
		if err := g.claim(a, "claimed", false); err != nil {
			t.Error(err)
		}
	}}
	loser := *g
	loser.claims = 100
	loser.records = checkpoint.NewRecords(rival)
	if err := loser.claim(b, "", false); !errors.Is(err, pipeline.ErrHeld) {
		t.Errorf("the loser: %v", err)
	}
	if after := namesIn(t, folder); !slices.Equal(before, after) {
		t.Errorf("there was %q, and is %q", before, after)
	}
	if err := g.claim(a, "", false); err != nil {
		t.Errorf("the winner: %v", err)
	}
}

// raced has another process claim just before the first write.
type raced struct {
	pipeline.KV
	then func()
}

func (r *raced) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if then := r.then; then != nil {
		r.then = nil
		then()
	}
	return r.KV.Update(ctx, key, value, revision)
}

// Letter b: a copy of the folder has the last nonce. The host that has the copy was never seen to change with the
// other, or was once and is no more; it claims nothing, and changes nothing there. A person's word counts, and from
// then on the first host is the one that waits.
func TestCopyOfAFolder(t *testing.T) {
	for _, seen := range []bool{false, true} {
		t.Run(fmt.Sprintf("seen=%t", seen), func(t *testing.T) {
			g := newGround(t)
			folder, copied := t.TempDir(), t.TempDir()
			a, b := g.visitor("first 1", folder), g.visitor("second 2", copied)
			if err := g.claim(a, "", false); err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(copied, os.DirFS(folder)); err != nil {
				t.Fatal(err)
			}
			if seen { // it is found out at the next claim, by the nonce that does not come to the copy
				b.places.saw("reports", "first 1", true)
				if err := g.claim(a, "", false); err != nil {
					t.Fatal(err)
				}
			}
			was, before := g.record(), namesIn(t, copied)
			if err := g.claim(b, "", false); !errors.Is(err, pipeline.ErrElsewhere) || !strings.Contains(err.Error(), "waiting for first") {
				t.Fatalf("the claim of a copy: %v", err)
			}
			if rec := g.record(); rec.Token != was.Token || rec.Epoch != was.Epoch || rec.Next != "" {
				t.Errorf("the record was %+v, and is %+v", was, rec)
			}
			if after := namesIn(t, copied); !slices.Equal(before, after) {
				t.Errorf("there was %q, and is %q", before, after)
			}
			if err := g.claim(b, "", true); seen != errors.Is(err, pipeline.ErrElsewhere) {
				t.Fatalf("by a person's word: %v", err)
			}
			home, other := b, a
			if seen {
				home, other = a, b
			}
			if err := g.claim(other, "", false); !errors.Is(err, pipeline.ErrElsewhere) {
				t.Errorf("the host that has no longer the file: %v", err)
			}
			if err := g.claim(home, "", false); err != nil {
				t.Errorf("the host that has the file: %v", err)
			}
		})
	}
}

// Letter c: on the host of the last claim a nonce that is missing, or of an earlier time, is said. Elsewhere it is no
// loss, but another place.
func TestNonceIsGone(t *testing.T) {
	for name, harm := range map[string]func(folder, backup string) error{
		"removed": func(folder, _ string) error { return os.RemoveAll(filepath.Join(folder, ".fanmill")) },
		"restored": func(folder, backup string) error {
			return errors.Join(os.RemoveAll(filepath.Join(folder, ".fanmill")), os.CopyFS(folder, os.DirFS(backup)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGround(t)
			folder, backup := t.TempDir(), t.TempDir()
			a, b := g.visitor("first 1", folder), g.visitor("second 2", folder)
			b.places.saw("reports", "first 1", true)
			if err := g.claim(a, "", false); err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(backup, os.DirFS(folder)); err != nil {
				t.Fatal(err)
			}
			if err := g.claim(a, "", false); err != nil {
				t.Fatal(err)
			}
			if err := harm(folder, backup); err != nil {
				t.Fatal(err)
			}
			if err := g.claim(b, "", false); !errors.Is(err, pipeline.ErrElsewhere) {
				t.Errorf("on another host: %v", err)
			}
			if g.said.Len() > 0 {
				t.Errorf("said so far: %s", g.said.String())
			}
			if err := g.claim(a, "", false); err != nil {
				t.Errorf("on the host that had it: %v", err)
			}
			if n := strings.Count(g.said.String(), "what the last claim left beside"); n != 1 {
				t.Errorf("said %d times: %s", n, g.said.String())
			}
		})
	}
}

// namesIn lists a folder with all that is below.
func namesIn(t *testing.T, folder string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, _ os.DirEntry, err error) error {
		names = append(names, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// A person says on a host that the files are there: from then on it goes on with them, and the one that had them waits.
// What is not there cannot be adopted, nor what somebody writes.
func TestFilesAreAdopted(t *testing.T) {
	g := newGround(t)
	folder, moved := t.TempDir(), t.TempDir()
	a, b := g.visitor("first 1", folder), g.visitor("second 2", moved)
	adopt := func(v *visitor) (string, error) {
		by := &Adopter{Records: g.records, Sinks: sinks.Kinds(), StoreID: "store", Owner: pipeline.Owner{Home: v.places.Home, LeaseMS: 1}, Places: v.places, Log: slog.New(slog.DiscardHandler)}
		return by.Adopt(t.Context(), g.m, &g.m.Destinations[0])
	}
	if from, err := adopt(b); err != nil || from != "" {
		t.Errorf("before anybody has it: from %q, %v", from, err)
	}
	if err := g.claim(a, "", false); err != nil {
		t.Fatal(err)
	}
	if _, err := adopt(b); !errors.Is(err, pipeline.ErrElsewhere) {
		t.Errorf("where nothing is: %v", err)
	}
	if rec := g.record(); rec.Home != "first 1" || rec.Token != "token1" {
		t.Errorf("the record is %+v", rec)
	}
	if err := os.CopyFS(moved, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	if from, err := adopt(b); err != nil || from != "first 1" {
		t.Errorf("from %q, %v", from, err)
	}
	if from, err := adopt(b); err != nil || from != "" {
		t.Errorf("once more: from %q, %v", from, err)
	}
	if err := g.claim(a, "", false); !errors.Is(err, pipeline.ErrElsewhere) || !strings.Contains(err.Error(), "waiting for second") {
		t.Errorf("the host that had them: %v", err)
	}
	if err := g.claim(b, "", false); err != nil {
		t.Errorf("the host that has them: %v", err)
	}
}

// Rows in a spool are on the disk of its host: another process leaves them to that one, if that may have the command.
func TestRowsInASpoolElsewhere(t *testing.T) {
	places := &Places{Home: "second 2"}
	rec := &checkpoint.CommitRecord{Home: "first 1", Place: &spool.Place{ID: "disk", Host: "first"}}
	d := &pipeline.ManifestDestination{ID: "hook"}
	for alone, want := range map[bool]error{false: pipeline.ErrElsewhere, true: nil} {
		s := sight{places: places, alone: alone, spec: pipeline.SinkSpec{Destination: d}}
		if _, err := s.look(rec); !errors.Is(err, want) {
			t.Errorf("alone %t: %v", alone, err)
		}
	}
}

// The path of a file never leads out of its place: not by its parts, and not by a link.
func TestPlaceIsNotLeft(t *testing.T) {
	folder, outside := t.TempDir(), t.TempDir()
	p := &Places{Folders: map[string]string{"reports": folder}}
	for _, path := range []string{"../a.csv", "/a.csv", `..\a.csv`, "a/../../b.csv", "C:/a.csv", "c:a.csv", `\\host\share\a.csv`, ""} {
		if here, err := p.Here(&pipeline.ManifestDestination{ID: "d", Place: "reports", Path: path}); !pipeline.IsPermanent(err) || errors.Is(err, pipeline.ErrElsewhere) {
			t.Errorf("%s: %+v, %v", path, here, err)
		}
	}
	here, err := p.Here(&pipeline.ManifestDestination{ID: "d", Place: "reports", Path: "new/{connection}.csv", Files: []string{"new/a.csv"}})
	if err != nil || here.Path != filepath.Join(folder, "new", "{connection}.csv") || here.Files[0] != filepath.Join(folder, "new", "a.csv") {
		t.Errorf("%+v, %v", here, err)
	}
	if _, err := p.Here(&pipeline.ManifestDestination{ID: "d", Place: "others", Path: "a.csv"}); !errors.Is(err, pipeline.ErrElsewhere) || !strings.Contains(err.Error(), "--place others=FOLDER") {
		t.Errorf("a place that is not offered: %v", err)
	}
	if err := os.Symlink(outside, filepath.Join(folder, "link")); err != nil {
		t.Skip("symbolic links cannot be made here:", err)
	}
	if here, err := p.Here(&pipeline.ManifestDestination{ID: "d", Place: "reports", Path: "link/a.csv"}); !pipeline.IsPermanent(err) {
		t.Errorf("by a link: %+v, %v", here, err)
	}
}
