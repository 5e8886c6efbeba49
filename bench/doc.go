// Package bench loads a cluster, measures it, and checks at the end that what was promised was kept.
//
// The life of a measurement:
//
//  1. A Load keeps a number of values unanswered on a client (closed loop), or submits each at a time of its own (open loop): the client's Done
//     callback records how long a value took and makes room for another. It runs on the client's loop, and allocates nothing there.
//  2. A Progress cuts the run into intervals for the lines that people watch, without holding up the loop.
//  3. A Tally at each learner writes down what was delivered, and finds out by itself what came twice or out of order: it asks none of
//     the code that it checks.
//  4. At the end each client process gives a ClientResult, each learner a TallyReport and a LearnerEnd. Merge joins the clients' results,
//     Check holds the acknowledgements against the tallies, and a Report is what people and scripts read.
//
// # What a latency is
//
// From the reading of the clock in the cycle that submitted the value to the one in the cycle that got its reply, in nanoseconds. A loop
// reads the clock once a cycle, at its start, so both ends are exact to one cycle. Recording keeps three significant digits.
//
// In an open loop it is from the time at which the value was due. That is exact to a nanosecond; a value is submitted in the first cycle from then
// on, or when a session has room again. A loop that spins was 0.2 µs late in the median; one that sleeps is woken for the time by ppoll(2), 20 µs
// late and more, on a machine that others used too. The report has the histogram of it ("late submit"): whatever it was is part of the latencies.
//
// # What values cost
//
// Costs are the difference of two readings of all processes, one shortly before the measurement begins and one at its end, over the values that were
// delivered between them. In between nobody asks the processes for anything. The readings themselves wake threads and allocate answers, some
// hundred objects each; the loops' own context switches therefore stand apart. Measured with demo --idle spin --progress=false, 2 to 10 s: no loop
// waited once, 0 to 4 blocks of objects were allocated in all processes, and no GC cycle ran.
//
// # Where the time goes
//
// StageNotes follow one value in so many: each loop notes in which cycle it passed the client, the proposer, an acceptor, the learner and the
// client again, from what the roles are told and say; JoinStages puts the notes of all loops of a host together.
//
// # The floor
//
// An Echo sends frames as long as an Accept of one value to a Reflector, over ports, cores and a network like a run's, with none of the protocol in
// between. Half a round trip is a hop; the hops that a value crosses from its submission to its reply are the floor under its latency. A Wire
// holds a run's median against it. The echo does not run while the cluster does: both would need the same cores.
//
// # Coordinated omission
//
// An open loop has none. Values that were due in the measurement and never submitted, for the cluster did not keep up, are counted
// ("behind"): they would have taken longer than all others, so latencies are a lower bound then.
//
// A closed loop waits for slow answers before it asks again: while the cluster stalls, the values that would have waited too are never
// submitted, and the histogram misses them. Both histograms of a closed loop are reported:
//
//   - measured: the values that there were.
//   - corrected: for every value that took v, the ones added that the same place would have submitted meanwhile at its mean pace, which
//     then took v-i, v-2i, ... down to i, where i is the expected interval. This is what HdrHistogram calls a copy corrected for
//     coordinated omission. The interval is the mean time from one answer to the next on one of the places:
//     duration × places / values, with places = clients × outstanding.
//
// The corrected one estimates what an open-loop client of the same mean rate would have seen. It is an estimate: a load that really is
// open would also have queued more work behind the stall.
package bench
