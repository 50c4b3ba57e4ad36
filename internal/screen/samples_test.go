package screen_test

import (
	"fmt"
	"time"

	"fanmill/checkpoint"

	"fanmill/internal/screen"
	"fanmill/pipeline"
)

// at is when the samples' runs began.
var at = time.Date(2026, 11, 23, 19, 11, 12, 0, time.UTC)

// sampleJob has names that are wide, long or of several scripts.
func sampleJob(n int) *pipeline.Job {
	j := &pipeline.Job{ID: "job_gst_data", Name: "GST Sale Data - All Branches",
		Destinations: []pipeline.Destination{{ID: "excel", Type: "excel"}, {ID: "csv", Type: "csv"}}}
	odd := map[int]string{3: "शाखा_दिल्ली_मुख्य", 5: "支店_東京_新宿西口", 7: "Branch_007_Thiruvananthapuram_Technopark_Phase_III_Annex", 11: "Filiale_Köln"}
	for i := 1; i <= n; i++ {
		name := odd[i]
		if name == "" {
			name = fmt.Sprintf("Branch_%03d", i)
		}
		j.Connections = append(j.Connections, pipeline.Connection{ID: fmt.Sprintf("conn_%d", i), Name: name})
	}
	return j
}

const nobody = `open: connect to postgres: role "nobody" does not exist (SQLSTATE 28000)`

// sampleReports are what two destinations report of a run that ended partial.
func sampleReports(n int) []*pipeline.Report {
	excel := &pipeline.Report{Destination: "excel", Artifact: "D:/Reports/GST Sale Data - All Branches 2026-11-24.xlsx", State: pipeline.RecordFinished, Length: 167244390}
	csv := &pipeline.Report{Destination: "csv", Artifact: "D:/Reports/GST Sale Data - All Branches 2026-11-24.csv", State: pipeline.RecordFinished, Length: 263716864}
	for i, c := range sampleJob(n).Connections {
		line := pipeline.ReportConnection{ID: c.ID, Name: c.Name, State: pipeline.ReportSettled, Rows: []int64{int64(20251 + 977*i)}, Millis: int64(900 + 333*i), Attempts: 1 + i%7/5}
		both := [2]pipeline.ReportConnection{line, line}
		switch i {
		case 3:
			for k := range both {
				both[k].State, both[k].Rows, both[k].Error = pipeline.ReportFailed, nil, nobody
			}
		case 5:
			both[0].State, both[0].Rows, both[0].Error = pipeline.ReportRejected, nil, "16,500 columns, a sheet has at most 16,384;\nask for fewer, or take a CSV"
		case 8:
			both[0].Losses = []pipeline.Loss{{Column: "remarks", What: "cut to 32767 characters", Cells: 1200}}
			both[0].Notes = []string{"Branch_009 lacks discount"}
			both[1].Notes = []string{"Branch_009 lacks discount"}
		}
		excel.Connections, csv.Connections = append(excel.Connections, both[0]), append(csv.Connections, both[1])
	}
	return []*pipeline.Report{excel, csv}
}

func sampleRun(n int) screen.RunView {
	v := screen.RunView{Run: "20261123-191112-psckdj", JobID: "job_gst_data", JobName: "GST Sale Data - All Branches", State: pipeline.RunPartial,
		Started: at, Millis: 24020, Resume: "fanmill run D:/jobs/gst.json --resume"}
	v.Connections, v.Destinations = screen.FromReports(sampleReports(n))
	v.Measures = &pipeline.Measures{PeakResident: 930 << 20, Threshold: 1024 << 20, Budget: 256 << 20, BudgetPeak: 250 << 20, Batches: 4000, BatchBytes: 4000 * 380 << 10,
		Parallel: 8, Asked: 56, Slowest: "conn_7", SlowestMillis: 310_000, MedianMillis: 25_000, PausedMillis: 4200, LogMax: 512 << 20, LogPeak: 100 << 20}
	return v
}

func sampleStatus() screen.StatusView {
	lag := int64(22)
	reports := sampleReports(12)
	for _, r := range reports {
		r.State = pipeline.RecordOpen
		for i := 7; i < 12; i++ {
			c := &r.Connections[i]
			*c = pipeline.ReportConnection{ID: c.ID, Name: c.Name, State: pipeline.ReportPending}
		}
	}
	v := screen.StatusView{Owner: "process 12887 on vm", Resumes: 1, Log: &screen.LogView{Bytes: 12 << 20, Max: 512 << 20}}
	v.RunView = screen.RunView{Run: "20261123-191112-psckdj", JobID: "job_gst_data", JobName: "GST Sale Data - All Branches", State: pipeline.RunRunning, Started: at, Millis: 24020}
	v.Connections, v.Destinations = screen.FromReports(reports)
	now := at.Add(24 * time.Second)
	v.Connections[7].Asked(checkpoint.ConnRecord{State: checkpoint.ConnRunning, Attempts: 2, Started: now.Add(-3 * time.Second)}, now)
	v.Connections[8].Asked(checkpoint.ConnRecord{State: checkpoint.ConnDone, Attempts: 1, Millis: 3600}, now)
	v.Connections[9].Asked(checkpoint.ConnRecord{State: checkpoint.ConnGivenUp, Attempts: 3, Millis: 31000, Error: "open: dial tcp 10.3.7.12:5432: connect: connection refused"}, now)
	for i := range v.Destinations {
		v.Destinations[i].Lag = &lag
	}
	return v
}

