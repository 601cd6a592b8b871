/**
 * Deliberate bugs in what a client gets before its daemon is there, and in the
 * stateless era.
 *
 * @module
 */

import { type Mutant, mutant } from "./exai_mutants.ts";

export const EARLY_MUTANTS: readonly Mutant[] = [
  mutant(
    "early: a memory for another version is used",
    "memory",
    "        ? this.#initialize[asked]\n",
    "        ? Object.values(this.#initialize)[0]\n",
  ),
  mutant(
    "early: an answer to another question is kept for the client's",
    "agreement",
    "const news = question === askedBy(request)\n",
    "const news = question !== askedBy\n",
  ),
  mutant(
    "early: an empty list of tools over a full one",
    "memory",
    "return Array.isArray(tools) && tools.length === 0;",
    "return Array.isArray(tools) && tools.length < 0;",
  ),
  mutant(
    "early: half a list is remembered",
    "memory",
    "      this.#pages.set(key, { cursor: nextCursor, items: all });\n      return false;",
    "      this.#pages.set(key, { cursor: nextCursor, items: all });",
  ),
  mutant(
    "early: a page counts twice",
    "memory",
    "return pages?.cursor === cursor ? pages?.items : undefined;",
    "return pages?.items;",
  ),
  mutant(
    "early: another daemon's memory is used",
    "memory_text",
    'if (!isOurs) return "it is another daemon\'s";',
    "void isOurs;",
  ),
  mutant(
    "early: the eras share their lists",
    "memory",
    "return version === undefined ? method : `${version} ${method}`;",
    "void version; return method;",
  ),
  mutant(
    "early: a discovery holds for ever",
    "memory",
    "const isFresh = known !== undefined && now < known.until;",
    "const isFresh = known !== undefined && now >= 0;",
  ),
  mutant(
    "early: a discovery grows no older in its file",
    "memory_text",
    "forMs: forMs - ageMs",
    "forMs",
  ),
  mutant(
    "early: initialize waits for ever",
    "session",
    "    improvise(desk, now);\n",
    "",
  ),
  mutant(
    "early: a daemon that is there is spoken for",
    "stand_in",
    'if (desk.links.main.phase !== "ready") makeUp(desk, request);',
    "makeUp(desk, request);",
  ),
  mutant(
    "early: a list comes from the cache although the daemon may be there",
    "stand_in",
    "if (result === undefined || desk.isAway) break;",
    "if (result === undefined || now > -1) break;",
  ),
  mutant(
    "early: a list that waits is not answered when the daemon proves to be away",
    "tend",
    'if (role === "main") makeDo(desk, epoch, now);',
    "void makeDo;",
  ),
  mutant(
    "early: a dial without the subprotocol counts as a failure",
    "desk",
    "(this.connections > 0 || failures > 0);",
    "failures > -1;",
  ),
  mutant(
    "early: a list waits for a dial that hangs",
    "stand_in",
    "      remind(desk, request, now);\n    }\n  }",
    "    }\n  }",
  ),
  mutant(
    "early: what others have kept is lost",
    "memory",
    "const all = { ...kept[name] };",
    "const all: Record<string, string> = {};",
  ),
  mutant(
    "early: what is private is kept for others",
    "memory",
    'return (dig(value, "cacheScope") ?? "public") === "public";',
    "return value !== null;",
  ),
  mutant(
    "early: an outage shows what is older than what was too large",
    "memory",
    '      return this.#set(key, "", value);',
    "      return false;",
  ),
  mutant(
    "early: what a daemon no longer agrees to stays in memory",
    "agreement",
    "    : { forget: request };",
    "    : {};",
  ),
  mutant(
    "early: trouble with initialize empties the memory",
    "agreement",
    "return error?.code === Code.invalidParams\n",
    "return error !== undefined\n",
  ),
  mutant(
    "early: a client is held for ever to a version that the daemon has outgrown",
    "agreement",
    'return source === "remembered" ? askedBy(request) : version;',
    "void source; void request; return version;",
  ),
  mutant(
    "early: a version that was only remembered binds the daemon",
    "agreement",
    'if (source !== "daemon" && isLegacy(version)) {',
    'if (source === "made up" && isLegacy(version)) {',
  ),
  mutant(
    "early: a link is not greeted by who was served without it",
    "mcp",
    "if (!isWanted && this.#version === undefined) return undefined;",
    "if (!isWanted) return undefined;",
  ),
  mutant(
    "early: who was served without the daemon hears of no change",
    "listens",
    "return this.hasMissed ? [message, ...changes(id, listen)] : [message];",
    "return [message];",
  ),
  mutant(
    "early: what is made up is never corrected",
    "tend",
    "  if (desk.isMadeUp) {\n",
    "  if (desk.isMadeUp && now < 0) {\n",
  ),
  mutant(
    "early: the client is told a list and nobody compares it",
    "stand_in",
    "if (list !== undefined) desk.catalog.told(list, undefined, parsed(result));",
    "void list;",
  ),
  mutant(
    "early: what the daemon lacks is an error",
    "stand_in",
    "if (!isMissing || items === undefined) return answer;",
    "if (isMissing || items === undefined || answer) return answer;",
  ),
  mutant(
    "early: the daemon's late answer goes to the client, too",
    "mcp",
    'this.#own.set(request.id, { epoch, purpose: { kind: "initialize" } });',
    "void epoch;",
  ),
  mutant(
    "early: an older daemon is refused although the client's version was made up",
    "agreement",
    'if (source !== "daemon" && isLegacy(version)) {',
    'if (source !== "daemon" && version === 1) {',
  ),
  mutant(
    "early: a cached initialize is not announced as changeable",
    "mcp",
    'return message?.kind === "answer" ? announce(message) : answer;',
    "void message; return answer;",
  ),
  mutant(
    "stateless: an initialize is invented",
    "mcp",
    "if (this.#agreed !== undefined || this.#version === undefined) {\n      return request(id",
    "if (this.#version !== null) {\n      return request(id",
  ),
  mutant(
    "stateless: discovery is refused with the rest",
    "from_client",
    "if (missing?.refusal !== undefined && !isStanding(request.method)) {",
    "if (missing?.refusal !== undefined) {",
  ),
  mutant(
    "stateless: discovery that waits is refused with the rest",
    "tend",
    "if (missing?.refusal === undefined || isStanding(message.method)) continue;",
    "if (missing?.refusal === undefined) continue;",
  ),
  mutant(
    "stateless: discovery waits no longer than a call",
    "ledger",
    "      isHeld ? Infinity : queueMs,",
    "      queueMs,",
  ),
  mutant(
    "stateless: a subscription is what kills the daemon",
    "ledger",
    "account.losses < LOSS_LIMIT ||\n          isStanding(message.method);",
    "account.losses < LOSS_LIMIT;",
  ),
  mutant(
    "stateless: a subscription has an idle limit",
    "deadline",
    "if (isStanding(method)) return { total: undefined, idle: NONE };",
    "",
  ),
  mutant(
    "stateless: every acknowledgement reaches the client",
    "listens",
    "if (listen.isAcknowledged) return changes(id, listen);",
    "",
  ),
  mutant(
    "stateless: what may have been missed is not told",
    "listens",
    "if (listen.isAcknowledged) return changes(id, listen);",
    "if (listen.isAcknowledged) return [];",
  ),
  mutant(
    "stateless: the end that a dying daemon sends is passed on",
    "from_daemon",
    "if (isEnding && isHeldBack(desk, id, answer, now)) return;",
    "void isEnding;",
  ),
  mutant(
    "stateless: a subscription that the daemon takes back stays open",
    "from_daemon",
    "      desk.ledger.settle(id, link.epoch);\n      desk.reply(words.text);",
    "      desk.reply(words.text);",
  ),
  mutant(
    "stateless: a subscription that the daemon takes back is over at once",
    "from_daemon",
    "    isHeldBack(desk, id, notification, now);",
    "    !isHeldBack(desk, id, notification, -1e9);",
  ),
  mutant(
    "stateless: a subscription keeps the program from leaving",
    "session",
    "ledger.due === 0",
    "this.owed === 0",
  ),
  mutant(
    "stateless: a subscription stays on the connection that is doubted",
    "doubt",
    "    desk.ledger.move(epoch, now);\n",
    "",
  ),
  mutant(
    "stateless: a subscription keeps a link busy",
    "safety",
    'return isSubscription(method) || method === "ping";',
    'return method === "ping";',
  ),
  mutant(
    "stateless: a ping is answered here",
    "mcp",
    "      versionOf(params) === undefined;",
    "      params !== null;",
  ),
];
