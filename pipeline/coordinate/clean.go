package coordinate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// clean removes everything that a complete or abandoned run no longer needs, which is all but its manifest, its
// commit records and its artifacts. The public checkpoint is the job's: it goes with the newest run only.
//
// Files lie where they were written. homes has, by destination, the homes of the processes that have claimed it; waits
// are those of which nobody knows yet whether something of the run is still there. What this process finds under the
// paths of the run, and is not the run's, it does not touch. A run that has been cleaned but for that, as rec.Waits
// says, is looked at again by every process that starts: homes is what is left then.
func (n *Coordinator) clean(ctx context.Context, rec checkpoint.RunRecord, m *pipeline.Manifest, homes map[string][]string, abandoned bool) (waits map[string][]string, err error) {
	if len(rec.Waits) > 0 {
		return n.Cleaner.Clean(ctx, n.Log, m, homes, abandoned)
	}
	err = errors.Join(n.dropCommands(ctx, m.Run), n.RowLogs.Delete(ctx, m.Run, rec.Generation))
	waits, sinksErr := n.Cleaner.Clean(ctx, n.Log, m, homes, abandoned)
	err = errors.Join(err, sinksErr, n.dropConnRecords(ctx, m))
	if last, _, lastErr := n.LastRun(ctx, m.JobID); lastErr == nil && last != nil && checkpoint.RunOf(last) == m.Run {
		err = errors.Join(err, n.Progress.Remove(ctx, m.JobID))
	}
	for _, d := range slices.Sorted(maps.Keys(waits)) {
		n.Log.Debug(fmt.Sprintf("run %s is over; what it keeps to itself of destination %s may be on %s, where the next process that writes destinations removes it", m.Run, d, hostsOf(waits[d])))
	}
	return waits, err
}

// askCleaners asks for what other processes can remove, once the record says that the run is over. A command that waits
// for its process is not published again; one that is lost is, by the next sweep.
func (n *Coordinator) askCleaners(ctx context.Context, m *pipeline.Manifest, waits map[string][]string) {
	for _, id := range slices.Sorted(maps.Keys(waits)) {
		d := m.Destination(id)
		if d == nil {
			continue
		}
		places := map[string]bool{}
		for _, home := range waits[id] {
			places[pipeline.HomePlace(home)] = true
		}
		if d.Place != "" { // whoever has that folder, also after those homes are gone
			places[pipeline.NamedPlace(d.Place)] = true
		}
		for _, place := range slices.Sorted(maps.Keys(places)) {
			topic := pipeline.TopicCleanCommand(place, m.Run, id)
			kept, err := n.Bus.Kept(ctx, topic, 1)
			if err == nil && len(kept) == 0 {
				err = n.command(topic, pipeline.CleanCommand{Run: m.Run, Destination: id})
			}
			if err != nil {
				n.Log.Debug("nobody is asked to tidy up after a run; the next sweep asks", "run", m.Run, "place", place, "error", err)
			}
		}
	}
}

// CleanHere carries out a clean command on the disks of this process. What is left waits for others.
func (n *Coordinator) CleanHere(ctx context.Context, c pipeline.CleanCommand) error {
	doc, err := checkpoint.LoadDocument[checkpoint.RunRecord](ctx, n.Stores.Runs, checkpoint.RunKey(c.Run))
	if errors.Is(err, pipeline.ErrNoKey) || errors.Is(err, pipeline.ErrForeign) || errors.Is(err, checkpoint.ErrLater) {
		return nil // it is forgotten, or for another program
	}
	if err != nil {
		return err
	}
	rec := doc.Value()
	claimed := rec.Waits[c.Destination]
	if len(claimed) == 0 || rec.State != pipeline.RunComplete && rec.State != pipeline.RunAbandoned {
		return nil
	}
	m, err := checkpoint.LoadManifest(ctx, n.Stores.Runs, c.Run)
	if err != nil {
		return err
	}
	left, err := n.Cleaner.Clean(ctx, n.Log, m, map[string][]string{c.Destination: claimed}, rec.State == pipeline.RunAbandoned)
	if err != nil {
		return err
	}
	over := func(r *checkpoint.RunRecord) bool { return r.State == rec.State }
	err = doc.Change(ctx, over, func(r *checkpoint.RunRecord) { r.CleanThere(c.Destination, left[c.Destination]) })
	if err == nil {
		n.Log.Debug(fmt.Sprintf("what run %s kept to itself of destination %s is removed here", c.Run, c.Destination))
	}
	return err
}

// hostsOf names the hosts of homes.
func hostsOf(homes []string) string {
	var hosts []string
	for _, home := range homes {
		host, _, _ := strings.Cut(home, " ")
		hosts = append(hosts, host)
	}
	return strings.Join(slices.Compact(hosts), " or ")
}

// homesOf are the homes of the processes that have claimed the destinations of a run.
func (n *Coordinator) homesOf(ctx context.Context, m *pipeline.Manifest) (map[string][]string, error) {
	homes := map[string][]string{}
	for _, d := range m.Destinations {
		rec, err := n.Records.Load(ctx, m.Run, d.ID)
		// Of such a one nobody knows.
		if err != nil && !errors.Is(err, pipeline.ErrNoKey) && !errors.Is(err, pipeline.ErrForeign) {
			return nil, fmt.Errorf("look who has claimed %s of run %s: %w", d.ID, m.Run, err)
		}
		homes[d.ID] = rec.Homes
	}
	return homes, nil
}

func (n *Coordinator) dropConnRecords(ctx context.Context, m *pipeline.Manifest) error {
	for _, c := range m.Connections {
		if err := n.Stores.Runs.Delete(ctx, checkpoint.ConnKey(m.Run, c.ID)); err != nil {
			return err
		}
	}
	return nil
}

// markCleaned notes that nothing is left to be removed but what waits for other hosts.
func (n *Coordinator) markCleaned(ctx context.Context, doc *checkpoint.Document[checkpoint.RunRecord], waits map[string][]string) error {
	if len(waits) > 0 && reflect.DeepEqual(doc.Value().Waits, waits) {
		return nil // every start of a process comes by here
	}
	err := doc.Change(ctx, checkpoint.Owned(doc), func(r *checkpoint.RunRecord) { r.Clean(waits) })
	if errors.Is(err, pipeline.ErrFenced) && !errors.Is(err, pipeline.ErrForeign) {
		return nil
	}
	return err
}
