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
    "if (!this.#isFirst || call?.sentAt === undefined) return undefined;",
    "if (call?.sentAt === undefined) return undefined;",
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
    "this.renew(request);\n      const { id }",
    "const { id }",
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
    "ledger",
    "          account.daemonUntil = now + chance.limitMs;\n",
    "",
  ),
  mutant(
    "exai: the stored result of an old call is not asked for",
    "exai",
    "ASK_MS = 60_000;",
    "ASK_MS = 1;",
  ),
  mutant(
    "exai: time in the queue counts as the daemon's lack of room",
    "ledger",
    "account.refusedSince ??= now;",
    "account.refusedSince ??= account.arrived;",
  ),
  mutant(
    "exai: a new execution has the old one's limit",
    "ledger",
    "account.isHeld = false;\n    account.daemonUntil = Infinity;\n  }",
    "account.isHeld = false;\n  }",
  ),
  mutant(
    "exai: the progress of a new execution begins anew",
    "exai_call",
    "this.open(request).progress = progress;",
    "this.open(request).progress = progress * 0;",
  ),
  mutant(
    "exai: an error to list_tools with an id of the daemon's own is nobody's",
    "exai",
    "!this.#calls.isOurs(frame.request_id)",
    'typeof frame.request_id !== "string"',
  ),
  mutant(
    "exai: a tool's own status and content are unwrapped",
    "tool_output",
    "Object.keys(output).every((name) => MEMBERS.includes(name))",
    "MEMBERS.length > 0",
  ),
  mutant(
    "pool: who waits for it has no time of its own when the daemon is back",
    "tend",
    '    desk.isPoolExcused = true;\n    wait(desk, "pool", now);',
    "",
  ),
  mutant(
    "pool: every main link excuses it again",
    "tend",
    " && !desk.isPoolExcused) {",
    ") {",
  ),
  mutant(
    "pool: a refusal is forgotten with its link",
    "link",
    'if (this.role !== "pool" || this.#refusal) return state.until;',
    'if (this.role !== "pool") return state.until;',
  ),
  mutant(
    "pool: a link that slept with a call is never probed",
    "tend",
    "if (link.pulse?.isOwed && dialect.isFree(link.epoch)) {",
    "if (link.pulse?.isOwed && now < 0) {",
  ),
  mutant(
    "pool: a link that slept with a call must be free at once",
    "pulse",
    'this.#probeUntil = carries === "a call" ? Infinity : now + ms;',
    "this.#probeUntil = now + ms;",
  ),
  mutant(
    "exai: what a tool says itself is taken for the daemon's wrapping",
    "tool_output",
    "Object.keys(output).every((name) => MEMBERS.includes(name));",
    'Object.hasOwn(output, "metadata");',
  ),
  mutant(
    "exai: a summary that is joined to the text stays",
    "tool_output",
    "return isJoined ? [last.slice(0, at)] : blocks;",
    "return blocks;",
  ),
  mutant(
    "exai: the tools are spelled anew",
    "exai_frame",
    'const span = isSame ? locate(text, ["tools"]) : undefined;',
    "const span = undefined;",
  ),
  mutant(
    "exai: what will never fit is tried again",
    "exai_call",
    "if (code === OVER_CAPACITY && /too large/i.test(message)) {",
    "if (code === OVER_CAPACITY && /never/.test(message)) {",
  ),
  mutant(
    "the daemon is blamed for a call that waited for its turn",
    "desk",
    "return this.links.isUp && missing?.lastFailure === undefined;",
    "return false;",
  ),
  mutant(
    "a secret that the daemon quotes is shown",
    "desk",
    'it.replaceAll(secret, "***")',
    "it.replaceAll(secret, secret)",
  ),
  mutant(
    "pool: its last link goes, and who waits has no time left",
    "tend",
    '  if (!desk.links.hasReady("pool")) wait(desk, "pool", now);\n  settle',
    "  settle",
  ),
  mutant(
    "pool: its last link goes, and who waits is not told of a refusal",
    "tend",
    "  settleRefused(desk, now);\n  // The daemon",
    "  // The daemon",
  ),
  mutant(
    "pool: room that was given back is not taken",
    "tend",
    'for (const other of desk.links) if (other.role === "pool") other.hurry(now);',
    "",
  ),
  mutant(
    "pool: a link that may be dead is waited for",
    "tend",
    '(phase !== "ready" || dialect.isFree(epoch) || dialect.isAsking(epoch))',
    "phase.length > 0",
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
    'else if (link.role === "pool") return retire(desk, link, now);',
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
    "  link.used(now);\n  desk.reply(text);",
    "  desk.reply(text);",
  ),
  mutant(
    "pool: silence is a verdict while a call runs elsewhere",
    "pulse",
    '      case "elsewhere":\n        return Infinity;',
    '      case "elsewhere":\n        return this.#probeUntil ?? silent;',
  ),
  mutant(
    "pool: a probe is not excused when the daemon speaks again",
    "doubt",
    "if (other !== link) other.pulse?.excused(now);",
    "",
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
    "queue",
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
