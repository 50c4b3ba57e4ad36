package artifact

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"

	"fanmill/pipeline"
	"fanmill/pipeline/outfile"
)

// copyBytes is the size of buffers for copying files, in bytes: large enough that a system call costs nothing beside
// it.
const copyBytes = 1 << 20

// stat describes the file at path itself, also if it is a symbolic link. The identity that os.SameFile compares is
// read at once: on Windows it would otherwise be looked up by path at the first comparison, when the path may name
// another file.
func stat(path string) (os.FileInfo, error) {
	info, err := os.Lstat(path)
	if err == nil {
		os.SameFile(info, info)
	}
	return info, err
}

// fingerprint notices that somebody else wrote to a file. It has the resolution of the file system's clock.
type fingerprint struct {
	size  int64
	mtime int64 // Unix nanoseconds
}

func fingerprintOf(info os.FileInfo) fingerprint {
	return fingerprint{info.Size(), info.ModTime().UnixNano()}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func hexSum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// noBytes is the SHA-256 of an empty file.
var noBytes = hexSum(sha256.New())

// sumFile is the SHA-256 of a whole file.
func sumFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.CopyBuffer(h, struct{ io.Reader }{f}, make([]byte, copyBytes)); err != nil {
		return "", err
	}
	return hexSum(h), nil
}

// copyPrefix copies the first n bytes of a file. It is an error if there are fewer.
func copyPrefix(w io.Writer, path string, n int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if n == 0 {
		return nil
	}
	got, err := io.CopyBuffer(w, io.LimitReader(f, n), make([]byte, min(n, copyBytes)))
	if err == nil && got < n {
		err = fmt.Errorf("%s holds %d bytes, %d are recorded: %w", path, got, n, io.ErrUnexpectedEOF)
	}
	return err
}

// create makes a new file, lets fill write it, and fsyncs it. The file is removed again if that fails.
func (a *Artifact) create(path string, who access, fill func(f *os.File) error) (err error) {
	f, err := a.open(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, who)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			_ = os.Remove(path)
		}
	}()
	if err := fill(f); err != nil {
		return err
	}
	return f.Sync()
}

// linkOrCopy gives the file at from another name in the claim's folder, replacing what a failed try left there.
// Without hard links, and for files that this user may not link, it is a copy, fsynced, for those who may read the
// file itself.
func (a *Artifact) linkOrCopy(from, to string, links bool) error {
	if links {
		err := a.ops.link(from, to)
		if errors.Is(err, fs.ErrExist) {
			if err = os.Remove(to); err == nil {
				err = a.ops.link(from, to)
			}
		}
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	return a.create(to, accessOf(from, info), func(f *os.File) error {
		_, err := io.Copy(f, in)
		return err
	})
}

// move renames from, in the claim's folder, onto to. When both are the same file POSIX leaves both names: from is
// removed. A refusal because the target is in use is errInUse.
func (a *Artifact) move(from, to string) error {
	err := a.ops.rename(from, to)
	if err != nil {
		if why := outfile.Refusal(to); why != nil && exists(from) { // it came after the claim, or is one that only the rename tells
			return pipeline.Permanent(fmt.Errorf("replace %s: %w (%w)", to, why, err))
		}
		if inUse(err) && exists(from) {
			return fmt.Errorf("%w: %w", errInUse, err)
		}
		return a.trouble("replace", to, err)
	}
	_ = os.Remove(from)
	return nil
}

// note writes a small file that need not be durable.
func (a *Artifact) note(path string, text []byte) error {
	f, err := a.open(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, a.access)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}
