// Package paxos is Multi-Paxos as pure step functions: Acceptor, Proposer, Learner, and the wire format between them.
//
// The life of a value:
//
//  1. A client's Submit carries it in a batch (PutValue), or several messages do, in fragments, where it is larger than a frame. The
//     Proposer that leads copies it into its queue; any other answers Busy.
//  2. When windows allow, the proposer puts what is queued into the next instance: the bytes go into its ring of values, and an
//     Accept that shows them goes to every acceptor and learner. They stay there until the instance is chosen.
//  3. An Acceptor copies the value into its own ring, stores ballot and place in the instance's slot, and votes: once a burst, in
//     ranges, to the proposer and the learners. It keeps the value until the low watermark has passed.
//  4. A Learner copies the value into its ring as well, counts votes, and delivers in order what a quorum accepted at just the
//     ballot that the value came with. Deliver sees the bytes in place, and only for the length of the call. The ring wins their
//     room back afterwards.
//  5. Learners report how far they are; the least of them is the low watermark, below which everyone forgets.
//
// Who owns what: a role owns all of its memory, and nobody else touches it. It is told messages whose Data are views of received
// frames, good for that one step; it copies what it keeps. What it says lies in its Outbox; the Data of those messages are views
// of the role's own memory, which stays as it is until the same role steps again. A role reads no clock, draws no random number,
// and does no I/O: time and seed are arguments. It allocates when it is made and never afterwards.
//
// Why it is safe, in short (PROTOCOL.md has the argument): an acceptor never goes back below what it promised; a leader proposes
// only what the promises of a quorum bind it to; a ballot names one value per instance for ever, because its rounds are reserved
// durably; a learner counts by the ballot at which a value was accepted. Nothing is forgotten that a learner with a live lease
// has not delivered.
//
// The files, in the order in which a value meets them:
//
//	types.go, message.go                   names, limits, the message
//	frame.go, codec.go, entries.go         frames, messages, batches and lists on the wire; crc32c has the check of a frame
//	outbox.go                              what a step wants done
//	proposer.go, _clients, _window, _lead  queue and Busy; phase 2; phase 1, recovery, heartbeats
//	promise.go                             pages of a promise put together
//	proposer_detect.go, _handover          when to begin phase 1, when to stop leading; a planned handover
//	leadership.go                          who leads since when and why, for people
//	acceptor.go, _store, _tell, _hear      votes; the values kept; promises, repeats, registrations; which leader is heard
//	learner.go, _hold, _clients            counting and delivery; values kept until then; who leads, for clients
//	learner_repair.go, _state              gaps; state from another learner
//	replies.go, session.go, _table         answers to clients; exactly once; where sessions are kept
//	bytering.go, queue.go, lease.go        rings of values; values that wait; registrations
//	fragments.go, recent.go, slow.go       values larger than a frame; copies of them; learners that hold a leader back
//
// The rules are scripts under testdata, one a file; bench_test.go runs whole groups on a network that loses, doubles and
// reorders, under a checker that shares no code with the roles.
package paxos
