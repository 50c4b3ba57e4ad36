package checkpoint

import "fanmill/pipeline"

// At is the place that the command of a destination goes to, as a token of subjects; "" is any process. What has
// nothing on a disk yet goes anywhere, unless its kind writes files: to the folder that its job names, or else to the
// home that was chosen when the run began (ManifestDestination.Home, Manifest.Home). Rows in the spool of a process
// wait at its home.
func (r *CommitRecord) At(m *pipeline.Manifest, d *pipeline.ManifestDestination, kind *pipeline.SinkKind) string {
	files := kind != nil && kind.Traits.Target == pipeline.TargetFile
	switch {
	case r.Place != nil: // a spool
		return pipeline.HomePlace(r.Home)
	case files && d.Place != "":
		return pipeline.NamedPlace(d.Place)
	case files && r.Home != "":
		return pipeline.HomePlace(r.Home)
	case files && d.Home != "":
		return pipeline.HomePlace(d.Home)
	case files:
		return pipeline.HomePlace(m.Home)
	}
	return ""
}
