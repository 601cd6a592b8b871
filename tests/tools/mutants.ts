/**
 * Do the tests have teeth? Each mutant is a deliberate bug in a copy of the
 * pure rooms; the seeded worlds or the tables must find it.
 *
 *     deno task mutants [PART OF A NAME]
 *
 * @module
 */

import { ROOT } from "./bundle.ts";
import { COMMAND_MUTANTS } from "./command_mutants.ts";
import { EARLY_MUTANTS } from "./early_mutants.ts";
import { EXAI_MUTANTS, type Mutant, mutant } from "./exai_mutants.ts";
import { print } from "./print.ts";

const MUTANTS: readonly Mutant[] = [
  ...EXAI_MUTANTS,
  ...EARLY_MUTANTS,
  ...COMMAND_MUTANTS,
  mutant(
    "a task's progress ends with its request",
    "from_daemon",
    "      desk.tasks.progress(token, value, link.epoch);",
    "      false;",
  ),
  mutant(
    "a task's progress never ends",
    "tasks",
    'if (id === dig(state, "taskId")) this.#open.delete(token);',
    "void id; void token;",
  ),
  mutant(
    "a task's progress outlives its daemon",
    "tasks",
    "task?.epoch === epoch && typeof value",
    "task !== undefined && epoch > 0 && typeof value",
  ),
  mutant(
    "no epoch guard",
    "links",
    "return epoch === undefined ? undefined : this.#byEpoch.get(epoch);",
    "return epoch === undefined ? undefined : this.#byEpoch.get(epoch) ?? this.main;",
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
    "account",
    "totalUntil: now + (limits.total?.ms ?? Infinity),",
    "totalUntil: Infinity,",
  ),
  mutant(
    "no queue deadline",
    "account",
    "    queuedUntil: now + queueMs,",
    "    queuedUntil: Infinity,",
  ),
  mutant(
    "no idle deadline",
    "ledger",
    "    account.sentAt = now;\n    account.idleUntil = now + account.limits.idle.ms;",
    "    account.sentAt = now;",
  ),
  mutant(
    "no probe: blind to half-open links",
    "pulse",
    "        return patient ?? silent;",
    "        return patient ?? Infinity;",
  ),
  mutant(
    "a probe needs no answer",
    "pulse",
    "    this.#probeUntil ??= now + ms;",
    "    void ms; this.#heardAt = now;",
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
    'if (now >= forgivenAt && this.role !== "second") this.#failures = 0;',
    "",
  ),
  mutant(
    "a daemon without an opinion is asked for it as often as ever",
    "link",
    'if (now >= forgivenAt && this.role !== "second") this.#failures = 0;',
    "if (now >= forgivenAt) this.#failures = 0;",
  ),
  mutant(
    "a daemon that answers no ping gets nothing after a sleep",
    "tend",
    'if (phase === "ready" && !pulse?.isConcurrent) pulse?.trusted();',
    "",
  ),
  mutant(
    "a connection that slept is trusted although the daemon is gone",
    "tend",
    'if (phase === "ready" && !pulse?.isConcurrent) pulse?.trusted();',
    "pulse?.trusted();",
  ),
  mutant(
    "nobody asks for an opinion when there is room again",
    "session",
    "    seek(desk, now);",
    "",
  ),
  mutant(
    "what the daemon does not read has no bound",
    "tend",
    " && !desk.unread.has(epoch),",
    ",",
  ),
  mutant(
    "what is held has no bound",
    "queue",
    "isStanding(method) ? 2 : 1;",
    "isStanding(method) ? Infinity : 1;",
  ),
  mutant(
    "a client that answers nothing is asked for ever",
    "asked",
    "return this.#open.size >= LIMIT;",
    "return false;",
  ),
  mutant(
    "a limit is named roughly",
    "fault",
    "return ms % 100 === 0 ? seconds(ms) : `${ms / 1000} s`;",
    "return seconds(ms);",
  ),
  mutant(
    "no replay of initialize",
    "mcp",
    "return { text: replay(this.#agreed, id) };",
    'void id; return { text: this.#ask(epoch, { kind: "opening probe" }, "ping") };',
  ),
  mutant(
    "the replay asks for the client's version again",
    "agreement",
    'if (typeof version !== "string") return text;',
    'if (typeof version === "string") return text;',
  ),
  mutant(
    "no replay of initialized",
    "mcp",
    "return this.#initialized === undefined ? [] : [this.#initialized];",
    "return this.#initialized === undefined ? [] : [];",
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
    "agreement",
    "if (version === told) {\n",
    "if (version !== undefined) {\n",
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
    "    account.idleUntil = now + account.limits.idle.ms;\n    account.said = { at: now, value };",
    "    account.said = { at: now, value };",
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
    "if (missing?.refusal === undefined || isStanding",
    "if (missing !== undefined || isStanding",
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
    "if (isLeaving && (desk.due === 0 || now >= this.#drainUntil)) {",
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
    "queue",
    "return size >= this.#limits.queueLimit * share ||",
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
    "the client's ping proves nothing",
    "tend",
    'if (isProbe) link.pulse?.probed(now, "idle");',
    "void isProbe;",
  ),
  mutant(
    "a ping in flight waits for the next daemon",
    "tend",
    "    desk.ledger.cancel(request.id);\n    desk.reply(text);",
    "    void text;",
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
    "output",
    'text.replace(UNTAMED, " ")',
    "text",
  ),
  mutant(
    "the daemon's questions have any size",
    "from_daemon",
    "if (length <= desk.config.maxMessage) {",
    "if (length >= 0) {",
  ),
  mutant(
    "what waits again comes last",
    "queue",
    "this.#accounts = new Set(all.filter(({ sentOn }) => sentOn === undefined));",
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
    "pulse",
    "    this.#probeUntil ??= now + ms;",
    "    this.#probeUntil = now + ms;",
  ),
  mutant(
    "pings are load",
    "ledger",
    "const isCall = !isLight(message.method);",
    'const isCall = message.method !== "";',
  ),
  mutant(
    "time with a slow reader is the daemon's",
    "session",
    "    if (this.#isClogged) return Infinity;\n",
    "",
  ),
  mutant(
    "a provider's limit is nobody's",
    "deadline",
    "const found = longest.filter(({ name }) => beginningOf(name).test(text));",
    "const found = longest.filter(({ name }) => name === text);",
  ),
  mutant(
    "the tool's name counts before the model",
    "deadline",
    '[dig(params, "arguments", "model"), dig(params, "name")]',
    '[dig(params, "name"), dig(params, "arguments", "model")]',
  ),
  mutant(
    "the shorter name wins",
    "deadline",
    "b.name.length - a.name.length",
    "a.name.length - b.name.length",
  ),
  mutant(
    "--request-timeout counts before the provider",
    "deadline",
    "const total = slow === undefined",
    "const total = slow === undefined || requestTimeout < Infinity",
  ),
  mutant(
    "another program's bad value is a mistake",
    "config",
    "      warnings.push(`${variable}:",
    "      throw new Error(`${variable}:",
  ),
  mutant(
    "the daemon's limit counts beside the user's",
    "ledger",
    "    if (account.totalUntil < Infinity) return;\n",
    "",
  ),
  mutant(
    "the circuit is never open",
    "desk",
    "return now - this.links.downSince > this.config.queueTimeout;",
    "return now < 0;",
  ),
  mutant(
    "the circuit is always open",
    "desk",
    "return now - this.links.downSince > this.config.queueTimeout;",
    "return now >= 0;",
  ),
  mutant(
    "nobody is told what it waits for",
    "queue",
    "if (now < account.tellAt || token === undefined) continue;",
    "if (now < account.tellAt * 1e9 || token === undefined) continue;",
  ),
  mutant(
    "the telling is more than the daemon's own progress",
    "account",
    "TELL_STEP = 1e-6;",
    "TELL_STEP = 1;",
  ),
  mutant(
    "told while a link is ready",
    "queue",
    'if (clock(message) === "stands") continue;',
    "",
  ),
  mutant(
    "silence during a call is a verdict",
    "pulse",
    'if (load !== "busy") return "give up";',
    'if (load !== "restoring") return "give up";',
  ),
  mutant(
    "a silent link with a call is never doubted",
    "pulse",
    "          : Math.max(this.#probeUntil, silent + pingTimeout);",
    "          : Infinity;",
  ),
  mutant(
    "no trial after the first call",
    "pulse",
    "    if (!this.#hasTried) this.#trialAt = now + TRIAL_MS;",
    "",
  ),
  mutant(
    "any pong shows a concurrent link",
    "doubt",
    "if (isOvertaken) pulse.overtook();",
    "pulse.overtook();",
  ),
  mutant(
    "no pong shows a concurrent link",
    "doubt",
    "if (isOvertaken) pulse.overtook();",
    "",
  ),
  mutant(
    "what was written behind the probe counts",
    "doubt",
    "entry.sentAt < pulse.probedAt",
    "pulse.probedAt > 0",
  ),
  mutant(
    "a second opinion without a ping",
    "tend",
    'if (link.role === "second") return probe(desk, link, now);',
    'if (link.role === "second") return desk.links.second && void desk.links.promote(link);',
  ),
  mutant(
    "a busy daemon's link is given up with its calls",
    "doubt",
    "if (old.pulse?.isConcurrent || desk.dialect.poolSize > 0) {",
    "if (old.pulse !== undefined) {",
  ),
  mutant(
    "a dead link is kept",
    "doubt",
    "if (old.pulse?.isConcurrent || desk.dialect.poolSize > 0) {",
    "if (old.pulse === undefined) {",
  ),
  mutant(
    "the verdict does not wait",
    "pulse",
    "VERDICT_MS = 1_000;",
    "VERDICT_MS = 0;",
  ),
  mutant(
    "a sign of life does not end the doubt",
    "pulse",
    "    this.#probeUntil = undefined;\n    this.#isDoubted = false;\n    this.#accusedUntil = undefined;\n    this.#isStale = this.#isOwed = false;",
    "    this.#probeUntil = undefined;\n    this.#isStale = this.#isOwed = false;",
  ),
  mutant(
    "an opinion that nobody wants any more stays",
    "doubt",
    "if (link === main && second !== undefined) retire(desk, second, now);",
    "",
  ),
  mutant(
    "calls go to a link that is doubted",
    "link",
    "      !(pulse.isDoubted && pulse.isConcurrent);",
    "      true;",
  ),
  mutant(
    "kept connections are not closed",
    "link",
    'if (this.role === "kept") return load === "busy" ? Infinity : -Infinity;',
    'if (this.role === "kept") return Infinity;',
  ),
  mutant(
    "any number of connections is kept",
    "doubt",
    "KEPT_LIMIT = 16;",
    "KEPT_LIMIT = 99;",
  ),
  mutant(
    "calls expire because of a sleep",
    "session",
    "    desk.ledger.shift(gap);\n",
    "",
  ),
  mutant(
    "a sleep does not make a call older",
    "session",
    "    desk.dialect.slept(unseen);\n",
    "",
  ),
  mutant(
    "a link that slept is trusted",
    "link",
    "pulse !== undefined && !pulse.isStale &&",
    "pulse !== undefined &&",
  ),
  mutant(
    "what lay in a buffer is a sign of life",
    "pulse",
    "if (!this.#isStale || this.#isDoubted) this.answered(now);",
    "this.answered(now);",
  ),
  mutant(
    "a link that slept and is doubted must answer its probe",
    "pulse",
    "if (!this.#isStale || this.#isDoubted) this.answered(now);",
    "if (!this.#isStale) this.answered(now);",
  ),
  mutant(
    "exai: a probe from before a sleep is a sign of life after it",
    "exai",
    'line.outstanding = { kind: "health", isProbe: false };\n    }',
    "line.outstanding = { ...line.outstanding };\n    }",
  ),
  mutant(
    "a link that slept has five seconds",
    "pulse",
    "this.#isStale ? Math.min(RESUME_MS, pingTimeout) : pingTimeout",
    "pingTimeout",
  ),
  mutant(
    "a pause goes on after a sleep",
    "link",
    "const until = this.#refusal === undefined ? now : state.until + ms;",
    "const until = state.until + ms;",
  ),
  mutant(
    "a late timer is no sleep",
    "naps",
    "const gap = late > NAP_MS ? since : 0;",
    "const gap = 0;",
  ),
  mutant(
    "the wall's clock is not looked at",
    "naps",
    "const unseen = ahead > NAP_MS ? ahead : 0;",
    "const unseen = 0;",
  ),
  mutant(
    "what broke the socket is asked for again",
    "tend",
    "loss.tooLarge && !isStanding(request.method)",
    'loss.tooLarge === "request" && !isStanding(request.method)',
  ),
  mutant(
    "what was due first expires because of a sleep",
    "naps",
    "const gap = late > NAP_MS ? since : 0;",
    "const gap = late > NAP_MS ? late : 0;",
  ),
  mutant(
    "a stale link is not probed while calls run elsewhere",
    "pulse",
    "if (this.#isStale) return this.#probeUntil ?? this.#heardAt;",
    'if (this.#isStale && load === "idle") return this.#probeUntil ?? this.#heardAt;',
  ),
  mutant(
    "the trial is spent on a request that is answered at once",
    "pulse",
    "    if (!this.#hasTried) this.#trialAt = now + TRIAL_MS;",
    "    if (!this.#hasTried) this.#trialAt ??= now + TRIAL_MS;",
  ),
  mutant(
    "initialized is lost on a link that is doubted",
    "from_client",
    'desk.links.main.phase !== "ready"',
    "!desk.links.isUp",
  ),
  mutant(
    "--give-up-after counts doubt",
    "links",
    'return this.main.phase === "ready" ? Infinity : this.downSince;',
    "return this.downSince;",
  ),
  mutant(
    "a link that was left is attended",
    "session",
    "if (desk.links.has(link)) this.#attend(link, now);",
    "this.#attend(link, now);",
  ),
  mutant(
    "every pong puts the verdict off",
    "pulse",
    "this.#accusedUntil ??= now + VERDICT_MS;",
    "this.#accusedUntil = now + VERDICT_MS;",
  ),
  mutant(
    "a batch meets a full queue",
    "from_client",
    "  flush(desk, now);\n  return",
    "  return",
  ),
  mutant(
    "the second's state is not told",
    "links",
    "return this.second ?? this.main;",
    "return this.main;",
  ),
  mutant(
    "broadcasts are told twice",
    "from_daemon",
    "isKeptBroadcast(link, method)",
    "method.length === 0",
  ),
  mutant(
    "an open circuit waits for the table",
    "from_client",
    "if (desk.isOpen(now) && !desk.isCalling) desk.links.main.hurry(now);",
    "",
  ),
  mutant(
    "what is held for ever keeps a call from dialing at once",
    "from_client",
    "desk.isOpen(now) && !desk.isCalling",
    "desk.isOpen(now) && !desk.ledger.isWanting",
  ),
  mutant(
    "a greeting that slept has all its time",
    "link",
    "const newsBy = sleptMs > LONG_SLEEP_MS ? now + RESUME_MS : Infinity;",
    "const newsBy = Infinity; void sleptMs;",
  ),
  mutant(
    "a provider's idle limit hides another's total",
    "deadline",
    "const slow = providers.find(({ total }) => total < Infinity);",
    "const slow = providers[0];",
  ),
  mutant(
    "a call has the limit of a provider that it does not belong to",
    "deadline",
    "const slow = providers.find(({ total }) => total < Infinity);",
    "const slow = providersOf(message, config.providers.filter(({ total }) => total < Infinity))[0];",
  ),
  mutant(
    "what a broken sink was to write still waits",
    "stdio",
    "      this.#pending = [];\n      this.#size = 0;",
    "      this.#pending = [];",
  ),
  mutant(
    "a bare sign that the daemon took a call is room for it",
    "ledger",
    "    account.said = { at: now, value: account.said?.value };",
    "    account.said = { at: now, value: account.said?.value };\n    account.refusedSince = undefined;",
  ),
  mutant(
    "a duplicate is asked about without end",
    "ledger",
    "      this.limit(id, limitMs, now);",
    "      void limitMs;",
  ),
  mutant(
    "a link that failed its probe is written to when the second dial fails",
    "pulse",
    "    this.#accusedUntil = undefined;\n  }\n\n  /** It need",
    "    this.#accusedUntil = undefined;\n    this.#isStale = false;\n  }\n\n  /** It need",
  ),
  mutant(
    "a control link of a pool is never doubted",
    "desk",
    'const mayDoubt = role === "main";',
    'const mayDoubt = role === "main" && this.dialect.poolSize === 0;',
  ),
];

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

