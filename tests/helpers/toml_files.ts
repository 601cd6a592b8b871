/**
 * Generates Codex configuration files from a seed: servers in all forms of
 * TOML, other tables, and comments in all places that TOML allows.
 *
 * @module
 */

import { seededRandom } from "../simulation/scheduler.ts";

/**
 * A generated file. The first letter of a comment says when it may disappear:
 * `k` never, `e` when the entry "us" is removed, `r` also when the value around
 * it is replaced.
 */
export interface GeneratedToml {
  readonly text: string;
  /** True if the file has the entry "us". */
  readonly hasEntry: boolean;
  /** The lines that are not empty and do not belong to the entry. */
  readonly otherLines: readonly string[];
}

const TOML_STRINGS = [
  ...[
    '"c"',
    "'C:\\a'",
    '"a # b"',
    '"\\"\\\\"',
    '\'"""\'',
    '"[mcp_servers.us]"',
  ],
  ...['""', '"\\u00e4=,}"', '"""a"""', "'''it's'''", '"""""a"" """'],
  ...["'''\n[mcp_servers.us]\nurl = 'v' # no\n'''", '"""\\\n  b\n"""'],
];
const TOML_VALUES = [
  ...["1", "0x1F", "1.5", "true", "1979-05-27", "07:32", "[]", "{}"],
  ...["[[1, 2], ['a']]", "{ a.b = 1, a.c = [ 2 ] }", '[ # "\n ]'],
];

