package process_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"

	"fanmill/nats"
	"fanmill/pipeline"
)

// rawNATS speaks to a server as any program may.
type rawNATS struct {
	t     *testing.T
	conn  net.Conn
	lines *bufio.Reader
	asked int
}

func dialNATS(t *testing.T, url string) *rawNATS {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	r := &rawNATS{t: t, conn: c, lines: bufio.NewReader(c)}
	r.send("CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\nSUB answers.* 1\r\n")
	return r
}

func (r *rawNATS) send(text string) {
	r.t.Helper()
	if _, err := r.conn.Write([]byte(text)); err != nil {
		r.t.Fatal(err)
	}
}

// ask publishes a message, with headers given as lines, and returns the body of its answer.
func (r *rawNATS) ask(subject, headers, body string) string {
	r.t.Helper()
	r.asked++
	reply := fmt.Sprintf("answers.%d", r.asked)
	if headers == "" {
		r.send(fmt.Sprintf("PUB %s %s %d\r\n%s\r\n", subject, reply, len(body), body))
	} else {
		head := "NATS/1.0\r\n" + headers + "\r\n"
		r.send(fmt.Sprintf("HPUB %s %s %d %d\r\n%s%s\r\n", subject, reply, len(head), len(head)+len(body), head, body))
	}
	for {
		line, err := r.lines.ReadString('\n')
		if err != nil {
			r.t.Fatal(err)
		}
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0:
		case fields[0] == "PING":
			r.send("PONG\r\n")
		case fields[0] == "MSG", fields[0] == "HMSG":
			n, err := strconv.Atoi(fields[len(fields)-1])
			if err != nil {
				r.t.Fatal(err)
			}
			text := make([]byte, n)
			if _, err := io.ReadFull(r.lines, text); err != nil {
				r.t.Fatal(err)
			}
			if fields[1] == reply {
				return string(text)
			}
		}
	}
}

func (r *rawNATS) api(what, body string) {
	r.t.Helper()
	if answer := r.ask("$JS.API."+what, "", body); strings.Contains(answer, "\"error\"") {
		r.t.Fatalf("%s: %s", what, answer)
	}
}

func (r *rawNATS) deleteConsumers(stream string) {
	r.t.Helper()
	var list struct{ Consumers []string }
	if err := json.Unmarshal([]byte(r.ask("$JS.API.CONSUMER.NAMES."+stream, "", "")), &list); err != nil {
		r.t.Fatal(err)
	}
	for _, name := range list.Consumers {
		r.ask("$JS.API.CONSUMER.DELETE."+stream+"."+name, "", "")
	}
}

