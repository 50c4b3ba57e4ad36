package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	natsserver "github.com/nats-io/nats-server/v2/server"
)

// composed is docker-compose.yml as far as the test looks at it.
type composed struct {
	Services map[string]struct {
		Build       struct{ Dockerfile string }
		Command     []string
		Environment map[string]string
		Volumes     []string
		DependsOn   map[string]any `yaml:"depends_on"`
		Healthcheck struct{ Test []string }
	}
	Volumes map[string]any
}

// What is there to deploy fanmill fits the program: the services of docker-compose.yml take its command lines, mount
// files and volumes that there are, and its job and NATS nodes are valid.
func TestDeployment(t *testing.T) {
	root := filepath.Join("..", "..")
	data, err := os.ReadFile(filepath.Join(root, "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var c composed
	// A key that stands beside a merge counts instead of the merged one.
	if err := yaml.UnmarshalWithOptions(data, &c, yaml.AllowDuplicateMapKey()); err != nil {
		t.Fatal(err)
	}
	taken := func(where string, args []string) {
		t.Helper()
		command, rest, err := newRoot(io.Discard, io.Discard).Find(args)
		if err == nil && command.Parent() == nil {
			t.Errorf("%s: there is no command %q", where, args)
			return
		}
		if err == nil {
			err = command.ParseFlags(rest)
		}
		if err == nil {
			err = command.Args(command, command.Flags().Args())
		}
		if err != nil {
			t.Errorf("%s: fanmill %s: %v", where, strings.Join(args, " "), err)
		}
	}
	there := func(where, path string) {
		t.Helper()
		if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(path))); err != nil {
			t.Errorf("%s: %v", where, err)
		}
	}
	roles := map[string]bool{}
	for name, s := range c.Services {
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if strings.HasPrefix(from, "./") {
				there(name, from)
			} else if _, ok := c.Volumes[from]; !ok {
				t.Errorf("%s mounts the volume %s, which there is none of", name, from)
			}
		}
		for other := range s.DependsOn {
			if _, ok := c.Services[other]; !ok {
				t.Errorf("%s depends on %s, which there is none of", name, other)
			}
		}
		if s.Build.Dockerfile == "" {
			continue
		}
		there(name, s.Build.Dockerfile)
		taken(name, s.Command)
		if len(s.Healthcheck.Test) < 3 || s.Healthcheck.Test[1] != "/fanmill" {
			t.Errorf("%s looks after its health by %q", name, s.Healthcheck.Test)
		} else {
			taken(name, s.Healthcheck.Test[2:])
		}
		for other := range strings.SplitSeq(s.Environment["NATS_URL"], ",") {
			host := strings.TrimSuffix(strings.TrimPrefix(other, "nats://"), ":4222")
			if _, ok := c.Services[host]; !ok {
				t.Errorf("%s connects to %s, which there is none of", name, other)
			}
		}
		if i := slices.Index(s.Command, "--roles"); i >= 0 {
			roles[s.Command[i+1]] = true
		}
	}
	if len(roles) != 3 {
		t.Errorf("the services have the roles %v", roles)
	}

	for _, v := range []string{"BRANCH_PASSWORD", "SQLSERVER_PASSWORD"} {
		if c.Services["query"].Environment[v] == "" {
			t.Errorf("the processes that ask lack %s", v)
		}
		t.Setenv(v, "of-a-branch")
	}
	if code, out, problems := call("validate", filepath.Join(root, "examples", "deploy", "jobs", "fleet.yaml")); code != 0 {
		t.Errorf("the job of the fleet: exit code %d\n%s%s", code, out, problems)
	}
	t.Setenv("NODE", "nats-1")
	t.Setenv("NATS_PASSWORD", "of-NATS")
	o, err := natsserver.ProcessConfigFile(filepath.Join(root, "examples", "deploy", "nats-node.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if !o.JetStream || o.Cluster.Name == "" || len(o.Routes) != 3 || o.MaxPayload != 8<<20 || o.ServerName != "nats-1" {
		t.Errorf("a NATS node is configured as %+v", o)
	}

	unit, err := os.ReadFile(filepath.Join(root, "examples", "deploy", "fanmill@.service"))
	if err != nil {
		t.Fatal(err)
	}
	start := regexp.MustCompile(`(?m)^ExecStart=\S+/fanmill (.*) \$FANMILL_ARGS$`).FindSubmatch(unit)
	if start == nil {
		t.Fatalf("the unit starts no fanmill:\n%s", unit)
	}
	for _, role := range []string{"coordinator", "query", "sink"} {
		taken("the unit", strings.Fields(strings.ReplaceAll(string(start[1]), "%i", role)))
	}
}
