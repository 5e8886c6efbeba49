package netlab

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Supported tries on this machine, in a lab of its own, what a lab needs, and says in one line what is missing.
func Supported() error {
	if err := privileged(); err != nil {
		return err
	}
	return probe()
}

// privileged checks the capabilities of this thread.
func privileged() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("read this process's capabilities: %w", err)
	}
	for _, need := range []struct {
		bit  int
		name string
	}{{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN"}, {unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN"}, {unix.CAP_NET_RAW, "CAP_NET_RAW"}} {
		if data[need.bit/32].Effective&(1<<(need.bit%32)) == 0 {
			return fmt.Errorf("a lab of network namespaces needs %s: run as root", need.name)
		}
	}
	return nil
}

// probe builds the smallest switch in a namespace without a name, which ends with the call, or with this process.
func probe() error {
	spec := &Spec{Name: "probe", Hosts: []HostSpec{{Name: "a", Queues: 1}, {Name: "b", Queues: 1}}, MTU: DefaultMTU}
	hosts := spec.hosts()
	if err := prepareNamespaceDir(); err != nil {
		return fmt.Errorf("no named network namespaces here: %w", err)
	}
	return onNewNamespace(func() error {
		for slot := range hosts {
			pair := veth{near: endName(slot), far: fmt.Sprintf("p%d", slot), mtu: spec.MTU, queues: 1}
			if err := pair.add(); err != nil {
				return fmt.Errorf("no veth pairs here (CONFIG_VETH): %w", err)
			}
		}
		t, err := buildSwitch(spec, hosts)
		if err != nil {
			return fmt.Errorf("this kernel cannot run the lab's switch (BPF, native XDP on veth, cls_bpf; Linux 5.18 or later): %w", err)
		}
		t.close()
		for slot := range hosts {
			if err := removeLink(endName(slot)); err != nil {
				return err
			}
		}
		return nil
	})
}
