/*
 * Agreement of wirepaxos, small: 2 proposers, 3 acceptors, 1 learner. README.md beside this file says how to check it, what is in
 * it and what is not. The rules that are named here (P1, L2, R1, ...) are those of ../PROTOCOL.md, "What is promised".
 *
 * The network is the set of all messages that were ever sent. Nothing leaves it, and whoever may take a message takes it once, many
 * times, late, in any order, or never. That is loss, duplication, delay and reordering in one.
 *
 * Three things keep the number of states small, and none of them hides a behaviour:
 *   - a proposer that has its promises sends all of its accepts in one step: one sent too early is one that is not taken yet;
 *   - what no one will look at again is cleared (promises of an attempt that is over, what an acceptor trimmed);
 *   - the learner hears only votes for the instance that it waits for: the others stay in the network until it does.
 */

#ifndef BALLOTS
#define BALLOTS 4 /* 1, 3 are of proposer 0; 2, 4 of proposer 1 */
#endif
#ifndef INSTANCES
#define INSTANCES 1
#endif

#define ACCEPTORS 3
#define PROPOSERS 2
#define EVERYONE 7 /* a bit for each acceptor */

#ifdef QUORUM_HALF
#define QUORUM (ACCEPTORS / 2)
#else
#define QUORUM (ACCEPTORS / 2 + 1)
#endif

/* A value is a number: the ballot whose leader was free to take one of its clients', so that no two of these are the same. */
#define NOOP 100
#define OTHER 50 /* added by a proposer that restarted and has forgotten what it proposed */

#define at(k, i) ((k) * INSTANCES + (i))
#define has(set, a) ((set) >> (a) & 1)
#define size(set) (has(set, 0) + has(set, 1) + has(set, 2))
#define owner(b) (((b) - 1) % PROPOSERS)

/* Acceptors. */
byte promised[ACCEPTORS]; /* the highest ballot promised; 0 none */
byte low[ACCEPTORS];      /* trimmed below */
bool gone[ACCEPTORS];     /* restarted with storage "memory": does not vote */
byte ballotOf[ACCEPTORS * INSTANCES]; /* at which it accepted last; 0 never */
byte valueOf[ACCEPTORS * INSTANCES];  /* what it accepted then */

/* Proposers. */
byte ballot[PROPOSERS];     /* of the present attempt, kept over a restart: rounds are durable; 0 none yet */
bool preparing[PROPOSERS];  /* it waits for promises; else it leads, or has not begun */
bool restarted[PROPOSERS];  /* in this attempt; only with REUSE_ROUND */

/* Messages. Prepare of ballot b was sent if its owner has come so far. */
#define prepared(b) (ballot[owner(b)] >= (b))
byte accept[(BALLOTS + 1) * INSTANCES];   /* the value that ballot b proposed; 0 none */
byte accepted[(BALLOTS + 1) * INSTANCES]; /* the set of acceptors that voted for it */
/* Promises, of the present attempt of each proposer: the others are dropped when they arrive. */
#define from(p, a) ((p) * ACCEPTORS + (a))
bool promise[PROPOSERS * ACCEPTORS];
byte promiseLow[PROPOSERS * ACCEPTORS];
byte promiseBallot[PROPOSERS * ACCEPTORS * INSTANCES];
byte promiseValue[PROPOSERS * ACCEPTORS * INSTANCES];

/* The learner. */
byte next;            /* the delivered watermark */
byte last[ACCEPTORS]; /* for the instance next: the ballot of each acceptor's last vote that was heard */

/* What is checked: the value of each instance that a quorum ever accepted at one ballot; 0 none. */
byte chosen[INSTANCES];

hidden byte i, a, best, value, begin, reported; /* only inside a step */

#ifdef SORTED
/*
 * Acceptors differ in nothing but their number: two states that differ in it alone are one. So after each step the acceptors are put
 * into an order, and a sixth of the states is left. (Only large runs need it; a trail is easier to read without.)
 */