/** Returns the file for a seed. */
export function generateToml(seed: number): GeneratedToml {
  const random = seededRandom(seed);
  const pick = <T>(...all: readonly T[]): T =>
    all[Math.floor(random() * all.length)]!;
  const withChance = (chance: number): boolean => random() < chance;
  let count = 0;
  const comment = (kind: string): string => `#${kind}${count++}`;
  /** Returns a random end of a line: perhaps a comment, and a line break. */
  const end = (kind: string): string =>
    pick("", "", " ", ` ${comment(kind)}`) + "\n";
  /** Returns random empty lines and comments between two lines. */
  const between = (kind: string): string =>
    pick("", "", "", "\n", `${comment(kind)}\n`, `  ${comment(kind)}\n`, " \n");
  const some = <T>(all: readonly T[]): T[] =>
    all.filter(() => withChance(0.6)).toSorted(() => random() - 0.5);
  const dot = (): string => pick(".", ".", " . ");
  const eq = (): string => pick(" = ", "=", "  =\t");
  const quoted = (name: string): string =>
    pick(name, name, `"${name}"`, `'${name}'`);
  const list = (kind: string): string =>
    withChance(0.6)
      ? `[${some(TOML_STRINGS).join(", ")}]`
      : `[${
        some(TOML_STRINGS).map((text) => `\n ${text} ${comment(kind)}\n,`).join(
          "",
        )
      }\n]`;
  type Pair = [key: string, value: string, kind: string];
  const braces = (pairs: readonly Pair[], kind: string): string => {
    const parts = pairs.map(([key, value]) => key + eq() + value);
    if (withChance(0.7)) {
      return withChance(0.5)
        ? `{ ${parts.join(", ")} }`
        : `{${parts.join(",")}}`;
    }
    // Line breaks in an inline table, and a comma at its end, need TOML 1.1.
    const lines = parts.map((part) => `\n  ${part} ${comment(kind)}\n  ,`);
    return `{ ${comment(kind)}${lines.join("") || "\n"}\n}`;
  };
  const env = (kind: string): string =>
    braces(some([["A", '"1"', ""], ["B", "'#'", ""]]), kind);
  /** Returns the members of an entry as pairs. */
  const members = (kind: string): Pair[] => {
    const valueKind = kind === "k" ? "k" : "r";
    return some<Pair>([
      ["command", pick(...TOML_STRINGS), valueKind],
      ["args", list(valueKind), valueKind],
      ["url", pick(...TOML_STRINGS), valueKind],
      withChance(0.5)
        ? ["http_headers", env(valueKind), valueKind]
        : [`http_headers${dot()}X`, '"1"', valueKind],
      ["bearer_token_env_var", "'T'", valueKind],
      withChance(0.5)
        ? ["env", env(kind), kind]
        : [`env${dot()}"A"`, '"1"', kind],
      ["enabled", pick("true", "false"), kind],
      ["startup_timeout_sec", "10.5", kind],
    ]);
  };
  const lines = (
    pairs: readonly Pair[],
    prefix: string,
    kind: string,
  ): string =>
    pairs.map(([key, value], i) => {
      const inner = i === 0 ? "" : between(kind);
      return inner + pick("", "  ") + prefix + key + eq() + value + end(kind);
    }).join("");
  const header = (path: readonly string[], kind: string): string =>
    pick("", "", " ") + `[${pick("", " ")}${path.map(quoted).join(dot())}]` +
    end(kind);
  /** Returns a table. Comments after its last pair do not belong to it. */
  const table = (
    path: readonly string[],
    pairs: readonly Pair[],
    kind: string,
  ): string => {
    const body = lines(pairs, "", kind);
    const inner = body === "" ? "" : between(kind);
    return between("k") + header(path, kind) + inner + body + between("k");
  };
  /** Returns tables that may follow the table of an entry. */
  const tablesBelow = (
    name: string,
    pairs: readonly Pair[],
    kind: string,
  ): string[] => {
    const path = ["mcp_servers", name];
    const has = (name: string): boolean =>
      pairs.some(([key]) => key.startsWith(name));
    const all: string[] = [];
    const one: Pair[] = [["Z", "'z'", ""]];
    if (!has("env")) all.push(table([...path, "env"], one, kind));
    if (!has("http")) {
      all.push(table([...path, "http_headers"], one, kind === "k" ? "k" : "r"));
    }
    all.push(table([...path, "tools", "t"], one, kind));
    all.push(
      `[[${[...path, "env_vars"].join(".")}]]\n` + lines(one, "", kind),
    );
    return some(all);
  };
  const otherTables = (): string[] =>
    some(["projects.'/a.b'", "tui", "x.y.z"]).map((path) =>
      between("k") + `[${path}]` + end("k") +
      lines([["v", pick(...TOML_STRINGS, ...TOML_VALUES), ""]], "", "k") +
      between("k")
    ).concat(
      withChance(0.3) ? ["[[x.l]]\n", `[[x.l]]${end("k")}us.url = 1\n`] : [],
    );
  const top = (): string =>
    between("k") + lines(
      some<Pair>([["model", pick(...TOML_STRINGS), ""], [
        "v.w",
        pick(...TOML_VALUES),
        "",
      ]]),
      "",
      "k",
    );
  const hasEntry = withChance(0.6);
  const names = hasEntry ? ["us", ...some(["a", "b"])] : some(["a", "b"]);
  names.sort(() => random() - 0.5);
  const kindOf = (name: string): string => name === "us" ? "e" : "k";
  const form = pick("tables", "tables", "dots", "lists", "braces");
  let first = "";
  let tables: string[] = [];
  const entryTexts = new Set<string>();
  const addTables = (name: string, more: readonly string[]): void => {
    tables.push(...more);
    if (name === "us") { for (const text of more) entryTexts.add(text); }
  };
  if (form === "tables") {
    for (const name of names) {
      const pairs = members(kindOf(name));
      addTables(name, [
        table(["mcp_servers", name], pairs, kindOf(name)),
        ...tablesBelow(name, pairs, kindOf(name)),
      ]);
    }
    tables = tables.toSorted(() => random() - 0.5);
  } else {
    // Comments on the line of a dotted pair stay, because they may be about
    // other entries.
    const isDotted = form === "dots";
    const all = names.flatMap((name): Pair[] => {
      const pairs = members(kindOf(name));
      if (!withChance(isDotted ? 0.7 : 0.2) || pairs.length === 0) {
        return [[quoted(name), braces(pairs, kindOf(name)), "k"]];
      }
      if (form !== "braces") {
        addTables(name, tablesBelow(name, pairs, kindOf(name)));
      }
      return pairs.map(([key, value]) => [name + dot() + key, value, "k"]);
    });
    if (form === "braces") {
      first = `mcp_servers${eq()}${braces(all, "k")}${end("k")}`;
    } else if (isDotted) first = lines(all, `mcp_servers${dot()}`, "k");
    else tables.unshift(table(["mcp_servers"], all, "k"));
    entryTexts.add(form === "lists" ? tables[0]! : first);
  }
  const at = Math.floor(random() * 3);
  const rest = otherTables();
  const start = top();
  const all = [
    ...(withChance(0.5) ? [start, first] : [first, start]),
    ...rest.slice(0, at),
    ...tables,
    ...rest.slice(at),
  ];
  const shapes = [
    ...withChance(0.3) ? [(text: string) => text.replace(/\n$/, "")] : [],
    ...withChance(0.3) ? [(text: string) => text.replaceAll("\n", "\r\n")] : [],
    ...withChance(0.1) ? [(text: string) => `\ufeff${text}`] : [],
  ];
  const text = shapes.reduce((text, shape) => shape(text), all.join(""));
  const otherLines = all.filter((text) => !entryTexts.has(text)).join("").split(
    "\n",
  )
    .filter((line) => line.trim() !== "");
  return { text, hasEntry, otherLines };
}
