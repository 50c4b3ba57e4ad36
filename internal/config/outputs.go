package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"fanmill/pipeline"
	"fanmill/pipeline/outfile"
)

// output is a destination of one run: one that the job names, or that one's share of a query.
type output struct {
	pipeline.ManifestDestination
	of int // index in the job's destinations
}

// paths are the files that it writes.
func (o *output) paths() []string {
	switch {
	case o.Files != nil:
		return o.Files
	case o.Path != "":
		return []string{o.Path}
	}
	return nil
}

// outputError is what is wrong with a destination of the job.
type outputError struct {
	of  int
	err error
}

// outputs makes the destinations of a run: references are expanded, tokens replaced, and a destination that has a
// file for each query is one for each. Files of connections follow the order of the job's connections.
func outputs(j *pipeline.Job, kinds map[string]*pipeline.SinkKind, base, run string, at time.Time, expand func(string) (string, error), goos string) ([]output, []outputError) {
	var outs []output
	var bad []outputError
	for i := range j.Destinations {
		v := valuesOf(j, run, at)
		v.base = base
		made, err := outputsOf(j, i, kinds[j.Destinations[i].Type], v, expand, goos)
		for _, e := range split(err) {
			bad = append(bad, outputError{i, e})
		}
		outs = append(outs, made...)
	}
	return outs, append(bad, sameIDs(outs)...)
}

func outputsOf(j *pipeline.Job, i int, kind *pipeline.SinkKind, v tokenValues, expand func(string) (string, error), goos string) ([]output, error) {
	d := &j.Destinations[i]
	base := output{pipeline.ManifestDestination{ID: d.ID, Type: d.Type, Place: d.Place, Mode: d.Mode, Options: d.Options, Partitions: d.Partitions}, i}
	if kind != nil {
		base.Target = kind.Where(d.Options)
	}
	if d.FilePath == "" {
		return sharesOf(j, kind, base)
	}
	path, err := expand(d.FilePath)
	if err != nil {
		return nil, err
	}
	inPath := hasToken(path, queryToken)
	if !inPath && !(kind != nil && kind.OneQuery(&base.ManifestDestination) && severalQueries(j)) {
		err := base.place(j, kind, path, v, goos)
		return []output{base}, err
	}
	names, err := queryNames(j)
	if err != nil || len(names) == 0 { // still look at the rest of the path
		v.query = queryToken
		return []output{base}, errors.Join(append(split(err), split(base.place(j, kind, path, v, goos))...)...)
	}
	if !inPath {
		path = beforeExtension(path, "-{"+queryToken+"}")
	}
	var outs []output
	var bad []error
	for q, value := range uniqueNames(names) {
		o := base
		o.ID, o.Query, v.query = d.ID+"."+names[q], &q, value
		bad = append(bad, split(o.place(j, kind, path, v, goos))...)
		outs = append(outs, o)
	}
	return outs, errors.Join(slices.CompactFunc(bad, func(a, b error) bool { return a.Error() == b.Error() })...)
}

// sharesOf makes the outputs of a destination without a file: one for each query, where it takes the rows of one.
func sharesOf(j *pipeline.Job, kind *pipeline.SinkKind, base output) (outs []output, _ error) {
	if kind == nil || !kind.OneQuery(&base.ManifestDestination) || !severalQueries(j) {
		return []output{base}, nil
	}
	names, err := queryNames(j)
	if err != nil || len(names) == 0 {
		return []output{base}, err
	}
	for q, name := range names {
		o := base
		o.ID, o.Query = base.ID+"."+name, &q
		outs = append(outs, o)
	}
	return outs, nil
}

// place resolves the path, and those of all connections where each has its file.
func (o *output) place(j *pipeline.Job, kind *pipeline.SinkKind, path string, v tokenValues, goos string) (err error) {
	perConnection := hasToken(path, connectionToken)
	v.keepConnection = perConnection
	if o.Path, err = o.locate(path, v, goos); err != nil || !perConnection {
		return err
	}
	names := make([]string, len(j.Connections))
	for i := range j.Connections {
		names[i] = j.Connections[i].Name
	}
	v.keepConnection = false
	o.Files = make([]string, len(names))
	if kind != nil {
		v.partition = kind.Partition
	}
	unique := uniqueNames
	if v.hasPartition(path) {
		unique = uniqueValues
	}
	for i, value := range unique(names) {
		if v.connection = value; value == "" {
			continue // without a name and an id, and reported as such
		}
		if o.Files[i], err = o.locate(path, v, goos); err != nil {
			return err
		}
	}
	return nil
}

// locate resolves a path: to one inside of the destination's place, or to an absolute one of this host.
func (o *output) locate(path string, v tokenValues, goos string) (string, error) {
	if o.Place != "" {
		return inPlace(path, v)
	}
	return absolute(path, v, goos)
}