c_code {
	#define SWAP(x, y) { uchar kept = x; x = y; y = kept; }

	static unsigned long weight(int k) {
		int j, p;
		unsigned long w = now.promised[k] * 8 + now.low[k] * 2 + now.gone[k];
		w = w * 8 + now.last[k];
		for (j = 0; j < INSTANCES; j++) w = w * 8 + now.ballotOf[at(k, j)];
		for (p = 0; p < PROPOSERS; p++) {
			w = w * 8 + now.promise[from(p, k)] * 4 + now.promiseLow[from(p, k)];
			for (j = 0; j < INSTANCES; j++) w = w * 8 + now.promiseBallot[at(from(p, k), j)];
		}
		for (j = 0; j < (BALLOTS + 1) * INSTANCES; j++) w = w * 2 + has(now.accepted[j], k);
		return w;
	}

	static void exchange(int k, int l) {
		int j, p, other;
		SWAP(now.promised[k], now.promised[l]);
		SWAP(now.low[k], now.low[l]);
		SWAP(now.gone[k], now.gone[l]);
		SWAP(now.last[k], now.last[l]);
		for (j = 0; j < INSTANCES; j++) {
			SWAP(now.ballotOf[at(k, j)], now.ballotOf[at(l, j)]);
			SWAP(now.valueOf[at(k, j)], now.valueOf[at(l, j)]);
		}
		for (p = 0; p < PROPOSERS; p++) {
			SWAP(now.promise[from(p, k)], now.promise[from(p, l)]);
			SWAP(now.promiseLow[from(p, k)], now.promiseLow[from(p, l)]);
			for (j = 0; j < INSTANCES; j++) {
				SWAP(now.promiseBallot[at(from(p, k), j)], now.promiseBallot[at(from(p, l), j)]);
				SWAP(now.promiseValue[at(from(p, k), j)], now.promiseValue[at(from(p, l), j)]);
			}
		}
		for (j = 0; j < (BALLOTS + 1) * INSTANCES; j++) {
			other = has(now.accepted[j], k) != has(now.accepted[j], l);
			if (other) now.accepted[j] ^= 1 << k | 1 << l;
		}
	}

	static void sort(void) {
		if (weight(0) < weight(1)) exchange(0, 1);
		if (weight(1) < weight(2)) exchange(1, 2);
		if (weight(0) < weight(1)) exchange(0, 1);
	}
};
#define sorted c_code { sort(); }
#else
#define sorted skip
#endif

/* ---- Proposer ---- */

inline forgetPromises(p) {
	a = 0;
	do
	:: a < ACCEPTORS ->
		promise[from(p, a)] = false;
		promiseLow[from(p, a)] = 0;
		i = 0;
		do
		:: i < INSTANCES ->
			promiseBallot[at(from(p, a), i)] = 0;
			promiseValue[at(from(p, a), i)] = 0;
			i++
		:: else -> break
		od;
		a++
	:: else -> break
	od;
	a = 0; i = 0
}

/* A ballot names at most one value per instance, for ever (L1). */
inline propose(b, v) {
	assert(accept[at(b, i)] == 0 || accept[at(b, i)] == v);
	accept[at(b, i)] = v
}

/* The highest ballot that the acceptors of the set reported for instance i, and its value (L2). */
inline look(p, set) {
	best = 0; value = 0; a = 0;
	do
	:: a < ACCEPTORS ->
		if
		:: has(set, a) && promiseBallot[at(from(p, a), i)] > 0 &&
#ifdef LOWEST_VALUE
			(best == 0 || promiseBallot[at(from(p, a), i)] < best) ->
#else
			promiseBallot[at(from(p, a), i)] > best ->
#endif
			best = promiseBallot[at(from(p, a), i)];
			value = promiseValue[at(from(p, a), i)]
		:: else -> skip
		fi;
		a++
	:: else -> break
	od
}

/* Phase 2a: promises of a quorum are there. */
inline lead(p, set) {
	begin = 0; reported = 0; a = 0;
#ifndef IGNORE_LOW
	do
	:: a < ACCEPTORS && has(set, a) && promiseLow[from(p, a)] > begin -> begin = promiseLow[from(p, a)]
	:: a < ACCEPTORS && !(has(set, a) && promiseLow[from(p, a)] > begin) -> a++
	:: else -> break
	od;
#endif
	i = INSTANCES;
	do
	:: i > begin ->
		i--;
		look(p, set);
#ifdef OWN_VALUE
		best = 0;
#endif
		if
		:: best > 0 ->
			reported = (reported > i + 1 -> reported : i + 1);
			propose(ballot[p], value)
		:: best == 0 && i < reported -> propose(ballot[p], NOOP)
		:: else -> propose(ballot[p], ballot[p] + (restarted[p] -> OTHER : 0))
		fi
	:: else -> break
	od;
	forgetPromises(p);
	best = 0; value = 0; begin = 0; reported = 0;
	preparing[p] = false
}

#define promisedBy(p, set) (preparing[p] && \
	(!has(set, 0) || promise[from(p, 0)]) && (!has(set, 1) || promise[from(p, 1)]) && (!has(set, 2) || promise[from(p, 2)]))