// A hostile hand on the streams, while the run goes on: what can be made anew is, and no row is lost or doubled.
func TestDamageOfStreams(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, 1)
	w := newWorldAt(t, 4*mb, nats.Options{Access: nats.Access{URL: nats.Given{Value: cluster.url()}}})
	w.node.Owner.LeaseMS = 300
	d := &damaged{world: w}
	raw := dialNATS(t, cluster.url())
	rows := func(run string) string { return "FANMILL_ROWS_" + run + "_1" }
	cases := map[string]func(run string){
		"a message without headers": func(run string) {
			for _, c := range []string{"a", "b", "stranger", "b.deeper", "=ZZ"} {
				raw.ask("fanmill.rows."+run+"."+c, "", "junk")
			}
		},
		"headers of another run": func(run string) {
			raw.ask("fanmill.rows."+run+".b", "Fanmill-Kind: open\r\nFanmill-Attempt: 7\r\nFanmill-Frame: 0\r\nNats-Msg-Id: other.b/7/0\r\n", "{}")
			raw.ask("fanmill.rows."+run+".b", "Fanmill-Kind: failed\r\nFanmill-Attempt: 7\r\nFanmill-Frame: 0\r\n", "{}")
			raw.ask("fanmill.rows."+run+".b", "Fanmill-Kind: eof\r\nFanmill-Attempt: 1\r\nFanmill-Frame: 99999999999999999999\r\n", "{}")
		},
		"events deleted":                func(string) { raw.api("STREAM.DELETE.FANMILL_EVENTS", "") },
		"dead deleted":                  func(string) { raw.api("STREAM.DELETE.FANMILL_DEAD", "") },
		"triggers deleted":              func(string) { raw.api("STREAM.DELETE.FANMILL_TRIGGERS", "") },
		"commands deleted":              func(string) { raw.api("STREAM.DELETE.FANMILL_WORK", "") },
		"commands purged":               func(string) { raw.api("STREAM.PURGE.FANMILL_WORK", "") },
		"consumers of commands deleted": func(string) { raw.deleteConsumers("FANMILL_WORK") },
		"readers deleted":               func(run string) { raw.deleteConsumers(rows(run)) },
		"foreign commands": func(run string) {
			own := pipeline.OwnPool(w.node.Owner.Token)
			for _, topic := range []string{pipeline.TopicQueryCommand(own, run, "stranger"), pipeline.TopicSinkCommand(own, "memory", run, "stranger")} {
				raw.ask(topic, "", "junk")
				raw.ask(topic, "", `{"connection":"stranger","destination":"stranger"}`)
				raw.ask(topic, "", `{"job":"job","run":"`+run+`","connection":"stranger","destination":"stranger"}`)
			}
		},
	}
	for name, deed := range cases {
		t.Run(name, func(t *testing.T) {
			gate, began := d.next()
			d.connect("c", of(5, 10)) // its turn comes after b's
			d.node.Parallel = 1
			d.world.t, raw.t = t, t
			end := d.start(pipeline.Trigger{})
			run := <-began
			deed(run)
			close(gate)
			if got := <-end; got.err != nil || got.out.State != pipeline.RunComplete {
				t.Fatalf("the run ended with %+v, %v", got.out, got.err)
			}
			d.exact(d.job.Destinations[0].ID, "a", "b", "c")
		})
	}
	t.Run("row log deleted", func(t *testing.T) {
		gate, began := d.next()
		d.world.t, raw.t = t, t
		end := d.start(pipeline.Trigger{})
		raw.api("STREAM.DELETE."+rows(<-began), "")
		if got := <-end; got.err == nil || !strings.Contains(got.err.Error(), "the row log of run") {
			t.Fatalf("the run ended with %+v, %v", got.out, got.err)
		}
		close(gate)
		d.whole(t, pipeline.Trigger{Resume: true})
	})
	// The rows of b are in the log whole, and the run ends before its destination takes them.
	for name, deed := range map[string]func(stream, run string){
		"a hole":            func(stream, _ string) { raw.api("STREAM.MSG.DELETE."+stream, `{"seq":5}`) },
		"purged":            func(stream, _ string) { raw.api("STREAM.PURGE."+stream, "") },
		"purged in part":    func(stream, _ string) { raw.api("STREAM.PURGE."+stream, `{"seq":5}`) },
		"a foreign message": func(_, run string) { raw.ask("fanmill.rows."+run+".b", "", "junk") },
		"deleted":           func(stream, _ string) { raw.api("STREAM.DELETE."+stream, "") },
	} {
		t.Run("row log at rest, "+name, func(t *testing.T) {
			gate, _ := d.next()
			close(gate)
			d.world.t, raw.t = t, t
			delivered, committed := make(chan struct{}), d.watch
			d.watch = func(e pipeline.Event) {
				if committed(e); e.Kind == pipeline.EventDelivered && e.Connection == "b" {
					close(delivered)
				}
			}
			d.disk.failing(func(_, step, connection string) error { // once all of b is in the log
				if step == "append" && connection == "b" {
					<-delivered
					return pipeline.Permanent(errBroken)
				}
				return nil
			})
			out, err := d.run(t.Context(), pipeline.Trigger{})
			if err != nil || out.State == pipeline.RunComplete {
				t.Fatalf("the run ended with %+v, %v", out, err)
			}
			d.disk.failing(nil)
			deed(rows(out.Run), out.Run)
			d.db.askedSince()
			d.whole(t, pipeline.Trigger{Resume: true})
			if asked := d.db.askedSince(); name == "a foreign message" && len(asked) > 0 {
				t.Errorf("asked %v, whose rows are in the log", asked)
			}
		})
	}
}
