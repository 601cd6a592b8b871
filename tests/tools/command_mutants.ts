/**
 * Deliberate bugs in what the commands show and write.
 *
 * @module
 */

import { type Mutant, mutant } from "./exai_mutants.ts";

export const COMMAND_MUTANTS: readonly Mutant[] = [
  mutant(
    "status: moments by the session's clock",
    "running",
    "Math.round(Number(value) + ahead)",
    "Math.round(Number(value))",
  ),
  mutant(
    "status: garbage is shown",
    "running",
    "return isOurs ? it as unknown as Running : undefined;",
    "return it as unknown as Running;",
  ),
  mutant(
    "status: a client's name reaches the terminal as it is",
    "snapshot",
    "return tame(words, NAME_LIMIT);",
    "return words;",
  ),
  mutant(
    "status: the first connection counts as one more",
    "snapshot",
    "Math.max(0, connections - 1)",
    "connections",
  ),
  mutant(
    "status: a link that slept is shown as ready",
    "snapshot",
    'phase: isGood ? "ready" : "checking"',
    'phase: "ready"',
  ),
  mutant(
    "status: written at every change",
    "presence",
    "Math.max(now, this.#notBefore)",
    "now",
  ),
  mutant(
    "status: no beat",
    "presence",
    "if (text !== this.#shown || now >= this.#beatAt) {",
    "if (text !== this.#shown) {",
  ),
  mutant(
    "status: the file stays",
    "presence",
    "this.#host.remove(this.#path(kind));",
    "",
  ),
  mutant(
    "install: a comma too few",
    "servers_text",
    'last !== undefined && !isTrailing ? "," : ""',
    '""',
  ),
  mutant(
    "install: a comma too many",
    "servers_text",
    'last !== undefined && !isTrailing ? "," : ""',
    'last !== undefined ? "," : ""',
  ),
  mutant(
    "install: the same entry is written again",
    "servers_text",
    "if (isSame(plain(member.value), value)) return text;",
    "",
  ),
  mutant(
    "install: a remote server's URL stays beside the command",
    "servers_text",
    "if (!REACHED.test(name) || Object.hasOwn(reached, name)) continue;",
    "continue;",
  ),
  mutant(
    "uninstall: a comment before the comma goes",
    "servers_text",
    "const said = text.slice(from, comma);",
    'const said = "";',
  ),
  mutant(
    "install: line ends become Unix's",
    "servers_text",
    'text.includes("\\r\\n") ? "\\r\\n" : "\\n"',
    '"\\n"',
  ),
  mutant(
    "install: a doubled key is not seen",
    "servers_text",
    "if (found.length > 1) throw",
    "if (found.length > 9) throw",
  ),
  mutant(
    "install: npx without cmd on Windows",
    "clients",
    'os === "windows" && command[0] === "npx"',
    'os === "other" && command[0] === "npx"',
  ),
  mutant(
    "install: a folder of our name is ours",
    "clients",
    "FILES.test(word) || isStarted && BUILD.test(name)",
    "FILES.test(word) || BUILD.test(name)",
  ),
  mutant(
    "jsonc: what follows the value is not looked at",
    "jsonc",
    "if (this.#at < this.#text.length) this.#fail();",
    "",
  ),
  mutant(
    "a URL's user and password are left to the runtime",
    "config",
    "`Bearer ${token}` : target.authorization;",
    "`Bearer ${token}` : undefined;",
  ),
  mutant(
    "a query without values is shown",
    "parse",
    'if (shown.search !== "")',
    'if (shown.search.includes("="))',
  ),
  mutant(
    "install: another program's arguments are shown",
    "entry_diff",
    "isOurs && Array.isArray(value)",
    "Array.isArray(value)",
  ),
  mutant(
    "install: the value of an unknown flag is shown",
    "entry_diff",
    "key === undefined ? HIDDEN : shownOf(key, text)",
    "key === undefined ? text : shownOf(key, text)",
  ),
  mutant(
    "what turns the direction of a line passes",
    "output",
    "\\u2028-\\u202e",
    "\\u2028\\u2029",
  ),
  mutant(
    "doctor: a token is shown",
    "config",
    'return "(hidden)";',
    "return text;",
  ),
];
