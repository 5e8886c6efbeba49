package afxdp

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"wirepaxos/dataplane/header"
)

// programName marks our program on an interface, and names the version of the maps and keys below: processes share a program
// only if they agree on it. Whoever changes a map or a key raises the number.
const programName = "wirepaxos_1"

// Names of the maps. A process that joins finds them through the program.
const (
	mapSockets   = "wp_sockets"   // XSKMAP: queue → socket
	mapQueues    = "wp_queues"    // array: queue → key of what its socket takes; 0: nothing
	mapKeys      = "wp_keys"      // hash: every key that some socket of the interface takes, or took → 1
	mapUnsteered = "wp_unsteered" // per-CPU array with one place: packets with one of those keys on another queue
	maxKeys      = 256
)

// A key is what the program sees in a packet: two bits of kind, 12 of VLAN id, 48 of EtherType, or of IPv4 destination and
// UDP port.
const (
	keyRaw       = 1
	keyUDP4      = 2
	keyKindShift = 60
	keyVLANShift = 48
	keyIPShift   = 16
)

// steeringKey is the key of the packets that the link takes.
func steeringKey(l *header.Link) uint64 {
	vlan := uint64(l.VLAN) << keyVLANShift
	if l.Kind == header.UDP4 {
		ip := l.IP.As4()
		be := uint64(ip[0])<<24 | uint64(ip[1])<<16 | uint64(ip[2])<<8 | uint64(ip[3])
		return keyUDP4<<keyKindShift | vlan | be<<keyIPShift | uint64(l.Port)
	}
	return keyRaw<<keyKindShift | vlan | uint64(l.EtherType)
}

// mapSpecs are the maps for an interface with so many queues.
func mapSpecs(queues int) []*ebpf.MapSpec {
	n := uint32(queues)
	return []*ebpf.MapSpec{
		{Name: mapSockets, Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: n},
		{Name: mapQueues, Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: n},
		{Name: mapKeys, Type: ebpf.Hash, KeySize: 8, ValueSize: 4, MaxEntries: maxKeys},
		{Name: mapUnsteered, Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: 8, MaxEntries: 1},
	}
}

// programSpec is the XDP program: a packet with the key of its queue goes to the queue's socket; one with the key of
// another queue, or of a queue whose socket is gone, is counted and passed to the kernel, like everything else.
func programSpec(sockets, queues, keys, unsteered int) *ebpf.ProgramSpec {
	ins := append(loadKey(), steer(sockets, queues)...)
	ins = append(ins, countUnsteered(keys, unsteered)...)
	return &ebpf.ProgramSpec{Name: programName, Type: ebpf.XDP, Instructions: ins, License: "Apache-2.0"}
}

const (
	xdpPass     = 2
	xdpRedirect = 4

	stackKey   = -8  // 8 bytes
	stackQueue = -12 // 4 bytes
	stackZero  = -16 // 4 bytes
)

