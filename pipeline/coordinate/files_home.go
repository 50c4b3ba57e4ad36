package coordinate

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// filesHome is the home whose disks get the files of a new run that name no place: that of this process, if it writes
// destinations of their types or if nobody does; else the one that has a file to which rows are appended, by the job's
// newest run, even if it is away; else the only one where processes write all of them; and of several the one that had
// those of that run. Where that does not tell the job has to.
func (n *Coordinator) filesHome(ctx context.Context, m *pipeline.Manifest, newest *checkpoint.Document[checkpoint.RunRecord]) (string, error) {
	var types []string
	var files []string
	for i := range m.Destinations {
		d := &m.Destinations[i]
		if kind := n.Sinks[d.Type]; kind != nil && kind.Traits.Target == pipeline.TargetFile && d.Place == "" {
			types, files = append(types, kind.Name), append(files, d.ID)
		}
	}
	homes := n.homesThatWrite(types)
	if _, own := homes[n.Owner.Home]; own || len(homes) == 0 || len(types) == 0 {
		return n.Owner.Home, nil
	}
	if newest != nil {
		for i := range m.Destinations {
			d := &m.Destinations[i]
			if d.Mode != "append" || !slices.Contains(files, d.ID) {
				continue
			}
			if rec, err := n.Records.Load(ctx, checkpoint.RunOf(newest), d.ID); err == nil && rec.Home != "" {
				return rec.Home, nil
			}
		}
	}
	if len(homes) > 1 && newest != nil {
		if before, err := checkpoint.LoadManifest(ctx, n.Stores.Runs, checkpoint.RunOf(newest)); err == nil && homes[before.Home] != "" {
			return before.Home, nil
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
		strings.Join(files, ", "), strings.Join(hosts, " and ")))
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