// absolute resolves a path against the folder where relative ones begin.
func absolute(path string, v tokenValues, goos string) (string, error) {
	s, err := resolve(path, v, goos)
	if err != nil || goos != runtime.GOOS { // another system's rules: the path means nothing here
		return s, err
	}
	if v.base != "" && !filepath.IsAbs(s) {
		s = filepath.Join(v.base, s)
	}
	full, err := filepath.Abs(s)
	if err != nil {
		return "", fmt.Errorf("resolve path %q: %w", path, err)
	}
	if len(full) > outfile.MaxPath {
		return "", fmt.Errorf("the path has %d bytes; at most %d can be opened everywhere: choose a shorter one", len(full), outfile.MaxPath)
	}
	return full, nil
}

func severalQueries(j *pipeline.Job) bool {
	return slices.ContainsFunc(j.Connections, func(c pipeline.Connection) bool { return len(c.Queries) > 1 })
}

// queryNames are the names of the queries that every connection has; nil if some connection's are missing, which is
// reported as such. A file per query takes the query of one index from all connections, so its name must be the same
// in all.
func queryNames(j *pipeline.Job) ([]string, error) {
	all := make([][]string, len(j.Connections))
	for i := range j.Connections {
		queries := j.Connections[i].Queries
		if len(queries) == 0 || len(queries) > 1 && slices.ContainsFunc(queries, func(q pipeline.Query) bool { return q.Name == "" }) {
			return nil, nil
		}
		for _, q := range queries {
			all[i] = append(all[i], q.Name)
		}
	}
	for i := range all {
		if !slices.Equal(all[0], all[i]) {
			return nil, fmt.Errorf("a file for each query needs the same queries in the same order in all connections; connection %s has %s, connection %s has %s; make them equal, or use Excel without {query}",
				j.Connections[0].ID, listed(all[0]), j.Connections[i].ID, listed(all[i]))
		}
	}
	if len(all) > 0 && all[0][0] == "" {
		return nil, errors.New(`{query} needs queries with names; write "queries": [{"name": "sales", "sql": "select ..."}] in place of "query"`)
	}
	return slices.Concat(all[:min(len(all), 1)]...), nil
}

func listed(names []string) string {
	if names[0] == "" {
		return "one without a name"
	}
	return strings.Join(names, ", ")
}

// beforeExtension puts a text before the extension of a path's last part.
func beforeExtension(path, text string) string {
	ext := outfile.Ext(path)
	if strings.IndexByte(ext, '}') >= 0 {
		ext = ""
	}
	return strings.TrimSuffix(path, ext) + text + ext
}

// uniqueNames makes names fit for files, and different from each other where no case is told; " (2)" goes to the
// later one. They are cut where they stand (fit), and stay different.
func uniqueNames(names []string) []string {
	safe := make([]string, len(names))
	for i, name := range names {
		safe[i] = safeValue(name)
	}
	return different(safe, safePart)
}

// uniqueValues are the names of connections as a dataset has them: as they are, but different from each other where no
// case is told.
func uniqueValues(names []string) []string {
	return different(names, func(name string) string { return name })
}

// different puts a number behind those that are not different from an earlier one. as is what a part of a path makes of
// a name. Empty ones stay empty.
func different(names []string, as func(string) string) []string {
	out, taken := make([]string, len(names)), map[string]bool{}
	for i, name := range names {
		if name == "" {
			continue
		}
		unique := name
		for n := 2; taken[fold(as(unique))]; n++ {
			unique = fmt.Sprintf("%s (%d)", name, n)
		}
		taken[fold(as(unique))] = true
		out[i] = unique
	}
	return out
}

// fold makes names equal that some file system takes for the same.
func fold(s string) string { return strings.ToLower(strings.ToUpper(s)) }

// sameIDs reports shares of queries that have the id of another destination.
func sameIDs(outs []output) (bad []outputError) {
	seen := map[string]int{}
	for i := range outs {
		o := &outs[i]
		key := strings.ToLower(pipeline.Token(o.ID))
		first, twice := seen[key]
		switch {
		case twice && (o.Query != nil || outs[first].Query != nil):
			bad = append(bad, outputError{o.of, fmt.Errorf("one of its files for a query has the id %q, which destinations[%d] has as well; give one of them another id", o.ID, outs[first].of)})
		case len(pipeline.Token(o.ID)) > maxTokenBytes && o.Query != nil:
			bad = append(bad, outputError{o.of, fmt.Errorf("the id %q of its file for a query is too long; at most %d letters and digits fit, fewer of other characters", o.ID, maxTokenBytes)})
		}
		if !twice {
			seen[key] = i
		}
	}
	for i := range outs {
		o := &outs[i]
		for n := 0; o.Partitions > 1 && n <= o.Partitions; n++ {
			id := pipeline.PartitionID(o.ID, n)
			if first, taken := seen[strings.ToLower(pipeline.Token(id))]; taken {
				bad = append(bad, outputError{o.of, fmt.Errorf("one of its partitions has the id %q, which destinations[%d] has as well; give one of them another id", id, outs[first].of)})
			}
		}
	}
	return bad
}
