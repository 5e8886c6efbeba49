package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"wirepaxos/paxos/cluster"
)

// ward is a host of a lab whose ills the doctor is to tell, and whose cures are run as they stand on the page.
type ward struct {
	*bed
	host string
	path string // of programs: `wirepaxos` is the one under test
}

func newWard(t *testing.T, c planConfig, host int) *ward {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skipf("needs ip, to make faults and mend them: %v", err)
	}
	b := newBed(t, c)
	tools := shortDir(t)
	if err := os.Symlink(b.self, filepath.Join(tools, "wirepaxos")); err != nil {
		t.Fatal(err)
	}
	return &ward{bed: b, host: b.plan.hosts[host].Name, path: tools + ":" + os.Getenv("PATH")}
}

// of is the ward for a part of the test.
func (w *ward) of(t *testing.T) *ward {
	b := *w.bed
	b.t = t
	return &ward{bed: &b, host: w.host, path: w.path}
}

// do runs a line of shell on the host and gives what it printed.
func (w *ward) do(line string) string {
	w.t.Helper()
	out, err := w.lab.Output(w.t.Context(), w.host, "env", "PATH="+w.path, "sh", "-c", line)
	if err != nil {
		w.t.Fatalf("%s: %v %s", line, err, out)
	}
	return string(out)
}

// page is what "doctor --json" says there, by default about the nodes of the cluster file.
func (w *ward) page(args ...string) (p doctorPage) {
	w.t.Helper()
	if len(args) == 0 {
		args = []string{"--config", w.config()}
	}
	out, err := w.lab.Output(w.t.Context(), w.host, w.self, append([]string{"doctor", "--json"}, args...)...)
	if json.Unmarshal(out, &p) != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
	return p
}

// find is the worst line about something.
func (p *doctorPage) find(what string) (grade, text, mend string) {
	for _, l := range p.Lines {
		if l.What == what && (grade == "" || grade == "green" || l.Grade == "red") {
			grade, text, mend = l.Grade, l.Text, l.Mend
		}
	}
	return grade, text, mend
}

// ill is a fault that is made, seen, and mended.
type ill struct {
	name  string
	make  string   // by this command
	args  []string // of the doctor; none: the cluster file
	what  string
	grade string
	text  string
	mend  string // what the line must have, and what is run to mend it
	after string // run when it is mended
}

// Each fault that a lab can have is made in one; its line turns red, or yellow, and the command of the line turns it green.
var ills = []ill{
	{name: "interface down", make: "ip link set dev wp0 down", what: "wp0 link", grade: "red", text: "down", mend: "ip link set dev wp0 up"},
	{name: "no other end", make: "ip link add v0 type veth peer name v1 && ip link set v0 up", args: []string{"--interface", "v0"}, what: "v0 link", grade: "red",
		text: "hears nobody", mend: "ip link set v1 up", after: "ip link del v0"},
	{name: "small MTU", make: "ip link set dev wp0 mtu 200", what: "wp0 MTU", grade: "red", text: "200", mend: "ip link set dev wp0 mtu MTU", after: "ip link set dev wp0 mtu 1500"},
	{name: "large MTU", make: "ip link add v0 mtu 9000 type veth peer name v1 && ip link set v0 up && ip link set v1 up", args: []string{"--interface", "v0"},
		what: "v0 MTU", grade: "yellow", text: "9000", mend: "ip link set dev v0 mtu 1500", after: "ip link del v0"},
	{name: "another MAC", make: "ip link set dev wp0 address 02:00:00:00:00:99", what: "wp0 MAC", grade: "red", text: "02:00:00:00:00:99", mend: "ip link set dev wp0 address MAC"},
	{name: "one queue", make: "wirepaxos nic tune wp0 --queues 1", what: "wp0 queue", grade: "red", text: "queue 1", mend: "wirepaxos nic tune wp0 --queues 2",
		after: "wirepaxos nic restore wp0"},
	{name: "no interface", make: "ip link set dev wp0 down && ip link set dev wp0 name gone0", what: "wp0", grade: "red", text: "no such interface",
		mend: "", after: "ip link set dev gone0 name wp0 && ip link set dev wp0 up"},
	{name: "no XDP in the driver", make: "{ ip link add d0 type dummy || ip link add d0 type ifb; } && ip link set d0 up", args: []string{"--interface", "d0"}, what: "d0 mode", grade: "yellow",
		text: "no native XDP", mend: "", after: "ip link del d0"},
}