// loadKey puts the packet's key on the stack, or passes a packet that can have none. R6 keeps the context.
//
// R7 is the first byte, R8 the end, R9 the byte behind Ethernet header and tag, R3 the EtherType, R5 the VLAN id.
func loadKey() asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R7, asm.R6, 0, asm.Word), // xdp_md.data
		asm.LoadMem(asm.R8, asm.R6, 4, asm.Word), // xdp_md.data_end
		asm.Mov.Reg(asm.R9, asm.R7),
		asm.Add.Imm(asm.R9, header.EthernetLen),
		asm.JGT.Reg(asm.R9, asm.R8, "pass"),
		asm.LoadMem(asm.R3, asm.R7, 12, asm.Half),
		asm.HostTo(asm.BE, asm.R3, asm.Half),
		asm.Mov.Imm(asm.R5, 0),
		asm.JNE.Imm(asm.R3, header.TypeTag, "untagged"),

		asm.Add.Imm(asm.R9, header.TagLen),
		asm.JGT.Reg(asm.R9, asm.R8, "pass"),
		asm.LoadMem(asm.R5, asm.R7, 14, asm.Half),
		asm.HostTo(asm.BE, asm.R5, asm.Half),
		asm.And.Imm(asm.R5, 0x0FFF),
		asm.LoadMem(asm.R3, asm.R7, 16, asm.Half),
		asm.HostTo(asm.BE, asm.R3, asm.Half),

		asm.LSh.Imm(asm.R5, keyVLANShift).WithSymbol("untagged"),
		asm.JEq.Imm(asm.R3, header.TypeIPv4, "ipv4"),
		asm.Mov.Imm(asm.R2, keyRaw),
		asm.Mov.Reg(asm.R1, asm.R3),
		asm.Ja.Label("store"),

		// IPv4 without options, not a fragment, UDP: destination address and port.
		asm.Mov.Reg(asm.R2, asm.R9).WithSymbol("ipv4"),
		asm.Add.Imm(asm.R2, header.IPv4Len+header.UDPLen),
		asm.JGT.Reg(asm.R2, asm.R8, "pass"),
		asm.LoadMem(asm.R2, asm.R9, 0, asm.Byte),
		asm.JNE.Imm(asm.R2, 4<<4|header.IPv4Len/4, "pass"),
		asm.LoadMem(asm.R2, asm.R9, 9, asm.Byte),
		asm.JNE.Imm(asm.R2, 17, "pass"),
		asm.LoadMem(asm.R2, asm.R9, 6, asm.Half),
		asm.HostTo(asm.BE, asm.R2, asm.Half),
		asm.And.Imm(asm.R2, 0x3FFF),
		asm.JNE.Imm(asm.R2, 0, "pass"),
		asm.LoadMem(asm.R1, asm.R9, 16, asm.Word),
		asm.HostTo(asm.BE, asm.R1, asm.Word),
		asm.LSh.Imm(asm.R1, keyIPShift),
		asm.LoadMem(asm.R2, asm.R9, header.IPv4Len+2, asm.Half),
		asm.HostTo(asm.BE, asm.R2, asm.Half),
		asm.Or.Reg(asm.R1, asm.R2),
		asm.Mov.Imm(asm.R2, keyUDP4),

		asm.LSh.Imm(asm.R2, keyKindShift).WithSymbol("store"),
		asm.Or.Reg(asm.R1, asm.R2),
		asm.Or.Reg(asm.R1, asm.R5),
		asm.StoreMem(asm.RFP, stackKey, asm.R1, asm.DWord),
		asm.LoadMem(asm.R2, asm.R6, 16, asm.Word), // xdp_md.rx_queue_index
		asm.StoreMem(asm.RFP, stackQueue, asm.R2, asm.Word),
	}
}

// lookup calls map_lookup_elem with the key at a place on the stack. R0 is the value's address, or 0.
func lookup(fd int, key int32) asm.Instructions {
	return asm.Instructions{
		asm.LoadMapPtr(asm.R1, fd),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, key),
		asm.FnMapLookupElem.Call(),
	}
}

// steer sends a packet with the key of its queue to the queue's socket. The redirect answers XDP_PASS where there is none.
func steer(sockets, queues int) asm.Instructions {
	return append(lookup(queues, stackQueue), asm.Instructions{
		asm.JEq.Imm(asm.R0, 0, "unsteered"),
		asm.LoadMem(asm.R1, asm.R0, 0, asm.DWord),
		asm.LoadMem(asm.R2, asm.RFP, stackKey, asm.DWord),
		asm.JNE.Reg(asm.R1, asm.R2, "unsteered"),
		asm.LoadMapPtr(asm.R1, sockets),
		asm.LoadMem(asm.R2, asm.RFP, stackQueue, asm.Word),
		asm.Mov.Imm(asm.R3, xdpPass),
		asm.FnRedirectMap.Call(),
		asm.JNE.Imm(asm.R0, xdpRedirect, "unsteered"),
		asm.Return(),
	}...)
}

// countUnsteered counts a packet that some socket of the interface would have taken on another queue, and passes it.
func countUnsteered(keys, unsteered int) asm.Instructions {
	ins := lookup(keys, stackKey)
	ins[0] = ins[0].WithSymbol("unsteered")
	ins = append(ins,
		asm.JEq.Imm(asm.R0, 0, "pass"),
		asm.StoreImm(asm.RFP, stackZero, 0, asm.Word),
	)
	ins = append(ins, lookup(unsteered, stackZero)...)
	return append(ins,
		asm.JEq.Imm(asm.R0, 0, "pass"),
		asm.LoadMem(asm.R1, asm.R0, 0, asm.DWord),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R0, 0, asm.R1, asm.DWord), // ours alone: one place per CPU, and XDP does not nest on one
		asm.Mov.Imm(asm.R0, xdpPass).WithSymbol("pass"),
		asm.Return(),
	)
}
