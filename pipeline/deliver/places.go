package deliver

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"fanmill/pipeline"
)

// Places are the disks that this process has: those of its home, and folders that it offers by a name, under which
// other processes may offer the same folder, or another one.
type Places struct {
	Home    string            // Owner.Home
	Folders map[string]string // absolute, by name

	mu     sync.Mutex
	shared map[sharing]bool // seen by Watch
}

// sharing says that a home sees the same folder as this process under a name.
type sharing struct{ name, home string }

// Tokens are the places whose commands are for this process.
func (p *Places) Tokens() []string {
	tokens := []string{pipeline.HomePlace(p.Home)}
	for _, name := range slices.Sorted(maps.Keys(p.Folders)) {
		tokens = append(tokens, pipeline.NamedPlace(name))
	}
	return tokens
}

// Here is a destination with the paths of its files absolute, as they are in this process. The error is ErrElsewhere if
// the destination's place is none of its, and permanent without that if a path leads out of the place.
func (p *Places) Here(d *pipeline.ManifestDestination) (*pipeline.ManifestDestination, error) {
	if d.Place == "" {
		return d, nil
	}
	folder, ok := p.Folders[d.Place]
	if !ok {
		return nil, elsewhere(d, "the place %s is none of this process's; --place %s=FOLDER offers it", d.Place, d.Place)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("destination %s: open the folder of place %s: %w", d.ID, d.Place, err)
	}
	defer root.Close()
	here := *d
	if here.Path, err = inside(root, d.Path); err != nil {
		return nil, pipeline.Permanent(fmt.Errorf("destination %s: place %s: %w", d.ID, d.Place, err))
	}
	here.Files = slices.Clone(d.Files)
	for i := range here.Files {
		if here.Files[i], err = inside(root, d.Files[i]); err != nil {
			return nil, pipeline.Permanent(fmt.Errorf("destination %s: place %s: %w", d.ID, d.Place, err))
		}
	}
	return &here, nil
}

// inside is the absolute path of a file in a folder, unless it leads out of that, by its parts or by a link.
func inside(root *os.Root, path string) (string, error) {
	local := filepath.FromSlash(path)
	if strings.ContainsAny(path, `\:`) || !filepath.IsLocal(local) {
		return "", fmt.Errorf("%q is not a path inside a folder; write folders and a name, with / between them", path)
	}
	if _, err := root.Stat(local); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		return "", fmt.Errorf("%s does not stay inside of %s: %w", path, root.Name(), err)
	}
	return filepath.Join(root.Name(), local), nil
}

// elsewhere is an ErrElsewhere of a destination.
func elsewhere(d *pipeline.ManifestDestination, format string, args ...any) error {
	return pipeline.Permanent(fmt.Errorf("destination %s: %w: %s", d.ID, pipeline.ErrElsewhere, fmt.Sprintf(format, args...)))
}

// shares reports whether another home was seen to change what is in a folder of this process.
func (p *Places) shares(name, home string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return name != "" && p.shared[sharing{name, home}]
}

// saw notes whether what another home has just left in its folder of a name is in that of this process.
func (p *Places) saw(name, home string, here bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shared == nil {
		p.shared = map[sharing]bool{}
	}
	p.shared[sharing{name, home}] = here
}
