package nats_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// example runs the server of examples/nats-server.conf, and returns a client for each of its users.
func example(t *testing.T) map[string]*nats.Conn {
	t.Helper()
	users := []string{"coordinator", "query", "sink", "observer", "trigger"}
	for _, user := range users {
		t.Setenv(strings.ToUpper(user)+"_PASSWORD", "pw-"+user)
	}
	o, err := natsserver.ProcessConfigFile(filepath.Join("..", "examples", "nats-server.conf"))
	if err != nil {
		t.Fatal(err)
	}
	o.Host, o.Port, o.NoSigs, o.NoLog, o.StoreDir = "127.0.0.1", natsserver.RANDOM_PORT, true, true, t.TempDir()
	s, err := natsserver.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the NATS server does not start")
	}
	all := map[string]*nats.Conn{}
	for _, user := range users {
		nc, err := nats.Connect(s.ClientURL(), nats.UserInfo(user, "pw-"+user), nats.CustomInboxPrefix("_INBOX_"+user), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		all[user] = nc
	}
	return all
}

// lets reports whether the server lets a client publish to a subject, or subscribe to it. What it refuses it names.
func lets(t *testing.T, nc *nats.Conn, verb, subject string) bool {
	t.Helper()
	var err error
	if verb == "Publish" {
		err = nc.Publish(subject, nil)
	} else {
		var s *nats.Subscription
		if s, err = nc.SubscribeSync(subject); err == nil {
			defer func() { _ = s.Unsubscribe() }()
		}
	}
	if err == nil {
		err = nc.FlushTimeout(time.Minute) // what it refuses it says before it answers this
	}
	if err != nil {
		t.Fatal(err)
	}
	last := nc.LastError()
	return last == nil || !strings.Contains(strings.ToLower(last.Error()), strings.ToLower(fmt.Sprintf("%s to %q", verb, subject)))
}

