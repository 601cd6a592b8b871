/**
 * Do the tests have teeth? Each mutant is a deliberate bug in a copy of the
 * pure rooms; the seeded worlds or the tables must find it.
 *
 *     deno task mutants [PART OF A NAME]
 *
 * @module
 */

import { EXAI_MUTANTS, type Mutant, mutant } from "./exai_mutants.ts";
import { print } from "./ws_transport.ts";

const MUTANTS: readonly Mutant[] = [
  ...EXAI_MUTANTS,
  mutant(
    "no epoch guard",
    "links",
    "return epoch === undefined ? undefined : this.#byEpoch.get(epoch);",
    "return epoch === undefined ? undefined : this.#byEpoch.get(epoch) ?? this.first;",
  ),
  mutant(
    "a sent tools/call is sent again",
    "safety",
    "return params.task === undefined && hinted(params.name);",
    "return params.task === undefined;",
  ),
  mutant(
    "what is in flight is dropped silently",
    "tend",
    "for (const { message, ...entry } of given) {",
    "for (const { message, ...entry } of given.slice(0, 0)) {",
  ),
  mutant(
    "late answers are forwarded",
    "from_daemon",
    'return desk.do(report.stray("daemon", `an answer to id ${id}`));',
    "return desk.reply(answer.text);",
  ),
  mutant(
    'ids 1 and "1" are one',
    "jsonrpc",
    'if (typeof id === "string") return JSON.stringify(id);',
    'if (typeof id === "string") return /^\\d+$/.test(id) ? id : JSON.stringify(id);',
  ),
  mutant(
    "no total deadline",
    "ledger",
    "totalUntil: isRequest ? now + this.#limits.requestTimeout : Infinity,",
    "totalUntil: Infinity,",
  ),
  mutant(
    "no queue deadline",
    "ledger",
    "      queuedUntil: now + this.#limits.queueTimeout,",
    "      queuedUntil: Infinity,",
  ),
  mutant(
    "no idle deadline",
    "ledger",
    "    account.sentOn = epoch;\n    account.idleUntil = now + this.#limits.idleTimeout;",
    "    account.sentOn = epoch;",
  ),
  mutant(
    "no probe: blind to half-open links",
    "link",
    "state.heard + this.#limits.pingInterval,",
    "Infinity,",
  ),
  mutant(
    "a probe needs no answer",
    "link",
    "    const probe = state.probe ?? now + this.#limits.pingTimeout;\n    this.#state = { ...state, probe };",
    "    void now; this.#state = { ...state, heard: now };",
  ),
  mutant(
    "no dial timeout",
    "link",
    "      until: now + this.#limits.handshakeTimeout,\n      next",
    "      until: Infinity,\n      next",
  ),
  mutant(
    "no greeting timeout",
    "link",
    'phase: "greeting",\n      until: now + this.#limits.handshakeTimeout,',
    'phase: "greeting",\n      until: 1e9,',
  ),
  mutant(
    "the back-off is forgiven when the socket opens",
    "link",
    'this.#subprotocol = this.offersSubprotocol ? "agreed" : "declined";',
    'this.#failures = 0; this.#subprotocol = this.offersSubprotocol ? "agreed" : "declined";',
  ),
  mutant(
    "the back-off is never forgiven",
    "link",
    "if (now - state.since >= STABLE_MS) this.#failures = 0;",
    "",
  ),
  mutant(
    "no replay of initialize",
    "mcp",
    "if (this.#agreed !== undefined) return { text: this.#replay(epoch) };",
    'if (this.#agreed !== undefined) return { text: this.#ask(epoch, { kind: "opening probe" }, "ping") };',
  ),
  mutant(
    "the replay asks for the client's version again",
    "mcp",
    'if (typeof version !== "string") return text;',
    'if (typeof version === "string") return text;',
  ),
  mutant(
    "no replay of initialized",
    "mcp",
    "if (this.#initialized !== undefined) toDaemon.push(this.#initialized);",
    "",
  ),
  mutant(
    "no replay of the log level",
    "mcp",
    "this.#level = request.text;",
    "",
  ),
  mutant(
    "unsubscribed is subscribed again",
    "mcp",
    'if (typeof uri === "string") this.#subscriptions.delete(uri);',
    "",
  ),
  mutant(
    "another protocol version is taken",
    "mcp",
    "if (version === this.#agreed?.version) return",
    "if (version !== undefined) return",
  ),
  mutant(
    "listChanged is not announced",
    "mcp",
    "return announce(answer);",
    "return answer.text;",
  ),
  mutant(
    "id 0 is no id",
    "jsonrpc",
    "if (id === undefined) {\n    return invalid(",
    'if (id === undefined || id === "0") {\n    return invalid(',
  ),
  mutant(
    "the greeting need not be answered",
    "tend",
    "  link.greeted(now);\n",
    "  link.greeted(now);\n  if (greeting.request === undefined) ready(desk, link, now);\n",
  ),
  mutant(
    "the queue is written in another order",
    "tend",
    "for (const entry of ledger.queue()) {",
    "for (const entry of [...ledger.queue()].reverse()) {",
  ),
  mutant(
    "a third try",
    "ledger",
    "export const LOSS_LIMIT = 2;",
    "export const LOSS_LIMIT = 3;",
  ),
  mutant(
    "cancelled is answered all the same",
    "from_client",
    "  desk.ledger.cancel(id);\n  if (link",
    "  if (link",
  ),
  mutant(
    "a cancel does not reach the daemon",
    "from_client",
    "const frame = isCarried ? notification.text : undefined;",
    "const frame = isCarried ? undefined : undefined;",
  ),
  mutant(
    "initialize can be cancelled",
    "from_client",
    'if (id === undefined || owed?.message.method === "initialize") return;',
    "if (id === undefined) return;",
  ),
  mutant(
    "a duplicate id is asked again",
    "from_client",
    "return desk.do(report.duplicate(request));",
    "",
  ),
  mutant(
    "a duplicate id is answered with an error",
    "from_client",
    "return desk.do(report.duplicate(request));",
    'return desk.reply(failure(request.id, Code.invalidRequest, "duplicate"));',
  ),
  mutant(
    "stray progress passes",
    "from_daemon",
    "if (!isRising) text = undefined;",
    "void isRising;",
  ),
  mutant(
    "progress need not rise",
    "ledger",
    "if (!(value > account.progress)) return false;",
    "",
  ),
  mutant(
    "progress moves nothing",
    "ledger",
    "    account.idleUntil = now + this.#limits.idleTimeout;\n    if (!(value",
    "    if (!(value",
  ),
  mutant(
    "the daemon's ids are not rewritten",
    "asked",
    "const id = JSON.stringify(`e${epoch}:${++this.#count}`);",
    "void epoch; const id = request.id;",
  ),
  mutant(
    "questions outlive their daemon",
    "asked",
    "      this.#open.delete(id);\n      ids.push(id);",
    "      void id;",
  ),
  mutant(
    "a refusal is like any failure",
    "link",
    "if (loss.refused) {\n      const until",
    "if (loss.refused && now < 0) {\n      const until",
  ),
  mutant(
    "who waits is not told of a refusal",
    "tend",
    "text === undefined && missing?.refusal !== undefined",
    'text === undefined && missing?.refusal === ""',
  ),
  mutant(
    "nobody's waiting hurries a dial",
    "link",
    "if (isWanted) return Math.min(state.soon, state.until);",
    "if (isWanted) return state.until;",
  ),
  mutant(
    "accept-and-close is dialed on demand",
    "link",
    "return { until, soon: until };\n    }\n    const demand",
    "return { until, soon: Math.min(until, now + DEMAND_MS) };\n    }\n    const demand",
  ),
  mutant(
    "dials on demand advance the table",
    "link",
    "const isAhead = left.next > now;",
    "const isAhead = left.next > now && now < 0;",
  ),
  mutant(
    "chance shortens a pause",
    "link",
    "* (1 + JITTER * random());",
    "* (1 - JITTER * random());",
  ),
  mutant(
    "the subprotocol is left out for ever",
    "link",
    'if (this.#subprotocol === "left out") this.#subprotocol = "offered";',
    "",
  ),
  mutant(
    "every attempt is logged",
    "tend",
    'isLogged(attempt) ? "warn" : "debug"',
    'isLogged(attempt) ? "warn" : "warn"',
  ),
  mutant(
    "the end does not wait for what is owed",
    "session",
    "export const DRAIN_MS = 1_500;",
    "export const DRAIN_MS = 1;",
  ),
  mutant(
    "the end waits although nothing is owed",
    "session",
    "if (isLeaving && (this.owed === 0 || now >= this.#drainUntil)) {",
    "if (isLeaving && now >= this.#drainUntil) {",
  ),
  mutant(
    "what is owed at the end is not answered",
    "session",
    'if (message.kind === "notification") continue;',
    'if (message.kind !== "notification") continue;',
  ),
  mutant(
    "the queue has no limit",
    "ledger",
    "return this.#queue.size >= this.#limits.queueLimit ||",
    "return",
  ),
  mutant(
    "an answer may have any size",
    "from_daemon",
    "  if (text.length > maxMessage) {\n    text = fault",
    "  if (text.length > maxMessage * 1e9) {\n    text = fault",
  ),
  mutant(
    "a malformed answer is swallowed",
    "from_daemon",
    "  desk.reply(failure(id, Code.internal, text));\n",
    "",
  ),
  mutant(
    "a frame leaves with its line breaks",
    "jsonrpc",
    'return /[\\r\\n]/.test(text) ? text.replace(/[\\r\\n]+/g, " ").trim() : text;',
    "return text;",
  ),
  mutant(
    "lists are not compared",
    "catalog",
    'return { kind: isSame ? "same" : "changed" };',
    'return { kind: isSame ? "same" : "same" };',
  ),
  mutant(
    "every list has changed",
    "catalog",
    'return { kind: isSame ? "same" : "changed" };',
    'return { kind: isSame ? "changed" : "changed" };',
  ),
  mutant(
    "a bug of ours ends the program",
    "desk",
    "      this.do(report.bug(error));\n      mend();",
    "      throw error;",
  ),
  mutant(
    "what the proxy itself asks is no excuse for silence",
    "desk",
    'isAsking(epoch) ? "restoring" : "idle"',
    'isAsking(epoch) ? "idle" : "idle"',
  ),
  mutant(
    "what was cancelled is no excuse for silence",
    "link",
    "this.#state = { ...state, abandonedUntil };",
    "void abandonedUntil;",
  ),
  mutant(
    "what was cancelled excuses an idle link",
    "link",
    'if (load !== "busy") return state.probe;',
    'if (load === "restoring") return state.probe;',
  ),
  mutant(
    "the client's ping proves nothing",
    "tend",
    "if (isProbe) link.probed(now);",
    "void isProbe;",
  ),
  mutant(
    "a ping waits for the next daemon",
    "tend",
    'let text = desk.dialect.local(message, "down");',
    'let text = desk.dialect.local(message, "up");',
  ),
  mutant(
    "an initialize that expired is cancelled",
    "session",
    "if (entry.isGreeting) {",
    "if (entry.isGreeting && now < 0) {",
  ),
  mutant(
    "what may have been executed is retryable",
    "fault",
    'return deliveryOf(fate) === "no" || fate.isSafe;',
    "return true;",
  ),
  mutant(
    "what was lost was not delivered",
    "fault",
    'return isSent || losses > 0 ? "unknown" : "no";',
    'return isSent ? "unknown" : "no";',
  ),
  mutant(
    "a bug in the way of an answer loses it",
    "from_daemon",
    "const owed = desk.ledger.settle(incoming.id, event.epoch);\n          if (owed === undefined) return;",
    "if (now >= 0) return;",
  ),
  mutant(
    "giving up although a daemon waits for the client",
    "links",
    "return this.isUp || main.isUngreeted ? Infinity : main.downSince;",
    "return this.isUp ? Infinity : main.downSince;",
  ),
  mutant(
    "the queue's clock runs on while a link is ready",
    "ledger",
    'if (isQueued(account) && clock(account.message) === "stands") {',
    'if (isQueued(account) && clock(account.message) !== "stands") {',
  ),
  mutant(
    "a log line has any number of lines",
    "report",
    '.replace(/[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029]+/g, " ")',
    '.replace(/[\\x00]+/g, " ")',
  ),
  mutant(
    "the daemon's questions have any size",
    "from_daemon",
    "if (length <= desk.config.maxMessage) {",
    "if (length >= 0) {",
  ),
  mutant(
    "what waits again comes last",
    "ledger",
    "this.#queue = new Set(all.filter(({ sentOn }) => sentOn === undefined));",
    "void all;",
  ),
  mutant(
    "refused once is refused for ever",
    "link",
    "    this.#refusal = undefined;\n    this.#subprotocol",
    "    this.#subprotocol",
  ),
  mutant(
    "a bug at a deadline is tried in a hot loop",
    "session",
    "return Math.max(at, this.#restUntil);",
    "return at;",
  ),
  mutant(
    "an id inside params is taken for the request's",
    "jsonrpc",
    "const ID_LAST = new RegExp(`[,{]\\\\s*${ID}\\\\}\\\\s*$`);",
    "const ID_LAST = new RegExp(`[,{]\\\\s*${ID}\\\\}+\\\\s*$`);",
  ),
  mutant(
    "a client that does not read is flooded again",
    "session",
    "    return this.#isClogged\n",
    "    return this.#isClogged && this.#isOver\n",
  ),
  mutant(
    "every ping begins the verdict anew",
    "link",
    "const probe = state.probe ?? now + this.#limits.pingTimeout;",
    "const probe = now + this.#limits.pingTimeout;",
  ),
  mutant(
    "pings are load",
    "ledger",
    'const isCall = message.method !== "ping";',
    'const isCall = message.method !== "";',
  ),
  mutant(
    "time with a slow reader is the daemon's",
    "session",
    "    if (this.#isClogged) return Infinity;\n",
    "",
  ),
];

