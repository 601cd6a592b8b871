import { ROOT } from "../../.ci/build/bundle.ts";
import { assert, assertEquals, assertThrows } from "../helpers/assert.ts";
import { test } from "../helpers/time_limit.ts";
import { fitMutants, type SourceFile } from "./fit.ts";
import { MUTANTS } from "./mutants.ts";
import {
  compile,
  findAll,
  replaceMatch,
  tokenize,
  tokenizeText,
} from "./pattern.ts";

/** Returns the parts of a text that a pattern matches. */
function found(pattern: string, text: string): string[] {
  return findAll(compile(pattern), tokenizeText(text))
    .map(({ start, end }) => text.slice(start, end));
}

const FOUND: readonly [
  what: string,
  pattern: string,
  text: string,
  found: readonly string[],
][] = [
  [
    "line breaks, comments and a trailing comma do not count",
    "call($a, $b);",
    "call(one, two);\ncall(\n  one, // the first\n  /* the second */ two,\n);",
    [
      "call(one, two);",
      "call(\n  one, // the first\n  /* the second */ two,\n);",
    ],
  ],
  [
    "a trailing comma of the pattern does not count either",
    "[$a,]",
    "[one] [one,] [one, two]",
    ["[one]", "[one,]"],
  ],
  [
    "any name will do, also a private one",
    "this.$count++;",
    "this.#calls++; this.probes++; that.probes++;",
    ["this.#calls++;", "this.probes++;"],
  ],
  [
    "a wildcard also matches a string, but no keyword and no number",
    "role === $role",
    'role === "standby"; role === standby; role === undefined; role === 2;',
    ['role === "standby"', "role === standby"],
  ],
  [
    "a repeated word is the same text",
    "$a.until = $a.since;",
    "one.until = one.since; one.until = two.since;",
    ["one.until = one.since;"],
  ],
  [
    "two words may be the same text",
    "$a = $b;",
    "one = one;",
    ["one = one;"],
  ],
  [
    "a member that is called like a keyword is a name",
    "$map.$remove(1)",
    "map.delete(1)",
    ["map.delete(1)"],
  ],
  [
    "a run has balanced brackets, and may be empty",
    "f($$all)",
    "f() f(a, (b), [c, { d }]) f(`${g(`)`)}`)",
    ["f()", "f(a, (b), [c, { d }])", "f(`${g(`)`)}`)"],
  ],
  [
    "a run is as short as possible",
    "a $$run b",
    "a 1 b 2 b; (a 3) b",
    ["a 1 b"],
  ],
  [
    "a run that is repeated is the same text",
    "$$one + $$one;",
    "f(1) + f(1);",
    ["f(1) + f(1);"],
  ],
  [
    "brackets in strings, regular expressions and templates do not count",
    "f($$all);",
    "f(\")\", /[)/]\\)/, `)${1}(`, '('); 1 / f(2); f(3) / 4;",
    ["f(\")\", /[)/]\\)/, `)${1}(`, '(');", "f(2);"],
  ],
  [
    "what a string, a comment or a template says is no code",
    "a = b;",
    '"a = b;" /* a = b; */ `a = b;` `${a = b}` // a = b;',
    [],
  ],
  [
    "a template fits piece by piece",
    "`e${$a}:${$b}`",
    "`e${connectionId}:${count}` `e${connectionId}` `f${connectionId}:${count}`",
    ["`e${connectionId}:${count}`"],
  ],
  [
    "numbers are the same with separators",
    "ms = 1500;",
    "ms = 1_500; ms = 15_000;",
    ["ms = 1_500;"],
  ],
  [
    "braces around one statement do not count",
    "if ($a) return 1;",
    "if (x) return 1; if (x) { return 1; } if (x) { go(); return 1; }",
    ["if (x) return 1;", "if (x) { return 1; }"],
  ],
  [
    "braces do not count in the pattern, after else and in loops either",
    "for (const $a of $b) { if ($a) { go(); } else { stop(); } }",
    "for (const x of y) if (x) go(); else stop();",
    ["for (const x of y) if (x) go(); else stop();"],
  ],
  [
    "two lists of types that end together match on one line and on several",
    "Map<string, Set<string>>",
    "Map<\n  string,\n  Set<string>\n>",
    ["Map<\n  string,\n  Set<string>\n>"],
  ],
];
for (const [what, pattern, text, expected] of FOUND) {
  test(`Pattern: ${what}`, () => {
    assertEquals(found(pattern, text), [...expected]);
  });
}

test("Pattern: it must have balanced brackets and whole statements", () => {
  for (const pattern of ["f(", "f)", ")f(", "if ($a) return $b", ""]) {
    assertThrows(() => compile(pattern), Error, "balanced");
  }
});

