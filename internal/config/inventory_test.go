package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"fanmill/internal/config"
)

// inventoryJob loads a job whose connections are an inventory of this name and text.
func inventoryJob(t *testing.T, connections, name, list string, vars map[string]string) (*config.File, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.Mkdir("jobs", 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join("jobs", name), list)
	write(t, "jobs/j.yaml", "query: select 1\ndestinations: [{type: csv, filePath: a.csv}]\nconnections:\n  file: "+name+"\n"+connections)
	return config.Load("jobs/j.yaml", options(vars))
}

const branches = `ID;Name;Server;Port;Region;State;pw
conn_1;Branch 001;10.0.0.1;;north;DL;secret1

conn_2;"Branch ""2""";10.0.0.2;1444;south;KA;secret2
;;;;;;
conn_3;Branch 003;10.0.0.3;;North;UP;secret3
`

// Every line becomes a connection; columns fill the templates, become keys, or labels. A password is no label.
func TestInventory(t *testing.T) {
	shared := `  driver: sqlserver
  database: "sale_{state}"
  user: "${APP}"
  password: "{pw}"
  options: {encrypt: disable, "app name": "fanmill {name}"}
`
	list := `[
 {"id": "conn_1", "name": "Branch 001", "server": "10.0.0.1", "region": "north", "state": "DL", "pw": "secret1"},
 {"id": "conn_2", "name": "Branch \"2\"", "server": "10.0.0.2", "port": 1444, "region": "south", "state": "KA", "pw": "secret2"},
 {"id": "conn_3", "name": "Branch 003", "server": "10.0.0.3", "port": null, "region": "North", "state": "UP", "pw": "secret3"}
]`
	for name, text := range map[string]string{
		"branches.csv": branches, "tabs.csv": strings.ReplaceAll(branches, ";", "\t"), "bom.csv": "\ufeff" + strings.ReplaceAll(strings.ReplaceAll(branches, ";", ","), "\n", "\r\n"),
		"branches.json": list, "branches.yaml": list,
	} {
		f, err := inventoryJob(t, shared, name, text, map[string]string{"APP": "app"})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for _, c := range f.Job.Connections {
			labels := map[string]string{}
			for k, v := range c.Labels {
				labels[strings.ToLower(k)] = v
			}
			got = append(got, fmt.Sprint(c.ID, "|", c.Name, "|", c.Driver, "|", c.DSN, "|", labels, "|", c.Queries))
		}
		want := []string{
			`conn_1|Branch 001|sqlserver|sqlserver://${APP|url}:secret1@10.0.0.1?database=sale_DL&encrypt=disable&app%20name=fanmill%20Branch%20001|map[region:north state:DL]|[{ select 1 <nil> []}]`,
			`conn_2|Branch "2"|sqlserver|sqlserver://${APP|url}:secret2@10.0.0.2:1444?database=sale_KA&encrypt=disable&app%20name=fanmill%20Branch%20%222%22|map[region:south state:KA]|[{ select 1 <nil> []}]`,
			`conn_3|Branch 003|sqlserver|sqlserver://${APP|url}:secret3@10.0.0.3?database=sale_UP&encrypt=disable&app%20name=fanmill%20Branch%20003|map[region:North state:UP]|[{ select 1 <nil> []}]`,
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%s\nwant:\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if ids := config.SecretLiterals(&f.Job, databases()); len(ids) != 3 {
			t.Errorf("%s: passwords in %v, want all three: an inventory's passwords are as literal as a job's", name, ids)
		}
		if in := f.Inputs(); len(in) != 3 || filepath.ToSlash(in[2]) != "jobs/"+name {
			t.Errorf("read from %v", in)
		}
	}
}

// A branch's own column wins over what is shared, and an override over both.
func TestInventoryOverrides(t *testing.T) {
	list := "id,server,dsn,password,driver,query,city\na,h1,,,,,Delhi\nb,h2,,own,,select 2,Pune\nc,h3,c.db,,sqlite,,\n"
	f, err := inventoryJob(t, `  driver: postgres
  user: app
  password: ${PW_{id}}
  database: sale
  overrides:
    a: {port: 6000, server: h9, city: Agra, options: {sslmode: require}}
    c: {dsn: other.db}
`, "b.csv", list, map[string]string{"PW_a": "x"})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range f.Job.Connections {
		got[c.ID] = fmt.Sprint(c.Driver, " ", c.DSN, " ", c.Queries[0].SQL, " ", c.Labels["city"])
	}
	want := map[string]string{
		"a": "postgres postgres://app:${PW_a|url}@h9:6000/sale?sslmode=require select 1 Agra",
		"b": "postgres postgres://app:own@h2/sale select 2 Pune",
		"c": "sqlite other.db select 1 ",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// In an address in one piece, columns and variables stand where they are mentioned; parts in other columns are
// labels' business.
func TestInventoryTemplates(t *testing.T) {
	for dsn, want := range map[string]string{
		`sqlserver://app:${PW_{id}|url}@{server}/X?database=d`: "sqlserver://app:${PW_conn_7|url}@h/X?database=d",
		`mysql://u:{pw|url}@{server}/d`:                        "mysql://u:p%40w@h/d",
		`mysql://u:${file:/run/secrets/{id}|url}@{server}/d`:   "mysql://u:${file:/run/secrets/conn-7|url}@h/d",
		`server={server};pwd={{{pw}}}`:                         "server=h;pwd={p@w}",
		`{server} $${x} $$`:                                    "h $$h $$",
		`${ALL}`:                                               "${ALL}",
		`{ref}`:                                                "${ALL}",
	} {
		f, err := inventoryJob(t, "  driver: mysql\n  id: \"{code}\"\n  dsn: '"+dsn+"'\n", "b.yaml",
			"- {code: conn-7, id: conn-7, server: h, port: 99, database: other, pw: p@w, x: h, ref: \"${ALL}\"}", map[string]string{"PW_conn_7": "x", "ALL": "y"})
		if strings.Contains(dsn, "/run/secrets") {
			if err == nil || !strings.Contains(err.Error(), "b.yaml:1:3: connections[0].dsn: ${file:/run/secrets/conn-7}: there is no such file") {
				t.Errorf("%s: got %v", dsn, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", dsn, err)
			continue
		}
		if got := f.Job.Connections[0].DSN; got != want {
			t.Errorf("%s: got %s, want %s", dsn, got, want)
		}
	}
}

// An override of a column reaches the templates that mention it.
func TestOverridesFillTemplates(t *testing.T) {
	f, err := inventoryJob(t, "  driver: mysql\n  dsn: mysql://u@{server}/{db}\n  overrides: {conn_2: {server: h9}}\n", "b.csv", "id,server,db,user\nconn_1,h1,d1,x\nconn_2,h2,d2,y\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := f.Job.Connections[0].DSN, f.Job.Connections[1].DSN; a != "mysql://u@h1/d1" || b != "mysql://u@h9/d2" {
		t.Errorf("got %s and %s", a, b)
	}
}

func TestInventorySelection(t *testing.T) {
	for selection, want := range map[string]string{
		"region=north":                         "conn_1 conn_3",
		"REGION == 'north'":                    "conn_1 conn_3",
		"region!=north":                        "conn_2",
		"region=north,state!=DL":               "conn_3",
		"state in (DL, ka)":                    "conn_1 conn_2",
		"state not in (DL,KA)":                 "conn_3",
		`name in ('Branch 001', "Branch 003")`: "conn_1 conn_3",
		"port=":                                "conn_1 conn_3",
		"port!=, region in (south,north)":      "conn_2",
		"id=conn_2":                            "conn_2",
	} {
		f, err := inventoryJob(t, "  driver: postgres\n  select: \""+strings.ReplaceAll(selection, `"`, `\"`)+"\"\n", "b.csv", branches, nil)
		if err != nil {
			t.Errorf("%s: %v", selection, err)
			continue
		}
		var ids []string
		for _, c := range f.Job.Connections {
			ids = append(ids, c.ID)
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("%s: got %s, want %s", selection, got, want)
		}
	}
	for selection, want := range map[string]string{
		"region=east":     "jobs/j.yaml:6:11: connections.select: selects none of the 3 branches; region has north, south, North",
		"regoin=north":    `jobs/j.yaml:6:11: connections.select: "regoin" is not a column of the inventory; did you mean "Region"?`,
		"weather=fine":    `"weather" is not a column of the inventory; it has ID, Name, Server, Port, Region, State, pw`,
		"region north":    `"region north" is not a condition; write region=north`,
		"pw=hunter2":      "selects none of the 3 branches",
		"region=north,":   `"" is not a condition`,
		"=north":          `"=north" is not a condition`,
		"region in north": "is not a condition",
	} {
		_, err := inventoryJob(t, "  driver: postgres\n  select: "+selection+"\n", "b.csv", branches, nil)
		if err == nil || !strings.Contains(filepath.ToSlash(err.Error()), want) || strings.Contains(err.Error(), "secret1") {
			t.Errorf("%s: got %v, want %q", selection, err, want)
		}
	}
}

// What is wrong with a branch is said with the inventory's file and line; what all share, once, with the job's.
func TestInventoryProblems(t *testing.T) {
	cases := []struct{ connections, name, list, want string }{
		{"  dirver: postgres\n", "b.csv", branches, `jobs/j.yaml:5:3: connections.dirver: is not a key fanmill knows here; did you mean "driver"?`},
		{"  driver: postgre\n", "b.csv", branches, `jobs/j.yaml:5:11: connections[0].driver: "postgre" is not a database fanmill knows; did you mean "postgres"?`},
		{"", "b.csv", branches, `jobs/j.yaml:4:9: connections.file: has no column "driver"; add one, or give "driver" here for all branches, such as "{code}"`},
		{"  driver: postgres\n  password: ${PW_{id}}\n  select: state=KA\n", "b.csv", branches,
			"jobs/b.csv:4:1: connections[0].password: ${PW_conn_2} is not set; set PW_conn_2 in the environment or in the .env file beside the job"},
		{"  driver: postgres\n  database: \"{region}{stat}\"\n", "b.csv", branches, "jobs/j.yaml:6:13: connections.database: {stat} is not a column of the inventory; did you mean {State}?"},
		{"  driver: sqlserver\n  database: 's{port}.local'\n  select: id=conn_1\n", "b.csv", branches, "jobs/b.csv:2:1: connections[0].database: {port} is empty in this line"},
		{"  driver: postgres\n", "b.csv", "id,server,port\na,h,x\n", "jobs/b.csv:2:5: connections[0].port: must be a whole number from 1 to 65535"},
		{"  driver: postgres\n", "b.csv", "id,server\na,h\nA,h\n", `jobs/b.csv:3:1: connections[1].id: "A" is the id of connections[0] as well`},
		{"  driver: postgres\n", "b.csv", "id,server\na,h\nb,h,x\n", "jobs/b.csv:3:1: has 3 cells, the header has 2"},
		{"  driver: postgres\n", "b.csv", "id,server,ID\na,h,b\n", `jobs/b.csv:1:11: there are two columns "ID"; rename one`},
		{"  driver: postgres\n", "b.csv", "id,server\na,\"h\n", "jobs/b.csv:"},
		{"  driver: postgres\n", "b.csv", "id,server\n", "jobs/b.csv:1:1: has no branches"},
		{"  driver: postgres\n", "b.csv", "", "jobs/b.csv:1:1: is empty; it needs a header line"},
		{"  driver: postgres\n", "b.csv", "id,server\nD\xe9lhi,h\n", "jobs/b.csv:2:2: this is not UTF-8, but perhaps Windows-1252, where the byte 0xE9 is é; save the file with the encoding UTF-8"},
		{"  driver: postgres\n", "b.csv", "id,servr\na,h\n", `connections.file: its column "servr" is a label; did you mean "server"?`},
		{"  driver: postgres\n", "b.yaml", "a: b\n", "jobs/b.yaml:1:1: must be a list of branches"},
		{"  driver: postgres\n", "b.yaml", "- {id: a, server: {x: y}}\n", "jobs/b.yaml:1:19: connections[0].server: must be a text, not an object"},
		{"  driver: postgres\n", "b.yaml", "- {id: a, server: h, zone: {x: y}}\n", "jobs/b.yaml:1:28: zone must be a text or a number, not an object"},
		{"  driver: postgres\n", "b.yaml", "- {id: a, server: h, options: {sslmode: [x]}}\n", "jobs/b.yaml:1:41: connections[0].options.sslmode: must be a text"},
		{"  driver: postgres\n", "b.yaml", "- {id: a\n", "jobs/b.yaml:"},
		{"  driver: postgres\n  overrides: {conn_11: {port: 1}}\n", "b.csv", branches, `jobs/j.yaml:6:24: connections.overrides.conn_11: no branch has this id; did you mean "conn_1"?`},
		{"  driver: postgres\n  overrides: {conn_1: {prot: 1, id: x}}\n", "b.csv", branches, "connections.overrides.conn_1.id: an override cannot change the id"},
		{"  driver: postgres\n  overrides: {conn_1: {dtabase: d}}\n", "b.csv", branches, `jobs/j.yaml:6:24: connections[0].dtabase: is not a key fanmill knows here; did you mean "database"?`},
		{"  driver: postgres\n  dsn: x\n  overrides: {conn_1: {port: 1}}\n", "b.csv", branches, `connections[0].port: there is a "dsn" as well`},
		{"  driver: postgres\n  dsn: '{server'\n", "b.csv", branches, "jobs/j.yaml:6:8: connections.dsn: { has no closing }"},
		{"  driver: postgres\n  selct: region=north\n", "b.csv", branches, `connections.selct: is not a key fanmill knows here; did you mean "select"?`},
	}
	for _, c := range cases {
		_, err := inventoryJob(t, c.connections, c.name, c.list, nil)
		if err == nil || !strings.Contains(filepath.ToSlash(err.Error()), c.want) {
			t.Errorf("%s%q:\n got %v\nwant %s", c.connections, c.list, err, c.want)
		}
	}
	_, err := config.Parse("j.yaml", []byte("query: q\ndestinations: [{type: csv, filePath: a.csv}]\nconnections: {file: none/b.csv, driver: sqlite}\n"), options(nil))
	if err == nil || !strings.Contains(filepath.ToSlash(err.Error()), "j.yaml:3:21: connections.file: the inventory none/b.csv cannot be read") {
		t.Errorf("a missing file: %v", err)
	}
}

// Whoever waits for a job file to become usable knows which files to look at, the inventory that is missing among them.
func TestInputsOfAFileThatCannotBeUsed(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "j.yaml", "query: q\ndestinations: [{type: csv, filePath: a.csv}]\nconnections: {file: none.csv, driver: sqlite}\n")
	_, err := config.Load("j.yaml", options(nil))
	var problems config.Problems
	if got, want := config.Inputs(err), []string{"j.yaml", ".env", "none.csv"}; !errors.As(err, &problems) || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v: %v", got, want, err)
	}
	_, err = config.Load("none.yaml", options(nil))
	if err == nil || config.Inputs(err) != nil {
		t.Errorf("a file that is not there: %v", err)
	}
}

// What is wrong with all of a thousand branches is not said a thousand times.
func TestInventoryProblemsAreShort(t *testing.T) {
	var list strings.Builder
	list.WriteString("id,server,port\n")
	for i := range 1000 {
		fmt.Fprintf(&list, "c%d,h,none\n", i)
	}
	_, err := inventoryJob(t, "  driver: postgres\n", "b.csv", list.String(), nil)
	if lines := strings.Split(fmt.Sprint(err), "\n"); len(lines) != 3 || !strings.HasSuffix(lines[2], "must be a whole number from 1 to 65535 (and the same in 997 more lines)") {
		t.Errorf("got %v", err)
	}
	_, err = inventoryJob(t, "  driver: postgre\n  options: [1]\n", "b.csv", branches, nil)
	if lines := strings.Split(fmt.Sprint(err), "\n"); len(lines) != 2 {
		t.Errorf("what all share is said more than once: %v", err)
	}
}

// Passwords are kept from labels by where the templates have them, whatever the column is called.
func TestSecretsAreNoLabels(t *testing.T) {
	for _, shared := range []string{
		"  dsn: 'postgres://u:{word}@{host}/d'", "  dsn: 'server={host};user id=u;Password={word};'", "  dsn: 'u:{word}@tcp({host}:3306)/d'",
		"  server: '{host}'\n  password: '{word}'", "  server: '{host}'\n  options: {sslpassword: '{word}'}", "  dsn: 'postgres://{host}/d?user=u&password={word}'",
		"  server: '{host}'\n  password: 'A-{word}!'",
	} {
		f, err := inventoryJob(t, "  driver: postgres\n"+shared+"\n", "b.csv", "id,host,word,region,db_pwd\na,h,hunter2,north,hunter3\n", nil)
		if err != nil {
			t.Errorf("%s: %v", shared, err)
			continue
		}
		if got, want := f.Job.Connections[0].Labels, map[string]string{"host": "h", "region": "north"}; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: labels %v, want %v", shared, got, want)
		}
	}
}

// An inventory of a thousand branches loads as quickly as a list.
func BenchmarkLoadInventory(b *testing.B) {
	dir := b.TempDir()
	var list strings.Builder
	list.WriteString("id,name,server,region\n")
	for i := range 1000 {
		fmt.Fprintf(&list, "c%d,Branch %d,10.0.0.%d,north\n", i, i, i)
	}
	if err := os.WriteFile(filepath.Join(dir, "b.csv"), []byte(list.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	job := filepath.Join(dir, "j.yaml")
	text := "query: q\ndestinations: [{type: csv, filePath: a.csv}]\nconnections: {file: b.csv, driver: postgres, database: sale, user: u, password: \"${PW}\"}\n"
	if err := os.WriteFile(job, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	o := options(map[string]string{"PW": "x"})
	for b.Loop() {
		f, err := config.Load(job, o)
		if err != nil || len(f.Job.Connections) != 1000 {
			b.Fatal(err)
		}
	}
}