func TestDoctorsOrders(t *testing.T) {
	w := newWard(t, planConfig{transport: cluster.TransportAFXDP, layout: layoutSharedNIC, proposers: 3}, 2) // a host with two queues, each a proposer's
	if p := w.page(); p.Red > 0 {
		t.Fatalf("nothing is wrong yet: %+v", p.Lines)
	}
	h, err := w.lab.Host(w.host)
	if err != nil {
		t.Fatal(err)
	}
	mac := h.MAC.String()
	for _, c := range ills {
		t.Run(c.name, func(t *testing.T) {
			w := w.of(t)
			w.do(c.make)
			p := w.page(c.args...)
			grade, text, mend := p.find(c.what)
			want := strings.NewReplacer("MAC", mac, "MTU", "").Replace(c.mend)
			if grade != c.grade || !strings.Contains(text, c.text) || mend == "" {
				t.Errorf("%s is %s: %s: %s", c.what, grade, text, mend)
			}
			if want != "" {
				cure := cureIn(mend)
				if !strings.HasPrefix(cure, "ip ") && !strings.HasPrefix(cure, "wirepaxos ") {
					cure = c.mend // a step by hand
				}
				if !strings.Contains(cure, want) {
					t.Errorf("mended by %q, want %q", cure, want)
				}
				w.do(cure)
				p := w.page(c.args...)
				if grade, text, _ := p.find(c.what); grade != "green" {
					t.Errorf("after %q: %s is %s: %s", cure, c.what, grade, text)
				}
			}
			if c.after != "" {
				w.do(c.after)
			}
		})
	}
	if p := w.page(); p.Red > 0 {
		t.Errorf("all is mended: %+v", p.Lines)
	}
}

// cureIn is the command in what mends a line, without the words around it.
func cureIn(mend string) string {
	if _, last, ok := strings.Cut(mend, ": "); ok {
		mend = last
	}
	first, _, _ := strings.Cut(mend, ", or ")
	return first
}

// A queue that a role has is taken, by that process, and free when it has ended.
func TestDoctorSeesTakenQueue(t *testing.T) {
	w := newWard(t, planConfig{transport: cluster.TransportAFXDP}, 0)
	node := w.plan.procs[0].nodes[0]
	w.start(node)
	p := w.page()
	grade, text, _ := p.find("wp0 queue")
	if grade != "red" || !strings.Contains(text, "0 is taken") || !strings.Contains(text, fmt.Sprintf("(pid %d)", w.nodes[node].lab.PID)) {
		t.Errorf("%s: %s", grade, text)
	}
	w.kill(node)
	p = w.page()
	if grade, text, _ := p.find("wp0 queue"); grade != "green" {
		t.Errorf("the role is dead: %s: %s", grade, text)
	}
}

// A stranger's program is named, and the command takes it away, in whichever mode it runs.
func TestDoctorSeesStrangersProgram(t *testing.T) {
	w := newWard(t, planConfig{transport: cluster.TransportAFXDP}, 0)
	w.seesStranger(unix.XDP_FLAGS_SKB_MODE, "yellow")
	w.seesStranger(unix.XDP_FLAGS_DRV_MODE, "yellow") // for veth has no zero-copy
	w.do("wirepaxos nic attach wp0 && wirepaxos nic detach wp0")
}

func (w *ward) seesStranger(flags int, mode string) {
	w.t.Helper()
	if err := w.lab.Do(w.host, func() error {
		p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
			Name: "stranger", Type: ebpf.XDP, License: "Apache-2.0", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()},
		})
		if err != nil {
			return err
		}
		defer p.Close()
		l, err := netlink.LinkByName("wp0")
		if err != nil {
			return err
		}
		return netlink.LinkSetXdpFdWithFlags(l, p.FD(), flags) // without a bpf_link it outlives whoever attached it
	}); err != nil {
		w.t.Fatal(err)
	}
	p := w.page()
	grade, text, mend := p.find("wp0 program")
	if is, _, _ := p.find("wp0 mode"); grade != "red" || !strings.Contains(text, `"stranger"`) || is != mode {
		w.t.Errorf("%s: %s; mode is %s", grade, text, is)
	}
	if refusal := w.do("wirepaxos nic attach wp0 2>&1 || true"); !strings.Contains(refusal, `"stranger"`) || !strings.Contains(refusal, "--replace") {
		w.t.Errorf("attach: %s", refusal)
	}
	w.do(cureIn(mend))
	p = w.page()
	if grade, text, _ := p.find("wp0 program"); grade != "green" {
		w.t.Errorf("after %s: %s: %s", cureIn(mend), grade, text)
	}
}

// rewrite makes another cluster file of a ward's.
func (w *ward) rewrite(old, new string) string {
	w.t.Helper()
	text, err := os.ReadFile(w.config())
	if err != nil {
		w.t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(old)) {
		w.t.Fatalf("no %q in\n%s", old, text)
	}
	return file(w.t, "cluster.toml", strings.ReplaceAll(string(text), old, new))
}

