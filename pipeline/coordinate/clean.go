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
		n.Log.Info(fmt.Sprintf("run %s is over; what it keeps to itself of destination %s may be on %s, where the next start of fanmill removes it", m.Run, d, hostsOf(waits[d])))
	}
	return waits, err
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