proctype Proposer(byte p) {
end:	do
	/* Begin, or give up and begin again, or crash, restart and begin: always by a ballot that it never used. */
	:: d_step { ballot[p] == 0 && p + 1 <= BALLOTS -> ballot[p] = p + 1; preparing[p] = true; sorted }
	:: d_step {
		ballot[p] > 0 && ballot[p] + PROPOSERS <= BALLOTS ->
		ballot[p] = ballot[p] + PROPOSERS; restarted[p] = false;
		forgetPromises(p);
		preparing[p] = true;
		sorted
	}
#ifdef REUSE_ROUND
	:: d_step { ballot[p] > 0 && !restarted[p] -> restarted[p] = true; forgetPromises(p); preparing[p] = true; sorted }
#endif
#ifdef LEAD_BY_ONE
	:: d_step { promisedBy(p, 1) -> lead(p, 1); sorted }
	:: d_step { promisedBy(p, 2) -> lead(p, 2); sorted }
	:: d_step { promisedBy(p, 4) -> lead(p, 4); sorted }
#endif
	:: d_step { promisedBy(p, 3) -> lead(p, 3); sorted }
	:: d_step { promisedBy(p, 5) -> lead(p, 5); sorted }
	:: d_step { promisedBy(p, 6) -> lead(p, 6); sorted }
	:: d_step { promisedBy(p, 7) -> lead(p, 7) } /* more than a quorum does no harm */
	od
}

/* ---- Acceptor ---- */

/* Phase 1b (P1, P3). Whether the promise arrives is the proposer's choice. */
#ifdef PROMISE_BELOW
#define mayPromise(k, b) (prepared(b))
#else
#define mayPromise(k, b) (prepared(b) && (b) >= promised[k])
#endif
#define isAwaited(k, b) (ballot[owner(b)] == (b) && preparing[owner(b)] && !promise[from(owner(b), k)])

inline doPromise(k, b) {
	promised[k] = b;
	if
	:: isAwaited(k, b) ->
		promise[from(owner(b), k)] = true;
		promiseLow[from(owner(b), k)] = low[k];
		i = 0;
		do
		:: i < INSTANCES ->
			promiseBallot[at(from(owner(b), k), i)] = ballotOf[at(k, i)];
			promiseValue[at(from(owner(b), k), i)] = valueOf[at(k, i)];
			i++
		:: else -> break
		od;
		i = 0
	:: else -> skip
	fi
}

/* Phase 2b (P2, P4, P5). */
#ifdef ACCEPT_BELOW_PROMISE
#define mayAccept(k, b, j) (accept[at(b, j)] > 0 && (j) >= low[k])
#else
#define mayAccept(k, b, j) (accept[at(b, j)] > 0 && (j) >= low[k] && (b) >= promised[k])
#endif

inline doAccept(k, b, j) {
#ifndef ACCEPT_WITHOUT_PROMISE
	promised[k] = b;
#endif
	ballotOf[at(k, j)] = b;
	valueOf[at(k, j)] = accept[at(b, j)];
	accepted[at(b, j)] = accepted[at(b, j)] | (1 << k);
	if
	:: size(accepted[at(b, j)]) >= QUORUM ->
		assert(chosen[j] == 0 || chosen[j] == accept[at(b, j)]); /* agreement */
		chosen[j] = accept[at(b, j)]
	:: else -> skip
	fi
}

inline forget(k) {
	promised[k] = 0; low[k] = 0; i = 0;
	do
	:: i < INSTANCES -> ballotOf[at(k, i)] = 0; valueOf[at(k, i)] = 0; i++
	:: else -> break
	od;
	i = 0
}

#define onPrepare(b) d_step { !gone[k] && mayPromise(k, b) && (promised[k] != (b) || isAwaited(k, b)) -> doPromise(k, b); sorted }
#define onAccept(b, j) d_step { !gone[k] && mayAccept(k, b, j) && ballotOf[at(k, j)] != (b) -> doAccept(k, b, j); sorted }

