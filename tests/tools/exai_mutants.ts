/**
 * Deliberate bugs in the exai dialect and the pool of links.
 *
 * @module
 */

/** A deliberate bug: one place in one room that says something else. */
export interface Mutant {
  readonly name: string;
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** A mutant of a room of `lib/`. */
export function mutant(
  name: string,
  file: string,
  from: string,
  to: string,
): Mutant {
  return { name, file: `lib/${file}.ts`, from, to };
}

export const EXAI_MUTANTS: readonly Mutant[] = [
  mutant(
    "exai: a call is sent again whatever process the daemon is",
    "exai",
    "if (startedAt > sentAt) return false;",
    "",
  ),
  mutant(
    "exai: a call is sent again without a look at the daemon",
    "exai",
    'if (isPoll && !isSameProcess(line, call)) return { kind: "lost" };',
    "",
  ),
  mutant(
    "exai: the daemon's own clock is not looked at",
    "exai",
    "Math.abs(origin - call.origin) <= ORIGIN_SLACK",
    "Math.abs(origin - call.origin) >= 0",
  ),
  mutant(
    "exai: a revision without health is asked for outcomes",
    "exai",
    "return this.#isFirst && this.#calls.find(request)?.sentAt !== undefined;",
    "return this.#calls.find(request)?.sentAt !== undefined;",
  ),
  mutant(
    "exai: two frames at a time",
    "exai",
    "return this.#lines.get(epoch)?.outstanding === undefined;",
    "return true;",
  ),
  mutant(
    "exai: calls on the main link",
    "exai",
    'return message.method === "tools/call" ? "pool" : "main";',
    'return message.method === "" ? "pool" : "main";',
  ),
  mutant(
    "exai: no limit to the pool",
    "exai",
    "CALL_LINKS = 4;",
    "CALL_LINKS = 9;",
  ),
  mutant(
    "exai: every daemon gets _call_key",
    "exai",
    "this.#isFirst = frame.session_id !== this.#sessionOf(epoch);",
    "this.#isFirst = true;",
  ),
  mutant(
    "exai: no daemon gets _call_key",
    "exai",
    'this.#isFirst ? "keyed" : "plain"',
    '"plain"',
  ),
  mutant(
    "exai: every rejected hello is an ordinary failure",
    "exai",
    "const refused = /unauthorized|jwt_required/.test(why);",
    "const refused = /unheard/.test(why);",
  ),
  mutant(
    "exai: 4003 is an ordinary failure",
    "exai",
    "if (code === 4003) return { reason: refusal(reason), refused: true };",
    "",
  ),
  mutant(
    "exai: one session for all links",
    "exai",
    "return `${this.#session}-${epoch}`;",
    "return this.#session.slice(0, epoch + 90);",
  ),
  mutant(
    "exai: a full daemon gets the same id again",
    "exai_call",
    "      call.wire = this.#nextWire();\n",
    "",
  ),
  mutant(
    "exai: a foreign result is taken for ours",
    "exai_call",
    "if (named !== call.wire) return { incoming: stray(frame), isOver: false };",
    "",
  ),
  mutant(
    "exai: the note about a duplicate is mere progress",
    "exai_call",
    'if (purpose === "poll" && isDuplicate) {',
    'if (purpose === "call" && isDuplicate) {',
  ),
  mutant(
    "exai: the outcome is asked for in a hot loop",
    "exai_call",
    "POLL_MS.first * 2 ** call.polls++, POLL_MS.most",
    "10 * 2 ** call.polls++, POLL_MS.most",
  ),
  mutant(
    "exai: the daemon's limit without grace",
    "exai_call",
    "call.limitMs = seconds * 1000 + this.#config.ackGrace;",
    "call.limitMs = seconds * 1000;",
  ),
  mutant(
    "exai: the outcome is asked for without end",
    "exai",
    'return { kind: "frame", text, limitMs };',
    'void limitMs; return { kind: "frame", text };',
  ),
  mutant(
    "exai: progress does not rise",
    "exai_call",
    "const progress = ++call.progress;",
    "const progress = call.progress;",
  ),
  mutant(
    "exai: a failed output is a good one",
    "exai_frame",
    "readings.some((reading) => reading.isError);",
    "readings.length < 0;",
  ),
  mutant(
    "exai: days are forgotten",
    "exai_frame",
    "const total = Number(days) * 86_400 +",
    "const total = 0 * Number(days) +",
  ),
  mutant(
    "pool: a link whose call was given up is used again",
    "tend",
    'else if (link.role === "pool") return retire(desk, link);',
    "",
  ),
  mutant(
    "pool: it never shrinks",
    "link",
    "return mayBeIdle ? this.#usedAt + POOL_IDLE_MS : Infinity;",
    "return mayBeIdle ? Infinity : Infinity;",
  ),
  mutant(
    "pool: the end of a long call counts for nothing",
    "from_daemon",
    "  desk.ledger.settle(id, link.epoch);\n  link.used(now);",
    "  desk.ledger.settle(id, link.epoch);",
  ),
  mutant(
    "pool: silence is a verdict while a call runs elsewhere",
    "link",
    'if (load === "elsewhere") return Infinity;',
    "",
  ),
  mutant(
    "pool: a probe is not excused when the daemon speaks again",
    "from_daemon",
    "for (const other of desk.links) if (other !== link) other.excused(now);",
    "",
  ),
  mutant(
    "pool: opened while the daemon is away",
    "tend",
    "if (wanting === 0 || !links.isUp) return;",
    "if (wanting === 0) return;",
  ),
  mutant(
    "pool: a call that waits for a free link falls to the queue's clock",
    "session",
    'desk.isUpFor(message) ? "stands" : "runs"',
    '"runs"',
  ),
  mutant(
    "pool: a wait for a link has no end",
    "session",
    'desk.isUpFor(message) ? "stands" : "runs"',
    'desk.links.isUp ? "stands" : "runs"',
  ),
  mutant(
    "a pause before the next try is not kept",
    "ledger",
    "if (account.notBefore === undefined) yield account;",
    "yield account;",
  ),
  mutant(
    "what is held is called unavailable",
    "desk",
    'if (entry.isHeld) return fault.outcomeUnknown(fate, "connection_lost");',
    "",
  ),
];
