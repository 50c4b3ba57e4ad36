package artifact

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A claim leaves a nonce in the private folder: a file that is named by a random word, which the commit record has
// before that. Who finds the nonce of a record's last claim under its path sees the folder that this claim saw, or a
// copy of it.
//
//	Reports/.fanmill/sales.csv/nonce-<word>
//
// A claim adds its own, and removes those that it found once its record says what it has: so one that sleeps in between
// takes away nothing of a successor's, whenever it wakes.
const noncePrefix = "nonce-"

// HasNonce reports whether a claim has left this nonce, as this process sees the folder. It changes nothing. It asks
// for the one name, as listings of a folder on another host may be some seconds old.
func (a *Artifact) HasNonce(word string) (bool, error) {
	if err := a.resolve(false); err != nil {
		return false, err
	}
	_, err := os.Lstat(a.noncePath(word))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, a.trouble("look for", a.noncePath(word), err)
	}
	return true, nil
}

// nonces are the words that claims have left.
func (a *Artifact) nonces() (words []string, _ error) {
	entries, err := os.ReadDir(a.base)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, a.trouble("read", a.base, err)
	}
	for _, e := range entries {
		if word, ok := strings.CutPrefix(e.Name(), noncePrefix); ok && !e.IsDir() {
			words = append(words, word)
		}
	}
	return words, nil
}

func (a *Artifact) noncePath(word string) string { return filepath.Join(a.base, noncePrefix+word) }

// LeaveNonce leaves Spec.Nonce, of an artifact that is no file itself but many: what Claim does for one. It is durable
// when LeaveNonce returns.
func (a *Artifact) LeaveNonce() error {
	if err := a.resolve(true); err != nil {
		return err
	}
	if err := a.leaveNonce(); err != nil {
		return err
	}
	return a.trouble("sync", a.base, syncDir(a.base))
}

// leaveNonce leaves Spec.Nonce, if there is one. Its folder is not synced yet.
func (a *Artifact) leaveNonce() (err error) {
	if a.spec.Nonce == "" {
		return nil
	}
	if a.former, err = a.nonces(); err != nil {
		return err
	}
	text, err := json.Marshal(marker{StoreID: a.spec.StoreID, Run: a.spec.Run})
	if err != nil {
		return err
	}
	path := a.noncePath(a.spec.Nonce)
	if err := a.create(path, a.access, func(f *os.File) error { _, err := f.Write(append(text, '\n')); return err }); err != nil {
		return a.trouble("write", path, err)
	}
	a.step("nonce")
	return nil
}

// DropNonces removes the nonces that LeaveNonce, or Claim, found. The record has that of this claim by then.
func (a *Artifact) DropNonces() {
	for _, word := range a.former {
		if word == a.spec.Nonce {
			continue
		}
		if err := os.Remove(a.noncePath(word)); err != nil {
			a.log.Debug("the nonce of an earlier claim was left behind; the next claim removes it", "file", a.noncePath(word), "error", err)
		}
		a.step("nonce dropped")
	}
	a.former = nil
}

// CleanNonces removes what LeaveNonce has left of the run, and the folders around it if they are empty.
func (a *Artifact) CleanNonces() error {
	if err := a.resolve(false); err != nil {
		return err
	}
	words, err := a.nonces()
	if err != nil {
		return err
	}
	for _, word := range words {
		var m marker
		if text, err := os.ReadFile(a.noncePath(word)); err != nil || json.Unmarshal(text, &m) != nil || !a.marks(&m) {
			continue
		}
		if err := os.Remove(a.noncePath(word)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return a.trouble("remove", a.noncePath(word), err)
		}
		a.step("nonce cleaned")
	}
	_ = os.Remove(a.base)
	_ = os.Remove(filepath.Dir(a.base))
	return nil
}