func sampleCheck(n int) screen.CheckView {
	v := screen.CheckView{JobID: "job_gst_data", OnDrift: pipeline.DriftUnion, Millis: 2140}
	for i, c := range sampleJob(n).Connections {
		line := screen.CheckLine{ID: c.ID, Name: c.Name, Reachable: true, Millis: int64(12 + 17*i), Server: "PostgreSQL 15.8"}
		switch i {
		case 1:
			line.Server = "Microsoft SQL Server 2012 (SP4)"
		case 3:
			line.Reachable, line.Server, line.Error = false, "", "connect to sqlserver 10.3.7.12:1433: TLS handshake: tls: server selected unsupported protocol version 301; tlsmin=1.0 accepts old servers, whose encryption a determined listener can break"
		case 5:
			line.Error = `query: relation "gst_sales" does not exist (SQLSTATE 42P01)`
		case 6:
			line.Missing, line.Extra = []string{"discount"}, []string{"remarks", "created_by"}
		case 8:
			line.Retyped = []screen.RetypedView{{Column: "quantity", Type: "text", Usual: "decimal(12,3)", Becomes: "text"}, {Column: "photo", Type: "binary", Usual: "int"}}
		}
		v.Connections = append(v.Connections, line)
	}
	return v
}

func samplePreview() screen.PreviewView {
	v := screen.PreviewView{Connection: "Branch_001", Server: "PostgreSQL 15.8", Millis: 14, More: true, Columns: []screen.PreviewColumn{{Name: "invoice_no", Type: "text"}, {Name: "invoice_date", Type: "date"},
		{Name: "customer", Type: "text"}, {Name: "taxable_value", Type: "decimal(14,2)"}, {Name: "quantity", Type: "int"}, {Name: "created_at", Type: "timestamptz"}, {Name: "remarks", Type: "text"}}}
	for i := range 6 {
		v.Rows = append(v.Rows, []screen.PreviewCell{{Text: fmt.Sprintf("INV-%05d", i+1)}, {Text: "2026-11-23"}, {Text: []string{"NULL", "दिल्ली ट्रेडर्स प्राइवेट लिमिटेड", "東京商事", ""}[i%4]},
			{Text: fmt.Sprintf("%d.50", 12345*i*i)}, {Text: fmt.Sprint(i * 7), Null: i == 2}, {Text: "2026-11-23 19:11:12.5+05:30"}, {Text: "first line\nsecond line", Null: i%2 == 1}})
	}
	return v
}

func sampleRuns() screen.RunsView {
	return screen.RunsView{Runs: []screen.RunLine{
		{Run: "night-2026-11-23", JobID: "job_gst_data", State: screen.StateQueued, Asked: at, Millis: 32000},
		{Run: "20261123-191112-psckdj", JobID: "job_gst_data", State: pipeline.RunRunning, Started: at, Millis: 4000, Done: 16, Total: 56, Rows: 320016},
		{Run: "20261122-191112-k2ddja", JobID: "job_gst_data", State: pipeline.RunPartial, Started: at.AddDate(0, 0, -1), Millis: 83000, Done: 55, Total: 56, Rows: 1126580},
		{Run: "20261121-191112-3", JobID: "支店別売上_月次", State: pipeline.RunComplete, Started: at.AddDate(0, 0, -2), Millis: 7503000, Done: 56, Total: 56, Rows: 112658000},
	}}
}

func sampleQueued() screen.StatusView {
	return screen.StatusView{RunView: screen.RunView{Run: "night-2026-11-23", JobID: "job_gst_data", State: screen.StateQueued, Millis: 32000}, Asked: at,
		Cancel: "fanmill cancel night-2026-11-23 --data D:/fanmill"}
}

// samples are views of every kind, by the names of their golden files.
func samples() map[string]screen.View {
	return map[string]screen.View{"run": sampleRun(12), "long-run": sampleRun(1000), "status": sampleStatus(), "check": sampleCheck(12), "long-check": sampleCheck(1000),
		"preview": samplePreview(), "runs": sampleRuns(), "queued": sampleQueued()}
}