test("Pattern: a replacement leaves the rest of the text byte for byte as it was", () => {
  const text = "// \u00e9\r\n\tf(\n a , /* b */ #c ,\n) ;\n  g( x )\t;  \n";
  const [match] = findAll(compile("f($$rest, $last);"), tokenizeText(text));
  assertEquals(
    replaceMatch(text, match!, "h($last, [$$rest], `${$last}`);"),
    "// \u00e9\r\n\th(#c, [a], `${#c}`);\n  g( x )\t;  \n",
  );
  assertThrows(() => replaceMatch(text, match!, "$other"), Error, "$other");
});

test("Mutants: each that fits nowhere or in two places is reported", () => {
  const sources = [
    { path: "lib/a.ts", text: "x = 1;\n" },
    { path: "lib/b/c.ts", text: "y = 2;\nx = 1;\n" },
  ];
  const { mutated, problems } = fitMutants([
    { name: "never", from: "$x = 3;", to: "" },
    { name: "twice", from: "$x = 1;", to: "" },
    { name: "once", from: "$x = 2;", to: "$x = 3;" },
    { name: "no pattern", from: "(", to: "" },
    { name: "no word", from: "$x = 2;", to: "$y" },
  ], sources);
  assertEquals(mutated.map(({ name, file }) => [name, file]), [
    ["once", { path: "lib/b/c.ts", text: "y = 3;\nx = 1;\n" }],
  ]);
  assertEquals(problems, [
    "never: fits 0 times",
    "twice: fits 2 times lib/a.ts:1, lib/b/c.ts:2",
    "no pattern: A pattern must have balanced brackets: (",
    "no word: The pattern has no $y",
  ]);
});

/** Returns the files in a folder and its subfolders. */
function sourcesIn(folder: string): SourceFile[] {
  return [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory }) => {
    const path = `${folder}/${name}`;
    if (isDirectory) return sourcesIn(path);
    if (!name.endsWith(".ts")) return [];
    return [{ path, text: Deno.readTextFileSync(path) }];
  });
}

const LIB = `${ROOT}lib`;

/**
 * The names that JavaScript, MCP, JSON-RPC and the settings define. We cannot
 * change them.
 */
const GIVEN: ReadonlySet<string> = new Set(
  ("abstract as async constructor from get is keyof of override protected " +
    "public readonly satisfies set type Array JSON Map Math Number Set delete " +
    "every filter find has isArray length map max min push replace replaceAll " +
    "shift slice some stringify test trim id idempotentHint method name params " +
    "readOnlyHint task").split(" "),
);
/** The strings that the same standards and settings define. */
const GIVEN_STRINGS =
  /^"(string|number|[\w/]*\/\w+|initialize|protocolVersion|progressToken|id|method|params|result|error|cacheScope|public|host|origin|safe|always|no|unknown|\W*)"$/;

/** Returns a text in which all names and strings of ours are changed. */
function renamed(text: string): string {
  let result = "";
  let at = 0;
  for (const { kind, value, start, end } of tokenize(text)) {
    const isGiven = kind === "name"
      ? GIVEN.has(value)
      : kind !== "string" || GIVEN_STRINGS.test(value);
    const news = kind === "string"
      ? `${value[0]}inOtherWords ${value.slice(1)}`
      : `${value}InOtherWords`;
    result += text.slice(at, start) + (isGiven ? text.slice(start, end) : news);
    at = end;
  }
  return result + text.slice(at);
}

/** Returns the texts, formatted with another line width. */
async function formatted(
  texts: readonly string[],
  width: number,
): Promise<string[]> {
  const folder = await Deno.makeTempDir({ prefix: "mutants-" });
  try {
    const paths = texts.map((_, i) => `${folder}/${i}.ts`);
    for (const [i, path] of paths.entries()) {
      await Deno.writeTextFile(path, texts[i]!);
    }
    const args = ["fmt", "--quiet", "--no-config", `--line-width=${width}`];
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [...args, folder],
    }).output();
    assert(success, new TextDecoder().decode(stderr));
    return await Promise.all(paths.map((path) => Deno.readTextFile(path)));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

for (const width of [50, 160]) {
  test(`Mutants: each fits when everything has another name and lines have ${width} columns`, async () => {
    const sources = sourcesIn(LIB);
    const texts = await formatted(
      sources.map(({ text }) => renamed(text)),
      width,
    );
    // With unchanged texts, this test would prove nothing.
    assert(texts.every((text, i) => text !== sources[i]!.text));
    const { mutated, problems } = fitMutants(
      MUTANTS,
      texts.map((text, i) => ({ path: sources[i]!.path, text })),
    );
    assertEquals(problems, []);
    assertEquals(mutated.length, MUTANTS.length);
  });
}
