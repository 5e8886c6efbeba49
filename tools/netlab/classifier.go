package netlab

import (
	"encoding/binary"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// What a classifier answers (include/uapi/linux/pkt_cls.h).
const (
	classifyOK   = 0
	classifyShot = 2
)

// Fields of struct __sk_buff.
const (
	skbQueue    = 12
	skbData     = 76
	skbDataMeta = 140
)

// etherTypeVLAN is the 802.1Q tag's, in the order of the machine that loads it from the wire as a big-endian half.
const etherTypeVLAN = 0x8100

// copier is the classifier at a switch end's ingress. It sends on what the forwarder passed: a frame with its target before it.
// All else is dropped, so nothing ever reaches the protocols of the switch's own namespace.
//
// R6 holds the context, R7 the target, R8 the interface to send to.
func (t *tables) copier(slot int, ends []uint32) *ebpf.ProgramSpec {
	code := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R1, asm.R6, skbDataMeta, asm.Word),
		asm.LoadMem(asm.R2, asm.R6, skbData, asm.Word),
		asm.Mov.Reg(asm.R3, asm.R1),
		asm.Add.Imm(asm.R3, metaSize),
		asm.JGT.Reg(asm.R3, asm.R2, "shot"),
		asm.LoadMem(asm.R7, asm.R1, 0, asm.Word),
		asm.Mov.Reg(asm.R1, asm.R7),
		asm.And.Imm(asm.R1, targetEveryone),
		asm.JNE.Imm(asm.R1, 0, "everyone"),

		asm.Mov.Reg(asm.R2, asm.R7),
		asm.And.Imm(asm.R2, targetSlotMask),
		asm.LSh.Imm(asm.R2, 2), // a uint32 each
		asm.LoadMapValue(asm.R1, t.settings.FD(), settingEnds),
		asm.Add.Reg(asm.R1, asm.R2),
		asm.LoadMem(asm.R8, asm.R1, 0, asm.Word),
		asm.And.Imm(asm.R7, targetDuplicate),
		asm.JEq.Imm(asm.R7, 0, "once"),
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Reg(asm.R2, asm.R8),
		asm.Mov.Imm(asm.R3, 0),
		asm.FnCloneRedirect.Call(),
		asm.Mov.Reg(asm.R1, asm.R8).WithSymbol("once"),
		asm.Mov.Imm(asm.R2, 0),
		asm.FnRedirect.Call(),
		asm.Return(),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("everyone"),
	}
	for to, index := range ends {
		if to != slot {
			code = append(code, t.copyTo(slot, to, index)...)
		}
	}
	code = append(code, asm.Mov.Imm(asm.R0, classifyShot).WithSymbol("shot"), asm.Return())
	return &ebpf.ProgramSpec{Name: "wp_copy", Type: ebpf.SchedCLS, License: "Apache-2.0", Instructions: code}
}

// copyTo sends a copy of a multicast frame, or two, to one end unless the way there is cut.
func (t *tables) copyTo(slot, to int, index uint32) asm.Instructions {
	next := fmt.Sprintf("past %d", to)
	clone := asm.Instructions{
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.LoadImm(asm.R2, int64(index), asm.DWord),
		asm.Mov.Imm(asm.R3, 0),
		asm.FnCloneRedirect.Call(),
	}
	code := asm.Instructions{
		asm.LoadMapValue(asm.R1, t.settings.FD(), uint32(settingCuts+8*slot)),
		asm.LoadMem(asm.R1, asm.R1, 0, asm.DWord),
		asm.RSh.Imm(asm.R1, int32(to)),
		asm.And.Imm(asm.R1, 1),
		asm.JNE.Imm(asm.R1, 0, next),
	}
	code = append(code, clone...)
	code = append(code,
		asm.Mov.Reg(asm.R1, asm.R7),
		asm.And.Imm(asm.R1, targetDuplicate),
		asm.JEq.Imm(asm.R1, 0, next),
	)
	code = append(code, clone...)
	return append(code, asm.Mov.Imm(asm.R0, 0).WithSymbol(next))
}

// steerer is the classifier at the egress of the switch end of a host with several queues. It stands for the NIC's flow director:
// the queue it records becomes the pair's transmit queue and so the host's receive queue. Redirected frames do not pass here,
// which is why the forwarder passes frames for such a host to the copier.
//
// R6 holds the context, R7 the length of a tag in the frame, R8 the queue.
func steerer(rules []Rule) *ebpf.ProgramSpec {
	const scratch = -8
	load := func(offset int, size int) asm.Instructions {
		return asm.Instructions{
			asm.Mov.Reg(asm.R1, asm.R6),
			asm.Mov.Reg(asm.R2, asm.R7),
			asm.Add.Imm(asm.R2, int32(offset)),
			asm.Mov.Reg(asm.R3, asm.RFP),
			asm.Add.Imm(asm.R3, scratch),
			asm.Mov.Imm(asm.R4, int32(size)),
			asm.FnSkbLoadBytes.Call(),
		}
	}
	code := asm.Instructions{asm.Mov.Reg(asm.R6, asm.R1), asm.Mov.Imm(asm.R7, 0), asm.Mov.Imm(asm.R8, 0)}
	code = append(code, load(12, 2)...)
	code = append(code,
		asm.JNE.Imm(asm.R0, 0, "set"),
		asm.LoadMem(asm.R1, asm.RFP, scratch, asm.Half),
		asm.HostTo(asm.BE, asm.R1, asm.Half),
		asm.JNE.Imm(asm.R1, etherTypeVLAN, "untagged"),
		asm.Mov.Imm(asm.R7, 4),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("untagged"),
	)
	for i, rule := range rules {
		next := fmt.Sprintf("past %d", i)
		size, want := asm.Byte, int64(rule.Bytes[0])
		switch len(rule.Bytes) {
		case 2:
			size, want = asm.Half, int64(binary.NativeEndian.Uint16(rule.Bytes))
		case 4:
			size, want = asm.Word, int64(binary.NativeEndian.Uint32(rule.Bytes))
		}
		code = append(code, load(rule.Offset, len(rule.Bytes))...)
		code = append(code,
			asm.JNE.Imm(asm.R0, 0, next), // the frame is too short to match
			asm.LoadMem(asm.R1, asm.RFP, scratch, size),
			asm.LoadImm(asm.R2, want, asm.DWord),
			asm.JNE.Reg(asm.R1, asm.R2, next),
			asm.Mov.Imm(asm.R8, int32(rule.Queue)),
			asm.Ja.Label("set"),
			asm.Mov.Imm(asm.R0, 0).WithSymbol(next),
		)
	}
	code = append(code,
		asm.Add.Imm(asm.R8, 1).WithSymbol("set"), // 0 would mean that none was recorded
		asm.StoreMem(asm.R6, skbQueue, asm.R8, asm.Word),
		asm.Mov.Imm(asm.R0, classifyOK),
		asm.Return(),
	)
	return &ebpf.ProgramSpec{Name: "wp_steer", Type: ebpf.SchedCLS, License: "Apache-2.0", Instructions: code}
}
