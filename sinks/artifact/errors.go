package artifact

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"fanmill/pipeline"
	"fanmill/pipeline/outfile"
)

// errInUse marks a refusal that ends when some program closes the file.
var errInUse = errors.New("the file is open in another program")

// trouble classifies an error of the file system. One that says that the claim's own folder is gone means that another
// claim took it away.
func (a *Artifact) trouble(op, path string, err error) error {
	if err == nil || errors.Is(err, pipeline.ErrFenced) || errors.Is(err, pipeline.ErrTransient) || errors.Is(err, pipeline.ErrPermanent) {
		return err
	}
	if a.dir != "" && errors.Is(err, fs.ErrNotExist) {
		if _, statErr := os.Lstat(a.dir); errors.Is(statErr, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w (its private folder %s was moved away by a newer claim)", a.path, pipeline.ErrFenced, filepath.Base(a.dir))
		}
	}
	hint, stays := outfile.Explain(err)
	kind := pipeline.Transient
	if stays {
		kind = pipeline.OnceMore
	}
	var pathErr *fs.PathError
	var linkErr *os.LinkError
	if errors.As(err, &pathErr) || errors.As(err, &linkErr) { // these name the operation and the path
		return kind(fmt.Errorf("%s: %w%s", op, err, hint))
	}
	return kind(fmt.Errorf("%s %s: %w%s", op, path, err, hint))
}

// lost is the error for committed bytes that exist nowhere any more.
func (a *Artifact) lost(format string, args ...any) error {
	return pipeline.Permanent(fmt.Errorf("%s: %w: %s; resume the job to deliver this file anew", a.path, pipeline.ErrLost, fmt.Sprintf(format, args...)))
}