// Who may publish and subscribe what, with the example of a server's configuration: all that is not said here of a user
// is refused to it.
func TestPermissionsOfTheExample(t *testing.T) {
	users := example(t)
	const (
		C = "coordinator"
		Q = "query"
		S = "sink"
		O = "observer"
		T = "trigger"
	)
	all := map[string]map[string][]string{"Publish": {
		"fanmill.jobs.run.gst":              {C, T},
		"fanmill.jobs.run.other":            {C},
		"fanmill.api.status":                {O},
		"fanmill.api.checkpoint":            {O},
		"fanmill.api.run.gst":               {},
		"fanmill.api.cancel":                {},
		"$SRV.PING":                         {O},
		"$SRV.INFO.fanmill":                 {O},
		"fanmill.jobs.inline.gst":           {},
		"fanmill.jobs.cancel.run":           {C},
		"fanmill.jobs.own.gst.token":        {C},
		"fanmill.work.query.any.run.conn":   {C},
		"fanmill.work.sink.any.csv.run.out": {C},
		"fanmill.describe.token":            {C},
		"fanmill.schedules.gst.id":          {C},
		"fanmill.due.gst.id":                {},
		"fanmill.rows.run.conn":             {C, Q},
		"fanmill.rows.run.conn.fenced.1":    {C, Q},
		"fanmill.events.gst.run.ended":      {C, Q, S},
		"fanmill.dead.run":                  {C},
		"fanmill.dead.request.gst":          {C, S},
		"_INBOX_coordinator.x":              {},
		"_INBOX_sink.x":                     {},

		"$KV.fanmill_jobs.gst":                                                                     {C},
		"$KV.fanmill_jobs.gst.definition":                                                          {C},
		"$KV.fanmill_runs.run":                                                                     {C, S},
		"$KV.fanmill_runs.run.manifest":                                                            {C},
		"$KV.fanmill_runs.run.spec.0":                                                              {C},
		"$KV.fanmill_runs.run.spec.part.digest":                                                    {C},
		"$KV.fanmill_runs.run.cancel":                                                              {C},
		"$KV.fanmill_runs.run.conn.conn":                                                           {C, Q},
		"$KV.fanmill_runs.job.gst":                                                                 {C},
		"$KV.fanmill_runs.process.token":                                                           {C, Q, S},
		"$KV.fanmill_checkpoints.gst":                                                              {C},
		"$KV.fanmill_checkpoints.run.out":                                                          {C, S},
		"$KV.fanmill_checkpoints.run.out.error.conn":                                               {C, S},
		"$KV.fanmill_checkpoints.run.out.told.0.1":                                                 {C, S},
		"$JS.API.INFO":                                                                             {C},
		"$JS.API.STREAM.CREATE.FANMILL_ROWS_run_1":                                                 {C},
		"$JS.API.STREAM.UPDATE.FANMILL_WORK":                                                       {C},
		"$JS.API.STREAM.PURGE.FANMILL_ROWS_run_1":                                                  {C},
		"$JS.API.STREAM.DELETE.FANMILL_ROWS_run_1":                                                 {C},
		"$JS.API.STREAM.MSG.DELETE.FANMILL_TRIGGERS":                                               {},
		"$JS.API.STREAM.SNAPSHOT.FANMILL_ROWS_run_1":                                               {},
		"$JS.API.STREAM.NAMES":                                                                     {C},
		"$JS.API.STREAM.INFO.FANMILL_ROWS_run_1":                                                   {C, Q, S, O},
		"$JS.API.STREAM.MSG.GET.FANMILL_SCHEDULES":                                                 {C},
		"$JS.API.CONSUMER.CREATE.FANMILL_SCHEDULES.due-v1.fanmill.due.*.*":                         {C},
		"$JS.API.CONSUMER.MSG.NEXT.FANMILL_SCHEDULES.due-v1":                                       {C},
		"$JS.API.CONSUMER.DELETE.FANMILL_SCHEDULES.due-v1":                                         {C},
		"$JS.ACK.FANMILL_SCHEDULES.due-v1.1.1.1.1.0":                                               {C},
		"$JS.API.STREAM.MSG.GET.FANMILL_TRIGGERS":                                                  {C, O},
		"$JS.API.STREAM.MSG.GET.FANMILL_WORK":                                                      {C},
		"$JS.API.STREAM.MSG.GET.FANMILL_JOBS":                                                      {C},
		"$JS.API.STREAM.MSG.GET.FANMILL_DEAD":                                                      {C},
		"$JS.API.STREAM.MSG.GET.FANMILL_ROWS_run_1":                                                {C, Q, S},
		"$JS.API.STREAM.MSG.GET.KV_fanmill_jobs":                                                   {C},
		"$JS.API.STREAM.MSG.GET.KV_fanmill_runs":                                                   {C, Q, S, O},
		"$JS.API.STREAM.MSG.GET.KV_fanmill_checkpoints":                                            {C, S, O},
		"$JS.API.DIRECT.GET.FANMILL_ROWS_run_1":                                                    {C, S},
		"$JS.API.DIRECT.GET.KV_fanmill_jobs":                                                       {C},
		"$JS.API.DIRECT.GET.KV_fanmill_jobs.$KV.x.y":                                               {C},
		"$JS.API.DIRECT.GET.F_1.fanmill.rows.run.conn":                                             {C, Q},
		"$JS.API.CONSUMER.CREATE.FANMILL_ROWS_run_1.csv":                                           {C, S},
		"$JS.API.CONSUMER.CREATE.FANMILL_ROWS_run_1.x.fanmill.rows.run.conn":                       {C, Q},
		"$JS.API.CONSUMER.CREATE.FANMILL_WORK.query-any-v1.fanmill.work.query.any.>":               {C, Q},
		"$JS.API.CONSUMER.CREATE.FANMILL_WORK.sink-csv-v1.fanmill.work.sink.any.csv.>":             {C, S},
		"$JS.API.CONSUMER.CREATE.FANMILL_WORK.x":                                                   {C},
		"$JS.API.CONSUMER.CREATE.FANMILL_TRIGGERS.x":                                               {C},
		"$JS.API.CONSUMER.CREATE.FANMILL_TRIGGERS.x.fanmill.jobs.run.gst":                          {C},
		"$JS.API.CONSUMER.CREATE.KV_fanmill_runs.x.$KV.fanmill_runs.process.*":                     {C, Q, S, O},
		"$JS.API.CONSUMER.CREATE.KV_fanmill_runs.x.$KV.fanmill_runs.*":                             {C, S, O},
		"$JS.API.CONSUMER.CREATE.FANMILL_WORK.clean-x-v1.fanmill.work.clean.x.>":                   {C, S},
		"fanmill.work.clean.x.run.out":                                                             {C},
		"$JS.API.CONSUMER.CREATE.KV_fanmill_runs.x.$KV.fanmill_runs.>":                             {C, S, O},
		"$JS.API.CONSUMER.CREATE.KV_fanmill_checkpoints.x.$KV.fanmill_checkpoints.run.out.error.*": {C, S, O},
		"$JS.API.CONSUMER.CREATE.KV_fanmill_checkpoints.x.$KV.fanmill_checkpoints.*":               {C, O},
		"$JS.API.CONSUMER.CREATE.KV_fanmill_jobs.x.$KV.fanmill_jobs.*.schedule":                    {C, O},
		"$JS.API.CONSUMER.CREATE.KV_fanmill_jobs.x":                                                {C},
		"$JS.API.CONSUMER.CREATE.KV_fanmill_jobs.x.$KV.fanmill_jobs.*":                             {C},
		"$JS.API.CONSUMER.MSG.NEXT.FANMILL_ROWS_run_1.csv":                                         {C, Q, S},
		"$JS.API.CONSUMER.MSG.NEXT.FANMILL_WORK.query-any-v1":                                      {C, Q},
		"$JS.API.CONSUMER.MSG.NEXT.FANMILL_WORK.sink-csv-v1":                                       {C, Q, S},
		"$JS.API.CONSUMER.MSG.NEXT.FANMILL_TRIGGERS.x":                                             {C},
		"$JS.API.CONSUMER.MSG.NEXT.FANMILL_JOBS.x":                                                 {C},
		"$JS.API.CONSUMER.DELETE.FANMILL_WORK.query-any-v1":                                        {C},
		"$JS.API.CONSUMER.DELETE.FANMILL_TRIGGERS.x":                                               {C},
		"$JS.API.CONSUMER.DELETE.FANMILL_ROWS_run_1.csv":                                           {C, Q, S},
		"$JS.ACK.FANMILL_TRIGGERS.x.1.1.1.1.0":                                                     {C},
		"$JS.ACK.FANMILL_WORK.query-any-v1.1.1.1.1.0":                                              {C, Q},
		"$JS.ACK.FANMILL_WORK.sink-csv-v1.1.1.1.1.0":                                               {C, S},
	}, "Subscription": {
		">": {}, "_INBOX.>": {}, "$KV.>": {}, "$JS.>": {}, "$JS.API.>": {}, "$SYS.>": {}, "fanmill.>": {},
		"fanmill.rows.>": {}, "fanmill.work.>": {}, "fanmill.dead.>": {}, "fanmill.jobs.own.>": {},
		"fanmill.jobs.run.*": {C}, "fanmill.jobs.inline.*": {C}, "fanmill.jobs.cancel.*": {C},
		"fanmill.describe.token": {C, Q},
		"fanmill.api.run.*":      {C}, "$SRV.PING": {C}, "$SRV.STATS.fanmill.id": {C}, "$SRV.PING.other": {},
		"fanmill.events.>":        {C, Q, S, O},
		"fanmill.events.*.*.*":    {C, Q, S, O},
		"_INBOX_coordinator.x.>":  {C},
		"_INBOX_query.x.>":        {Q},
		"_INBOX_sink.x.>":         {S},
		"_INBOX_observer.x.>":     {O},
		"_INBOX_trigger.x.>":      {T},
		"_INBOX_coordinator.x.*":  {C},
		"$KV.fanmill_jobs.>":      {},
		"$JS.FC.>":                {},
		"$JS.EVENT.ADVISORY.>":    {},
		"fanmill.jobs.run.gst":    {C},
		"fanmill.rows.run.conn":   {},
		"$KV.fanmill_runs.*":      {},
		"$KV.fanmill_runs.*.spec": {},
	}}
	for verb, table := range all {
		for subject, may := range table {
			for user, nc := range users {
				if got := lets(t, nc, verb, subject); got != slices.Contains(may, user) {
					t.Errorf("%s: %s to %q is permitted: %v", user, verb, subject, got)
				}
			}
		}
	}
}
