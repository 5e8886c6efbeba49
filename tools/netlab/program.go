package netlab

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// What an XDP program answers, and the flags of its redirect (include/uapi/linux/bpf.h).
const (
	xdpDrop = 1
	xdpPass = 2

	redirectBroadcast      = 1 << 3 // BPF_F_BROADCAST
	redirectExcludeIngress = 1 << 4 // BPF_F_EXCLUDE_INGRESS
)

// Fields of struct xdp_md.
const (
	xdpData     = 0
	xdpDataEnd  = 4
	xdpDataMeta = 8
)

// metaSize is what the XDP program leaves before the frame for the classifier: its target, a uint32.
const metaSize = 4

// count adds one to a counter of the slot. It uses R1 and R2. Several cores may count at once, so the add is atomic.
func (t *tables) count(slot, which int) asm.Instructions {
	return asm.Instructions{
		asm.LoadMapValue(asm.R1, t.counters.FD(), uint32((slot*countWords+which)*8)),
		asm.Mov.Imm(asm.R2, 1),
		asm.AddAtomic.Mem(asm.R1, asm.R2, asm.DWord, 0),
	}
}

// forwarder is the XDP program of one switch end. It reads in the order in which it treats a frame: whom it is for, whether the way is
// cut, what fault it meets, and on.
//
// R6 holds the context, R7 the target, R8 the settings, R9 what a step needs beyond a call.
func (t *tables) forwarder(slot int) *ebpf.ProgramSpec {
	var code asm.Instructions
	for _, part := range []asm.Instructions{
		t.findTarget(slot), t.meetFaults(slot), t.sendOn(slot), t.endings(slot),
	} {
		code = append(code, part...)
	}
	return &ebpf.ProgramSpec{Name: "wp_forward", Type: ebpf.XDP, License: "Apache-2.0", Instructions: code}
}

// findTarget leaves the target of the frame in R7.
func (t *tables) findTarget(slot int) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R1, asm.R6, xdpData, asm.Word),
		asm.LoadMem(asm.R2, asm.R6, xdpDataEnd, asm.Word),
		asm.Mov.Reg(asm.R3, asm.R1),
		asm.Add.Imm(asm.R3, 14), // the Ethernet header
		asm.JGT.Reg(asm.R3, asm.R2, "unknown"),

		asm.LoadMem(asm.R3, asm.R1, 0, asm.Word), // the destination, as addressKey has it
		asm.LoadMem(asm.R4, asm.R1, 4, asm.Half),
		asm.StoreMem(asm.RFP, -8, asm.R3, asm.Word),
		asm.StoreMem(asm.RFP, -4, asm.R4, asm.Half),
		asm.StoreImm(asm.RFP, -2, 0, asm.Half),

		asm.Mov.Imm(asm.R7, targetEveryone),
		asm.LoadMem(asm.R3, asm.R1, 0, asm.Byte),
		asm.And.Imm(asm.R3, 1), // the group bit
		asm.JNE.Imm(asm.R3, 0, "faults"),

		asm.LoadMapPtr(asm.R1, t.addresses.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -8),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "unknown"),
		asm.LoadMem(asm.R7, asm.R0, 0, asm.Word),
		asm.Mov.Reg(asm.R1, asm.R7),
		asm.And.Imm(asm.R1, targetSlotMask),
		asm.JEq.Imm(asm.R1, int32(slot), "unknown"), // a switch does not send a frame back where it came from

		asm.LoadMapValue(asm.R2, t.settings.FD(), uint32(settingCuts+8*slot)),
		asm.LoadMem(asm.R2, asm.R2, 0, asm.DWord),
		asm.RSh.Reg(asm.R2, asm.R1),
		asm.And.Imm(asm.R2, 1),
		asm.JNE.Imm(asm.R2, 0, "cut"),
	}
}

// meetFaults drops the frame, or gives it to the ring, or marks it to be doubled, or does nothing. A rate of 0 costs a load and a branch.
func (t *tables) meetFaults(slot int) asm.Instructions {
	code := asm.Instructions{
		asm.LoadMapValue(asm.R8, t.settings.FD(), 0).WithSymbol("faults"),
		asm.LoadMem(asm.R9, asm.R8, settingDropBelow, asm.DWord),
		asm.JEq.Imm(asm.R9, 0, "not dropped"),
		asm.FnGetPrandomU32.Call(),
		asm.JLT.Reg(asm.R0, asm.R9, "dropped"),

		asm.LoadMem(asm.R9, asm.R8, settingDelayBelow, asm.DWord).WithSymbol("not dropped"),
		asm.JEq.Imm(asm.R9, 0, "not delayed"),
		asm.FnGetPrandomU32.Call(),
		asm.JGE.Reg(asm.R0, asm.R9, "not delayed"),
	}
	code = append(code, t.delay(slot)...)
	return append(code, asm.Instructions{
		asm.LoadMem(asm.R9, asm.R8, settingDuplicateBelow, asm.DWord).WithSymbol("not delayed"),
		asm.JEq.Imm(asm.R9, 0, "not doubled"),
		asm.FnGetPrandomU32.Call(),
		asm.JGE.Reg(asm.R0, asm.R9, "not doubled"),
		asm.Or.Imm(asm.R7, targetDuplicate),
		asm.Ja.Label("classify"),
	}...)
}

