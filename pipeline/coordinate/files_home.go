package coordinate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// filesAt is a folder of a destination's files, as the job spells it, and the home that was chosen for them.
type filesAt struct{ destination, folder, home string }

// filesHomes finds the homes whose disks get the files of a new run that name no place, and writes them into the
// manifest. Files stay where those of the same folder were written before, also while that host is away and others
// serve: who knows better says so, by fanmill place. For a folder that never had a home one is chosen, and returned for
// keepFiles. What fanmill run writes is at its own home, and is remembered for nobody.
func (n *Coordinator) filesHomes(ctx context.Context, job *pipeline.Job, m *pipeline.Manifest, newest *checkpoint.Document[checkpoint.RunRecord]) (chosen []filesAt, _ error) {
	m.Home = n.Owner.Home
	if n.Own || n.Owner.Home == "" { // no other host has the store
		return nil, nil
	}
	known, err := checkpoint.LoadFiles(ctx, n.Stores.Jobs, job.ID, n.pass)
	if err != nil {
		return nil, err
	}
	kept := map[string]string{} // by destination
	var types []string
	for i := range m.Destinations {
		d := &m.Destinations[i]
		kind, folder := n.Sinks[d.Type], folderOf(job, d.ID)
		if kind == nil || kind.Traits.Target != pipeline.TargetFile || d.Place != "" {
			continue
		}
		if at, ok := known.Of(d.ID, folder); ok {
			kept[d.ID] = at.Home
			n.warnAway(job, d, kind.Name, at.Home)
			continue
		}
		types, chosen = append(types, kind.Name), append(chosen, filesAt{destination: d.ID, folder: folder})
	}
	if len(chosen) > 0 {
		if m.Home, err = n.chooseHome(ctx, m, types, chosen, slices.Sorted(maps.Values(kept)), newest); err != nil {
			return nil, err
		}
	}
	for i := range chosen {
		chosen[i].home = m.Home
	}
	for i := range m.Destinations {
		if home := kept[m.Destinations[i].ID]; home != m.Home {
			m.Destinations[i].Home = home
		}
	}
	return chosen, nil
}

func folderOf(job *pipeline.Job, destination string) string {
	for i := range job.Destinations {
		if d := &job.Destinations[i]; d.ID == destination {
			return checkpoint.FolderOf(d)
		}
	}
	return ""
}

// warnAway tells that a run waits for the host that has the files of a destination.
func (n *Coordinator) warnAway(job *pipeline.Job, d *pipeline.ManifestDestination, typ, home string) {
	if n.homesThatWrite([]string{typ})[home] != "" {
		return
	}
	n.Log.Warn(fmt.Sprintf("the files of destination %s were written on %s, where no process writes such now; the run waits for it. If they are on another host now, run fanmill place adopt %s there; "+
		"if they are gone, fanmill place forget %s %s has the next run choose anew; place: NAME in the job settles it for good", d.ID, pipeline.HostOf(home), job.ID, job.ID, d.ID))
}

// keepFiles notes for the runs to come which homes were chosen. It comes before the run's first record: who chooses
// after a crash finds it.
func (n *Coordinator) keepFiles(ctx context.Context, m *pipeline.Manifest, chosen []filesAt) error {
	if len(chosen) == 0 {
		return nil
	}
	return checkpoint.ChangeFiles(ctx, n.Stores.Jobs, m.JobID, func(r *checkpoint.FilesRecord) {
		for _, c := range chosen {
			if _, ok := r.Of(c.destination, c.folder); !ok {
				r.Keep(c.destination, c.folder, checkpoint.FilesHome{Home: c.home, Since: time.Now().UTC(), Run: m.Run})
			}
		}
	})
}

// AdoptFiles makes this process's home that of all files of a job, for the runs to come, and returns by destination
// where they were.
func (n *Coordinator) AdoptFiles(ctx context.Context, job string) (moved map[string]string, _ error) {
	known, err := checkpoint.LoadFiles(ctx, n.Stores.Jobs, job, n.pass)
	if err != nil || len(known.Destinations) == 0 || n.Owner.Home == "" {
		return nil, err
	}
	err = checkpoint.ChangeFiles(ctx, n.Stores.Jobs, job, func(r *checkpoint.FilesRecord) {
		moved = map[string]string{}
		for id, folders := range r.Destinations {
			for folder, at := range folders {
				if at.Home != n.Owner.Home {
					moved[id] = at.Home
					r.Keep(id, folder, checkpoint.FilesHome{Home: n.Owner.Home, Since: time.Now().UTC()})
				}
			}
		}
	})
	return moved, err
}

