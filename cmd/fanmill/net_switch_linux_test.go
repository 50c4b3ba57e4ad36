//go:build netsplit

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// netSwitch is a switch with hosts at its ports. Each host is a network namespace of the kernel, with a name of its
// own, and the test's process is at a port, too. The switch stands in the test's process: so it can be told between
// which hosts packets are lost, and how long they take. A kernel need not have netem for that.
type netSwitch struct {
	t *testing.T

	mu    sync.Mutex
	ports []*port
	lost  map[[2]string]bool // from, to
	delay time.Duration      // of a packet between two hosts; to and from the test's process there is none
}

// port is a host's cable: a TAP device, whose other end is the only network device of the host.
type port struct {
	host   string // "" is the test's process
	number int
	tap    *os.File
	sent   chan packet // to other hosts
	prompt chan packet // to and from the test's process
}

type packet struct {
	frame []byte
	due   time.Time
}

// cable is how many packets are under way at most from a host.
const cable = 4096

// subnet is of those that are for measurements alone [RFC 2544], so no host that the machine knows is in it.
const subnet = "198.18.7."

func (p *port) address() string { return fmt.Sprintf("%s%d", subnet, p.number) }
func (p *port) mac() string     { return fmt.Sprintf("02:00:00:00:07:%02x", p.number) }

// space is the namespace of a host.
func space(host string) string { return fmt.Sprintf("fanmill-%d-%s", os.Getpid(), host) }

// newNetSwitch makes a switch that has the test's process in it.
func newNetSwitch(t *testing.T) *netSwitch {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil || os.Getuid() != 0 {
		t.Fatal("this test makes network namespaces: it needs root and the program ip (package iproute2), as in `sudo task netsplit`")
	}
	n := &netSwitch{t: t, lost: map[[2]string]bool{}}
	n.join("")
	return n
}

// join plugs a host in, and returns its address.
func (n *netSwitch) join(host string) string {
	n.t.Helper()
	p := &port{host: host, number: len(n.ports) + 1, sent: make(chan packet, cable), prompt: make(chan packet, cable)}
	device := fmt.Sprintf("fm%d-%d", os.Getpid()%100_000, p.number)
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		n.t.Fatalf("open /dev/net/tun: %v", err)
	}
	request, err := unix.NewIfreq(device)
	if err == nil {
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		n.t.Fatalf("make device %s: %v", device, err)
	}
	p.tap = os.NewFile(uintptr(fd), device)
	n.t.Cleanup(func() { _ = p.tap.Close() })
	at := []string{}
	if host != "" {
		at = []string{"-n", space(host)}
		n.ip("netns", "add", space(host))
		n.t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", space(host)).Run() })
		n.ip("link", "set", device, "netns", space(host))
		n.ip(slices.Concat(at, []string{"link", "set", "lo", "up"})...)
	}
	n.ip(slices.Concat(at, []string{"link", "set", device, "address", p.mac()})...)
	n.ip(slices.Concat(at, []string{"addr", "add", p.address() + "/24", "dev", device})...)
	n.ip(slices.Concat(at, []string{"link", "set", device, "up"})...)
	n.mu.Lock()
	n.ports = append(n.ports, p)
	n.mu.Unlock()
	go n.take(p)
	go n.forward(p, p.sent)
	go n.forward(p, p.prompt)
	return p.address()
}

func (n *netSwitch) ip(args ...string) {
	n.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		n.t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// take reads what a host sends until its device is gone. More than a cable holds is lost, as on a real one.
func (n *netSwitch) take(p *port) {
	defer close(p.sent)
	defer close(p.prompt)
	buf := make([]byte, 64<<10)
	for {
		size, err := p.tap.Read(buf)
		if err != nil {
			if !errors.Is(err, os.ErrClosed) && !errors.Is(err, unix.EBADFD) { // its host is gone
				n.t.Errorf("the network of %q ended: %v", p.host, err)
			}
			return
		}
		n.mu.Lock()
		sent := packet{slices.Clone(buf[:size]), time.Now().Add(n.delay)}
		n.mu.Unlock()
		for _, queue := range []chan packet{p.sent, p.prompt} {
			select {
			case queue <- sent:
			default:
			}
		}
	}
}

// forward passes on what a host has sent, by one of its queues.
func (n *netSwitch) forward(p *port, queue chan packet) {
	for sent := range queue {
		for _, to := range n.receivers(p, sent, queue == p.prompt) {
			if queue == p.sent {
				<-time.After(time.Until(sent.due))
			}
			if !n.loses(p, to) {
				_, _ = to.tap.Write(sent.frame)
			}
		}
	}
}

// receivers are the ports that a packet is for, of those that get it promptly or of the others.
func (n *netSwitch) receivers(from *port, sent packet, prompt bool) (all []*port) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, to := range n.ports {
		forAll, forIt := sent.frame[0]&1 == 1, sent.frame[5] == byte(to.number)
		if to != from && (forAll || forIt) && prompt == (from.host == "" || to.host == "") {
			all = append(all, to)
		}
	}
	return all
}

func (n *netSwitch) loses(from, to *port) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lost[[2]string{from.host, to.host}]
}

// slow has every packet between two hosts take that long.
func (n *netSwitch) slow(delay time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay = delay
}

// lose has all packets of some hosts to others be lost. The test's process is host "".
func (n *netSwitch) lose(from, to []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range from {
		for _, b := range to {
			n.lost[[2]string{a, b}] = a != b
		}
	}
}

// cut has nothing pass between some hosts and others.
func (n *netSwitch) cut(some, others []string) {
	n.lose(some, others)
	n.lose(others, some)
}

// others are all hosts but some, with the test's process.
func (n *netSwitch) others(than ...string) (all []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.ports {
		if !slices.Contains(than, p.host) {
			all = append(all, p.host)
		}
	}
	return all
}

// heal ends all losses.
func (n *netSwitch) heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.lost)
}

// move has a command run on a host, as which it knows itself. It ends with the test's process.
func (n *netSwitch) move(host string, cmd *exec.Cmd) {
	program := append([]string{cmd.Path}, cmd.Args[1:]...)
	cmd.Path, _ = exec.LookPath("ip")
	cmd.Args = append([]string{"ip", "netns", "exec", space(host), "unshare", "--uts", "sh", "-c",
		`echo "$0" >/proc/sys/kernel/hostname && exec "$@"`, host}, program...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
