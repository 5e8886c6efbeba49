// Package script is what the host tells the guest of a virtual machine to do, and what the guest answers over the serial console.
package script

import (
	"encoding/json"
	"strconv"
	"strings"
)

// File is where the script lies in the guest.
const File = "/script.json"

// FirstArgument, with a number behind it, is the guest's first step on the kernel's command line: a machine that takes over from one that broke begins
// where that one ended.
const FirstArgument = "vmlab.first="

// First reads that number from the kernel's command line; 0 if there is none.
func First(commandLine string) int {
	for word := range strings.FieldsSeq(commandLine) {
		if text, ok := strings.CutPrefix(word, FirstArgument); ok {
			n, _ := strconv.Atoi(text)
			return max(0, n)
		}
	}
	return 0
}

// Script is what a guest does, in this order, before it turns itself off.
type Script struct {
	Modules []string `json:"modules"` // files to load
	NICs    []NIC    `json:"nics"`
	Steps   []Step   `json:"steps"`
}

// NIC is a network interface that the guest shall find by its MAC, name and set up.
type NIC struct {
	MAC  string `json:"mac"`
	Name string `json:"name"`
}

// Step is one thing to do.
type Step struct {
	Name     string     `json:"name"`
	Title    string     `json:"title"`
	Commands [][]string `json:"commands"` // the last one is the step; those before it run beside it until it ends
	Env      []string   `json:"env,omitempty"`
	Folders  []string   `json:"folders,omitempty"` // to be made first
	TimeoutS int        `json:"timeout_s"`
	Taps     bool       `json:"taps,omitempty"` // it needs the NICs on taps
	Show     string     `json:"show,omitempty"` // a file that the step writes, to be sent with its end
}

// Events of a guest.
const (
	Up    = "up"    // the script begins
	Begin = "begin" // a step begins
	End   = "end"   // a step has ended
	Down  = "down"  // the guest turns itself off
)

// Event is a line of a guest about itself. All other lines are output of the step that runs.
type Event struct {
	Event  string  `json:"event"`
	Step   string  `json:"step,omitempty"`
	Text   string  `json:"text,omitempty"` // of Up: the kernel; of an End: what went wrong, "" if nothing
	TookS  float64 `json:"took_s,omitempty"`
	Shown  string  `json:"shown,omitempty"` // of an End: the content of Show
	Status int     `json:"status"`          // of an End: the exit status; -1 if there is none
}

// mark begins a line that is an Event.
const mark = "\x02vmlab "

// Line writes an event down.
func (e Event) Line() string {
	text, err := json.Marshal(e)
	if err != nil {
		panic(err) // strings and numbers always can
	}
	return mark + string(text) + "\n"
}

// Parse reads a line of the console. What stands before the mark, the kernel wrote there without an end of line.
func Parse(line string) (e Event, ok bool) {
	_, text, found := strings.Cut(line, mark)
	return e, found && json.Unmarshal([]byte(text), &e) == nil
}