proctype Acceptor(byte k) {
end:	do
	:: onPrepare(1)
	:: onPrepare(2)
#if BALLOTS > 2
	:: onPrepare(3)
#endif
#if BALLOTS > 3
	:: onPrepare(4)
#endif
	:: onAccept(1, 0)
	:: onAccept(2, 0)
#if BALLOTS > 2
	:: onAccept(3, 0)
#endif
#if BALLOTS > 3
	:: onAccept(4, 0)
#endif
#if INSTANCES > 1
	:: onAccept(1, 1)
	:: onAccept(2, 1)
#if BALLOTS > 2
	:: onAccept(3, 1)
#endif
#if BALLOTS > 3
	:: onAccept(4, 1)
#endif
#endif
	/* A heartbeat or an accept brings the low watermark: what the learner has delivered (P5). */
	:: d_step {
		!gone[k] && low[k] < next ->
		ballotOf[at(k, low[k])] = 0; valueOf[at(k, low[k])] = 0;
		low[k] = low[k] + 1;
		sorted
	}
	/* A crash, and a restart without its promises. What it said before stays said. */
#ifdef FORGET_AND_VOTE
	:: d_step { promised[k] > 0 -> forget(k); sorted }
#else
	:: d_step { !gone[k] -> forget(k); gone[k] = true; sorted }
#endif
	od
}

/* ---- Learner ---- */

inline deliver(v) {
	assert(chosen[next] == (v)); /* only what was chosen, and that is one value */
	last[0] = 0; last[1] = 0; last[2] = 0;
	next++
}

#define votesAt(b) ((last[0] == (b)) + (last[1] == (b)) + (last[2] == (b)))

/* R1 and R2: one vote an acceptor, its last; the value is that of just the ballot that has the quorum. */
inline count(k, b) {
	last[k] = b;
	if
	:: votesAt(b) >= QUORUM -> deliver(accept[at(b, next)])
	:: else -> skip
	fi
}

#define onAccepted(k, b) d_step { next < INSTANCES && has(accepted[at(b, next)], k) && last[k] < (b) -> count(k, b); sorted }

#ifdef AT_ONCE
/* The votes of a quorum in one step: all others can as well be heard later, so nothing is lost, and last stays 0. */
#define onQuorum(b) d_step { next < INSTANCES && size(accepted[at(b, next)]) >= QUORUM -> deliver(accept[at(b, next)]); sorted }
#endif

#ifdef COUNT_PROMISED
/* What Kernel Paxos does: the answer to a Repeat carries the promised ballot with the value accepted. */
inline countPromised(k) {
	last[k] = promised[k];
	if
	:: votesAt(promised[k]) >= QUORUM -> deliver(valueOf[at(k, next)])
	:: else -> skip
	fi
}
#define onRepeated(k) d_step { next < INSTANCES && ballotOf[at(k, next)] > 0 && last[k] < promised[k] -> countPromised(k); sorted }
#endif

#ifdef ANY_VALUE
/* A quorum at one ballot, delivered with the value that came with another. */
#define onAnyValue(b, other) d_step { \
	next < INSTANCES && size(accepted[at(b, next)]) >= QUORUM && accept[at(other, next)] > 0 -> deliver(accept[at(other, next)]) }
#endif

/* Not a rule: everything is delivered, by votes for the last ballot, which proposed what ballot 1 had, and filled the hole before it. */
#define done (next == INSTANCES && accept[at(BALLOTS, INSTANCES - 1)] == 1 && \
	size(accepted[at(BALLOTS, INSTANCES - 1)]) >= QUORUM && (INSTANCES == 1 || accept[at(BALLOTS, 0)] == NOOP))

proctype Learner() {
end:	do
#ifdef AT_ONCE
	:: onQuorum(1)
	:: onQuorum(2)
#if BALLOTS > 2
	:: onQuorum(3)
#endif
#if BALLOTS > 3
	:: onQuorum(4)
#endif
#else
	:: onAccepted(0, 1)
	:: onAccepted(1, 1)
	:: onAccepted(2, 1)
	:: onAccepted(0, 2)
	:: onAccepted(1, 2)
	:: onAccepted(2, 2)
#if BALLOTS > 2
	:: onAccepted(0, 3)
	:: onAccepted(1, 3)
	:: onAccepted(2, 3)
#endif
#if BALLOTS > 3
	:: onAccepted(0, 4)
	:: onAccepted(1, 4)
	:: onAccepted(2, 4)
#endif
#endif
#ifdef COUNT_PROMISED
	:: onRepeated(0)
	:: onRepeated(1)
	:: onRepeated(2)
#endif
#ifdef ANY_VALUE
	:: onAnyValue(1, 2)
	:: onAnyValue(2, 1)
#endif
#ifdef NEVER_DONE
	:: done -> assert(false)
#endif
	od
}

init {
	atomic {
		run Proposer(0);
		run Proposer(1);
		run Acceptor(0);
		run Acceptor(1);
		run Acceptor(2);
		run Learner()
	}
}