const ROOT = new URL("../../", import.meta.url).pathname;

async function copy(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (isDirectory) await copy(`${from}/${name}`, `${to}/${name}`);
    else await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
  }
}

async function passes(folder: string, ...files: string[]): Promise<boolean> {
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: [
      "test",
      ...["--no-check", "--quiet", "--fail-fast", "--cached-only"],
      ...["--allow-read", ...files],
    ],
    cwd: folder,
    stdout: "null",
    stderr: "null",
  }).output();
  return success;
}

const WORLDS = "tests/pure/session_fuzz_test.ts";
/** Fewer worlds than the suite lives through: a mutant that needs more is a table's to find. */
const FEWER = [["WORLDS = 9_000;", "WORLDS = 600;"], [
  "EXAI_WORLDS = 1_500;",
  "EXAI_WORLDS = 200;",
]] as const;

/** Who finds the mutant, or `undefined`. */
async function judge({ file, from, to }: Mutant): Promise<string | undefined> {
  const folder = await Deno.makeTempDir({ prefix: "mutant-" });
  try {
    for (const name of ["lib", "tests/pure", "tests/tools"]) {
      await copy(`${ROOT}${name}`, `${folder}/${name}`);
    }
    for (const name of ["deno.json", "deno.lock"]) {
      await Deno.copyFile(`${ROOT}${name}`, `${folder}/${name}`);
    }
    const source = await Deno.readTextFile(`${folder}/${file}`);
    if (source.split(from).length !== 2) return undefined;
    await Deno.writeTextFile(
      `${folder}/${file}`,
      source.replace(from, () => to),
    );
    let worlds = await Deno.readTextFile(`${folder}/${WORLDS}`);
    for (const [many, few] of FEWER) worlds = worlds.replace(many, few);
    await Deno.writeTextFile(`${folder}/${WORLDS}`, worlds);
    if (!await passes(folder, WORLDS)) return "worlds";
    if (!await passes(folder, "tests/pure")) return "tables";
    return undefined;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const chosen = MUTANTS.filter(({ name }) => name.includes(Deno.args[0] ?? ""));
const stale = [];
for (const { name, file, from } of chosen) {
  const source = await Deno.readTextFile(ROOT + file);
  if (source.split(from).length !== 2) stale.push(name);
}
if (stale.length > 0) {
  print(`These mutants no longer fit the source:\n${stale.join("\n")}`);
  Deno.exit(1);
}
if (!await passes(ROOT, "tests/pure")) {
  print("The tests fail without any mutant");
  Deno.exit(1);
}
const queue = [...chosen];
const survivors: string[] = [];
async function work(): Promise<void> {
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const killer = await judge(next);
    if (killer === undefined) survivors.push(next.name);
    print(`${(killer ?? "SURVIVED").padEnd(8)}  ${next.name}`);
  }
}
await Promise.all(
  Array.from({ length: navigator.hardwareConcurrency }, () => work()),
);
print(
  `${chosen.length - survivors.length} of ${chosen.length} mutants were found`,
);
Deno.exit(survivors.length === 0 ? 0 : 1);