// ForgetFiles says that the files of a job's destinations are nowhere any more; of all of them if none is named.
func (n *Coordinator) ForgetFiles(ctx context.Context, job string, destinations []string) (forgotten []string, _ error) {
	known, err := checkpoint.LoadFiles(ctx, n.Stores.Jobs, job, n.pass)
	if err != nil {
		return nil, err
	}
	if len(destinations) == 0 {
		destinations = slices.Sorted(maps.Keys(known.Destinations))
	}
	var errs []error
	for _, d := range destinations {
		if known.Destinations[d] == nil {
			errs = append(errs, fmt.Errorf("job %s has no files of a destination %s on any host; fanmill place ls %s lists what it has", job, d, job))
		}
	}
	if err := errors.Join(errs...); err != nil || len(destinations) == 0 {
		return nil, err
	}
	return destinations, checkpoint.ChangeFiles(ctx, n.Stores.Jobs, job, func(r *checkpoint.FilesRecord) {
		for _, d := range destinations {
			r.Forget(d)
		}
	})
}

// chooseHome is the home of files that were nowhere before, of these types: that of this process, if it writes
// destinations of all of them or if nobody does; else the one that has a file to which rows are appended, by the job's
// newest run; else the only one where processes write all of them; of several the one that has other files of the job.
// Where that does not tell the job has to.
func (n *Coordinator) chooseHome(ctx context.Context, m *pipeline.Manifest, types []string, files []filesAt, others []string, newest *checkpoint.Document[checkpoint.RunRecord]) (string, error) {
	homes := n.homesThatWrite(types)
	if _, own := homes[n.Owner.Home]; own || len(homes) == 0 {
		return n.Owner.Home, nil
	}
	var ids []string
	for _, f := range files {
		ids = append(ids, f.destination)
		if d := m.Destination(f.destination); newest != nil && d.Mode == "append" {
			if rec, err := n.Records.Load(ctx, checkpoint.RunOf(newest), d.ID); err == nil && rec.Home != "" {
				return rec.Home, nil
			}
		}
	}
	if newest != nil {
		if before, err := checkpoint.LoadManifest(ctx, n.Stores.Runs, checkpoint.RunOf(newest)); err == nil {
			others = append(others, before.Home)
		}
	}
	for _, home := range others {
		if homes[home] != "" {
			return home, nil
		}
	}
	all := slices.Sorted(maps.Keys(homes))
	if len(all) == 1 {
		return all[0], nil
	}
	var hosts []string
	for _, home := range all {
		hosts = append(hosts, homes[home])
	}
	return "", pipeline.Permanent(fmt.Errorf("the files of %s could be written on %s, and the job does not say where; start one of these with --place NAME=FOLDER and write place: NAME into the destinations, with a filePath below that folder",
		strings.Join(ids, ", "), strings.Join(hosts, " and ")))
}

// homesThatWrite are the hosts, by home, whose processes write destinations of all these types.
func (n *Coordinator) homesThatWrite(types []string) map[string]string {
	live, alone := n.living()
	if alone {
		return map[string]string{n.Owner.Home: n.Owner.Host}
	}
	written, hosts := map[string]map[string]bool{}, map[string]string{}
	for _, p := range live {
		if p.Draining {
			continue
		}
		if written[p.Owner.Home] == nil {
			written[p.Owner.Home] = map[string]bool{}
		}
		for _, t := range p.Sinks {
			written[p.Owner.Home][t] = true
		}
		hosts[p.Owner.Home] = p.Owner.Host
	}
	maps.DeleteFunc(hosts, func(home, _ string) bool {
		return slices.ContainsFunc(types, func(t string) bool { return !written[home][t] })
	})
	return hosts
}
