// Package doctor looks at a machine and tells, line by line, whether poll-mode processes will run well on it: kernel, privileges, memory, cores,
// NICs. It binds nothing and changes nothing.
//
// A caller says in a Need what is to run: which loops on which cores, which queues of which interfaces. Examine goes through the checks in the
// order in which a process meets them at its start and answers a Page of Lines. A line is green (as it should be, or of no matter here), yellow
// (it runs, and slower or less evenly than it could) or red (a process that needs it does not start, or hears nothing), and tells the command
// that mends it. Without cores or interfaces in the Need the page is about the machine as such.
//
// What the kernel tells in files is read below Source.Root, what it tells by other ways through the functions of Source, so that a test can be
// any machine.
package doctor