// delay copies the frame to the ring and drops it. A full ring counts, and the frame goes on as if nothing had been asked.
func (t *tables) delay(slot int) asm.Instructions {
	code := asm.Instructions{
		asm.LoadMapPtr(asm.R1, t.delays.FD()),
		asm.Mov.Imm(asm.R2, recordSize),
		asm.Mov.Imm(asm.R3, 0),
		asm.FnRingbufReserve.Call(),
		asm.JEq.Imm(asm.R0, 0, "undelayed"),
		asm.Mov.Reg(asm.R9, asm.R0),

		asm.FnKtimeGetNs.Call(),
		asm.LoadMem(asm.R1, asm.R8, settingDelayNs, asm.DWord),
		asm.Add.Reg(asm.R0, asm.R1),
		asm.StoreMem(asm.R9, recordDue, asm.R0, asm.DWord),
		asm.StoreImm(asm.R9, recordFrom, int64(slot), asm.Half),
		asm.StoreMem(asm.R9, recordTarget, asm.R7, asm.Half),

		asm.LoadMem(asm.R1, asm.R6, xdpData, asm.Word),
		asm.LoadMem(asm.R4, asm.R6, xdpDataEnd, asm.Word),
		asm.Sub.Reg(asm.R4, asm.R1),
		asm.JGT.Imm(asm.R4, maxFrame, "discard"), // not in a lab of our own making, but the verifier must know
		asm.JLT.Imm(asm.R4, 14, "discard"),
		asm.StoreMem(asm.R9, recordLength, asm.R4, asm.Word),
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Imm(asm.R2, 0),
		asm.Mov.Reg(asm.R3, asm.R9),
		asm.Add.Imm(asm.R3, recordFrame),
		asm.FnXdpLoadBytes.Call(),
		asm.JNE.Imm(asm.R0, 0, "discard"),

		asm.Mov.Reg(asm.R1, asm.R9),
		asm.Mov.Imm(asm.R2, 0),
		asm.FnRingbufSubmit.Call(),
	}
	code = append(code, t.count(slot, countDelayed)...)
	code = append(code,
		asm.Mov.Imm(asm.R0, xdpDrop),
		asm.Return(),
		asm.Mov.Reg(asm.R1, asm.R9).WithSymbol("discard"),
		asm.Mov.Imm(asm.R2, 0),
		asm.FnRingbufDiscard.Call(),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("undelayed"),
	)
	return append(code, t.count(slot, countUndelayed)...)
}

// sendOn redirects the frame, or passes it to the classifier with its target before it.
func (t *tables) sendOn(slot int) asm.Instructions {
	code := asm.Instructions{
		asm.Mov.Reg(asm.R1, asm.R7).WithSymbol("not doubled"),
		asm.And.Imm(asm.R1, targetSteered),
		asm.JNE.Imm(asm.R1, 0, "classify"),
		asm.JNE.Imm(asm.R7, targetEveryone, "redirect"),
		asm.LoadMem(asm.R1, asm.R8, settingEveryoneSlow, asm.DWord),
		asm.JNE.Imm(asm.R1, 0, "classify"),
	}
	code = append(code, t.count(slot, countForwarded)...)
	code = append(code,
		asm.LoadMapPtr(asm.R1, t.ends.FD()),
		asm.Mov.Imm(asm.R2, 0),
		asm.Mov.Imm(asm.R3, redirectBroadcast|redirectExcludeIngress),
		asm.FnRedirectMap.Call(),
		asm.Return(),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("redirect"),
	)
	code = append(code, t.count(slot, countForwarded)...)
	code = append(code,
		asm.LoadMapPtr(asm.R1, t.ends.FD()),
		asm.Mov.Reg(asm.R2, asm.R7),
		asm.Mov.Imm(asm.R3, xdpDrop), // the answer where the slot is empty
		asm.FnRedirectMap.Call(),
		asm.Return(),

		asm.Mov.Reg(asm.R1, asm.R6).WithSymbol("classify"),
		asm.Mov.Imm(asm.R2, -metaSize),
		asm.FnXdpAdjustMeta.Call(),
		asm.JNE.Imm(asm.R0, 0, "unknown"), // veth always leaves room
		asm.LoadMem(asm.R1, asm.R6, xdpDataMeta, asm.Word),
		asm.LoadMem(asm.R2, asm.R6, xdpData, asm.Word),
		asm.Mov.Reg(asm.R3, asm.R1),
		asm.Add.Imm(asm.R3, metaSize),
		asm.JGT.Reg(asm.R3, asm.R2, "unknown"),
		asm.StoreMem(asm.R1, 0, asm.R7, asm.Word),
	)
	code = append(code, t.count(slot, countForwarded)...)
	code = append(code,
		asm.And.Imm(asm.R7, targetDuplicate),
		asm.JEq.Imm(asm.R7, 0, "pass"),
	)
	code = append(code, t.count(slot, countDuplicated)...)
	return append(code,
		asm.Mov.Imm(asm.R0, xdpPass).WithSymbol("pass"),
		asm.Return(),
	)
}

// endings are the ways to be dropped, each counted.
func (t *tables) endings(slot int) asm.Instructions {
	var code asm.Instructions
	for _, ending := range []struct {
		label string
		which int
	}{{"unknown", countUnknown}, {"cut", countCut}, {"dropped", countDropped}} {
		code = append(code, asm.Mov.Imm(asm.R0, xdpDrop).WithSymbol(ending.label))
		code = append(code, t.count(slot, ending.which)...)
		code = append(code, asm.Return())
	}
	return code
}