// What a cluster file asks for in vain: zero-copy of a driver that has none, tags that the NIC takes off, cores that this process may not use, that two loops
// share, or that leave none to anything else.
func TestDoctorReadsTheFile(t *testing.T) {
	w := newWard(t, planConfig{transport: cluster.TransportAFXDP, layout: layoutSharedNIC, proposers: 3}, 2)
	const first, second = 5, 6 // the nodes of that host
	expect := func(config, what, grade, text string, args ...string) (mend string) {
		t.Helper()
		p := w.page(append([]string{"--config", config}, args...)...)
		g, is, mend := p.find(what)
		if g != grade || !strings.Contains(is, text) {
			t.Errorf("%s is %s: %s, want %s with %q", what, g, is, grade, text)
		}
		return mend
	}
	if mend := expect(w.rewrite(`mode        = "auto"`, `mode        = "zerocopy"`), "wp0 mode", "red", "veth has no zero-copy"); !strings.Contains(mend, `mode = "copy"`) {
		t.Error(mend)
	}
	expect(w.rewrite(`mode        = "auto"`, `mode        = "copy"`), "wp0 mode", "green", "as asked for")
	expect(w.config(), "wp0 mode", "green", "as asked for", "--mode", "copy")
	expect(w.config(), "wp0 mode", "red", "veth has no zero-copy", "--mode", "zerocopy")
	expect(w.config(), "wp0 busy polling", "yellow", "", "--busy-poll", "prefer")

	tagged := w.rewrite("vlan        = 0", "vlan        = 7")
	w.do(cureIn(expect(tagged, "wp0 offloads", "red", "tagged 7")))
	expect(tagged, "wp0 offloads", "green", "none")
	w.do("wirepaxos nic restore wp0")

	polling := w.rewrite(`busy_poll   = "off"`, `busy_poll   = "prefer"`)
	w.do(cureIn(expect(polling, "wp0 busy polling", "yellow", "napi_defer_hard_irqs 0")))
	expect(polling, "wp0 busy polling", "green", "interrupts are deferred")
	w.do("wirepaxos nic restore wp0")
	expect(polling, "wp0 busy polling", "yellow", "gro_flush_timeout 0")

	if free, _ := os.ReadFile("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"); strings.TrimSpace(string(free)) == "0" {
		expect(w.rewrite(`hugepages   = "auto"`, `hugepages   = "on"`), "hugepages", "red", "the UMEM takes")
	}

	cored := func(node, core int) (config string) {
		line := fmt.Sprintf("[[node]]\nid        = %d\n", node)
		return w.rewrite(line, line+fmt.Sprintf("core = %d\n", core))
	}
	expect(cored(first, 1023), "core 1023", "red", "may not run there")
	expect(cored(first, 0), "core 0 isolation", worstOf(t, 0), "")
	text, err := os.ReadFile(cored(first, 0))
	if err != nil {
		t.Fatal(err)
	}
	line := fmt.Sprintf("[[node]]\nid        = %d\n", second)
	both := func(core int) string {
		return file(t, "cluster.toml", strings.ReplaceAll(string(text), line, line+fmt.Sprintf("core = %d\n", core)))
	}
	expect(both(0), "core 0", "yellow", "share it")
	if runtime.NumCPU() == 2 {
		expect(both(1), "other cores", "yellow", "run on the cores of loops")
		expect(both(1), "other cores", "red", "lock the machine out", "--fifo")
	}
}

// worstOf is yellow on machines that isolate no such core, as most do.
func worstOf(t *testing.T, core int) string {
	t.Helper()
	text, _ := os.ReadFile("/sys/devices/system/cpu/isolated")
	if strings.TrimSpace(string(text)) != "" {
		t.Skipf("core %d may be isolated here: %s", core, text)
	}
	return "yellow"
}

// A user without privileges is told what is missing, and the command makes it green: it gives the program the capabilities.
func TestDoctorAsAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	if _, err := exec.LookPath("setcap"); err != nil {
		t.Skipf("needs setcap: %v", err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := shortDir(t)
	program := filepath.Join(dir, "wirepaxos")
	text, err := os.ReadFile(self)
	if err == nil {
		err = os.WriteFile(program, text, 0o755)
	}
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	look := func() (p doctorPage) {
		t.Helper()
		cmd := exec.Command(program, "doctor", "--json", "--fifo", "--dma-latency")
		const nobody = 65534
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		out, err := cmd.Output()
		if json.Unmarshal(out, &p) != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return p
	}
	p := look()
	missing := []string{"CAP_NET_RAW", "CAP_NET_ADMIN", "CAP_BPF", "CAP_SYS_NICE", "AF_XDP socket", "XDP program"}
	cure := ""
	for _, what := range missing {
		grade, text, mend := p.find(what)
		if grade != "red" {
			t.Errorf("%s is %s: %s", what, grade, text)
		}
		if strings.HasPrefix(what, "CAP_") {
			cure = cureIn(mend)
		}
	}
	if !strings.Contains(cure, program) {
		t.Fatalf("mended by %q", cure)
	}
	if out, err := exec.Command("sh", "-c", cure).CombinedOutput(); err != nil {
		t.Skipf("capabilities of files do not work here: %v %s", err, out)
	}
	p = look()
	for _, what := range missing {
		if grade, text, _ := p.find(what); grade == "red" {
			t.Errorf("after %s: %s is %s: %s", cure, what, grade, text)
		}
	}
	if grade, text, _ := p.find("cpu_dma_latency"); grade != "red" {
		t.Errorf("cpu_dma_latency is root's: %s: %s", grade, text)
	}
}