const tables: string[] = [];
for await (const { name } of Deno.readDir(`${ROOT}tests/pure`)) {
  if (!WORLDS.endsWith(name)) tables.push(`tests/pure/${name}`);
}

/** Who finds the mutant, or `undefined`; without one, what fails by itself. */
async function judge(mutant?: Mutant): Promise<string | undefined> {
  const folder = await Deno.makeTempDir({ prefix: "mutant-" });
  try {
    for (const name of ["lib", "tests/pure", "tests/tools"]) {
      await copy(`${ROOT}${name}`, `${folder}/${name}`);
    }
    for (const name of ["deno.json", "deno.lock"]) {
      await Deno.copyFile(`${ROOT}${name}`, `${folder}/${name}`);
    }
    if (mutant !== undefined) {
      const file = `${folder}/${mutant.file}`;
      const source = await Deno.readTextFile(file);
      const broken = source.replace(mutant.from, () => mutant.to);
      await Deno.writeTextFile(file, broken);
    }
    let worlds = await Deno.readTextFile(`${folder}/${WORLDS}`);
    for (const [many, few] of FEWER) worlds = worlds.replace(many, few);
    await Deno.writeTextFile(`${folder}/${WORLDS}`, worlds);
    // The tables take a second, the worlds three.
    if (!await passes(folder, ...tables)) return "tables";
    if (!await passes(folder, WORLDS)) return "worlds";
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
if (await judge() !== undefined) {
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
