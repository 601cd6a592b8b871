/**
 * Tests which parts of the configuration are secret, and how they are redacted.
 *
 * @module
 */

import {
  createRedactor,
  redactJsonValue,
  secretsOfHeader,
  secretsOfToken,
} from "../../../lib/config/secrets.ts";
import { createLogger } from "../../../lib/proxy/logger.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { SessionDriver } from "../../helpers/session/session_driver.ts";

const ODD = 'p@ss/w\u00f6rd+"1 x';

/** A secret, a text that a daemon may send, and the redacted text. */
const SAID: [what: string, secret: string, text: string, left: string][] = [
  ["as it is", "s3cret", "a s3cret!", "a ***!"],
  ["twice", "s3cret", "s3crets3cret", "******"],
  ["in another case", "s3cret", "S3CRET", "***"],
  ["percent-encoded", ODD, `a ${encodeURIComponent(ODD)} b`, "a *** b"],
  ["encoded in lower case", ODD, encodeURIComponent(ODD).toLowerCase(), "***"],
  ["form-encoded", ODD, encodeURIComponent(ODD).replaceAll("%20", "+"), "***"],
  ["encoded twice", ODD, encodeURIComponent(encodeURIComponent(ODD)), "***"],
  ["a secret that is already encoded", "p%40ss", "p@ss p%40ss", "*** ***"],
  ["every character percent-encoded", "s3cret", "%73%33%63%72%65%74", "***"],
  ["as JSON", ODD, JSON.stringify(ODD), '"***"'],
  ["with escapes", "s3cret", "\\u0073\\u0033cret", "***"],
  ["in Base64", "s3cret-0123", `(${btoa("s3cret-0123")})`, "(***=)"],
  ["in Base64 for URLs", "\u00ff\u00fe?>", "w7_Dvj8-", "***"],
  ["control characters", "a\tb\nc", "it is a b c", "it is ***"],
  ["cut off", "s3cret-0123", "it is s3cret-0... and", "it is ***... and"],
  ["a short one, as a word", "ab", "ab (ab) abc cab", "*** (***) abc cab"],
  [
    "a text without the secret",
    "s3cret",
    "50%25 is \\u0041",
    "50%25 is \\u0041",
  ],
  ["a secret with pattern characters", "a.*b", "axxb a.*b", "axxb ***"],
];

for (const [what, secret, text, left] of SAID) {
  test(`Secrets: redacts a secret that is quoted: ${what}`, () => {
    assertEquals(createRedactor([secret])(text), left);
  });
}

test("Secrets: if one secret is the start of another, redacts the longer one", () => {
  assertEquals(
    createRedactor(["s3cret", "s3cret-0"])("s3cret-0 s3cret"),
    "*** ***",
  );
  assertEquals(createRedactor([])("all"), "all");
});

/** A header, and the parts of its value that must be redacted. */
const HEADERS: [line: string, parts: string[]][] = [
  ["Authorization: Bearer abcd.e", ["abcd.e"]],
  [`Authorization: Basic ${btoa("us3r:pass")}`, ["us3r", "pass"]],
  ['Authorization: Digest username="us3r", response="a1b2c3"', [
    "us3r",
    "a1b2c3",
  ]],
  ["Cookie: first=one1; sid=m1ddle; last=thr33", ["one1", "m1ddle", "thr33"]],
  ["Cookie: connect.sid=s%3Aabcdef.sig", ["s%3Aabcdef.sig", "s:abcdef.sig"]],
  ["X-Api-Key: id:hunter22xyz", ["hunter22xyz"]],
  ['X-Cred: {"pw":"hunter22"}', ["hunter22"]],
  ["X-Auth: plain", ["plain"]],
  ["X-Key: header01.payload1.signed01", ["payload1", "signed01"]],
];

for (const [line, parts] of HEADERS) {
  test(`Secrets: the parts of a header are secret: ${line}`, () => {
    const [name, value] = line.split(": ") as [string, string];
    const redact = createRedactor(secretsOfHeader([name, value]));
    for (const part of [value, ...parts]) {
      assertEquals(redact(`<${part}>`).includes(part), false, part);
    }
    const scheme = value.split(" ")[0]!;
    if (name === "Authorization") assertEquals(redact(scheme), scheme);
  });
}

for (
  const line of [
    "X-Env: test",
    "X-Client: vscode",
    "X-Mode: read-only tools",
    "X-Version: 2025-11-25",
    "X-Format: application/json",
    "MCP-Protocol-Version: 2025-11-25-x1",
    "User-Agent: m1ne",
    "Cookie: consent=true; lang=en-US; theme=dark",
  ]
) {
  test(`Secrets: a header with a harmless name and value is not secret: ${line}`, () => {
    const [name, value] = line.split(": ") as [string, string];
    const redact = createRedactor(secretsOfHeader([name, value]));
    const text = "a test of vscode: read-only tools, true, dark en-US json " +
      "2025-11-25 application/json m1ne";
    assertEquals(redact(text), text);
  });
}

const OTHER_SPELLINGS: [secret: string, text: string][] = [
  ["w\u00f6rd-0123", "w\\xf6rd-0123"],
  ["s3cret-0123", "%73%33%63%72%65%74%2d%30%31%32%33%ff"],
];

for (const [secret, text] of OTHER_SPELLINGS) {
  test(`Secrets: redacts a secret in another spelling: ${text}`, () => {
    assertMatch(createRedactor([secret])(text), /^\*{3}/);
  });
}

test("Secrets: redacts the URL's user name in messages, but caches a result that contains it", () => {
  const cachedResults = { initialize: {}, lists: {} };
  for (const [description, isKept] of [["admin", true], ["s3cret", false]]) {
    const driver = new SessionDriver({
      ...{ secrets: ["s3cret"], urlUsers: ["admin"], cachedResults },
    });
    driver.connect();
    driver.request(1, "tools/list");
    driver.fromDaemon({
      id: 1,
      result: { tools: [{ name: "a", description }] },
    });
    const isSaved = driver.takeEffects().some(({ type }) =>
      type === "save-cache"
    );
    assertEquals(isSaved, isKept);
    const reason = `who is ${description}`;
    const { connectionId } = driver;
    driver.handle({
      type: "closed",
      connectionId,
      code: 1011,
      reason,
      mayHaveReachedServer: true,
    });
    const lost = JSON.stringify(driver.takeEffects());
    assertMatch(lost, /who is \*\*\*/);
  }
});

test("Secrets: a part of a JSON Web Token is secret", () => {
  const redact = createRedactor(secretsOfToken("header01.payload1.signed01"));
  assertEquals(redact("signed01 is wrong"), "*** is wrong");
});

test("Secrets: redaction keeps the structure of a JSON value", () => {
  const redact = createRedactor(["s3cret"]);
  const value = { s3cret: [1, null, true, "x s3cret"], y: { z: "s3cret" } };
  assertEquals(redactJsonValue(value, redact), {
    s3cret: [1, null, true, "x ***"],
    y: { z: "***" },
  });
});

test("Secrets: no log line has a secret, in either format", () => {
  for (const format of ["text", "json"] as const) {
    const lines: string[] = [];
    const push = (line: string): void => void lines.push(line);
    const log = createLogger("debug", format, push, createRedactor(["s3cret"]));
    log({ level: "warn", event: "lost", message: "it said s3cret" });
    assertMatch(lines.join(), /it said \*\*\*/);
  }
});

/**
 * Sends a request, and the daemon's answer. Returns the effects in JSON: the
 * messages to the client, and the writes to the cache.
 */
function answered(
  method: string,
  answer: Record<string, unknown>,
): { reply: string; kept: string } {
  const cachedResults = { initialize: {}, lists: {} };
  const driver = new SessionDriver({ secrets: ["s3cret"], cachedResults });
  driver.connect();
  driver.request(1, method);
  driver.takeEffects();
  driver.fromDaemon({ id: 1, ...answer });
  const effects = driver.takeEffects();
  const of = (type: string): string =>
    JSON.stringify(effects.filter((effect) => effect.type === type));
  return { reply: of("send-to-client"), kept: of("save-cache") };
}

test("Secrets: a daemon's error reaches the client redacted", () => {
  const data = { asked: ["s3cret", 1] };
  for (
    const answer of [
      { error: { code: -32001, message: "not s3cret", data } },
      { result: { isError: true, content: [{ text: "no: s3cret" }] } },
      { error: "s3cret is wrong" },
    ]
  ) {
    const { reply } = answered("tools/call", answer);
    assertEquals([reply.includes("s3cret"), reply.includes("***")], [
      ...[false, true],
    ]);
  }
});

test("Secrets: a daemon's result reaches the client unchanged", () => {
  const result = { content: [{ type: "text", text: "s3cret" }], n: 1 };
  assert(answered("tools/call", { result }).reply.includes("s3cret"));
});

test("Secrets: a result that quotes a secret, in any spelling, is not cached", () => {
  const list = (description: string): Record<string, unknown> => ({
    result: { tools: [{ name: "a", description }] },
  });
  assertMatch(answered("tools/list", list("a tool")).kept, /a tool/);
  for (const text of ["is s3cret", "%733cret", btoa("s3cret")]) {
    const { reply, kept } = answered("tools/list", list(text));
    assertEquals(kept, "[]");
    assert(reply.includes(text), "the client gets it");
  }
});

test("Secrets: redaction keeps the member names of an error and of a check", () => {
  for (const word of ["text", "message", "state", "code"]) {
    const redact = createRedactor(secretsOfHeader(["X-Kind", word]));
    for (
      const value of [
        { code: -1, message: "m" },
        { name: "websocket", state: "fail", text: "t" },
      ]
    ) {
      assertEquals(
        Object.keys(redactJsonValue(value, redact) as object),
        Object.keys(value),
      );
    }
  }
});

test("Secrets: a redacted error keeps its numbers as they are spelled", () => {
  const driver = new SessionDriver({ secrets: ["s3cret"] });
  driver.connect();
  driver.request(1, "tools/call");
  driver.takeEffects();
  const data = '{"b":12345678901234567890,"2":1.0,"1":2}';
  const error = `{"code":-1,"message":"no s3cret","data":${data}}`;
  const text = `{"jsonrpc":"2.0","id":1,"error":${error}}`;
  driver.handle({ type: "frame", connectionId: driver.connectionId, text });
  const shownText = JSON.stringify(
    driver.takeEffects().filter(({ type }) => type === "send-to-client"),
  );
  assert(shownText.includes(JSON.stringify(data).slice(1, -1)), shownText);
});

test("Secrets: redaction keeps the state of a check, even if a header contains the same word", () => {
  const redact = createRedactor(secretsOfHeader(["X-On-Error", "fail"]));
  const check = redactJsonValue(
    { name: "a", state: "fail", text: "t" },
    redact,
  );
  assertEquals((check as { state: string }).state, "fail");
});

test("Secrets: the value of a cookie is secret, whatever characters its name has", () => {
  const redact = createRedactor(
    secretsOfHeader(["Cookie", "connect.sid=s%3Aabcdef.sig"]),
  );
  assertEquals(redact("<s%3Aabcdef.sig> <s:abcdef.sig>"), "<***> <***>");
});

test("Secrets: finds a secret that is cut off within an encoded character", () => {
  const redact = createRedactor(secretsOfToken('s3cret-0@"value'));
  for (const end of ["%", "%4", "\\", "\\u", "\\u00", "\\u004"]) {
    const text = `it is s3cret-0${end}...`;
    assert(!redact(text).includes("s3cret"), `${text}: ${redact(text)}`);
  }
});

test("Secrets: decoding around a secret adds no control character to a log line", () => {
  const redact = createRedactor(["tok3n-0123"]);
  for (
    const text of ["tok3n%2D0123 %0Aforged %1B[31m", "tok3n\\u002d0123\\n"]
  ) {
    // deno-lint-ignore no-control-regex
    assert(!/[\x00-\x1f]/.test(redact(text)), JSON.stringify(redact(text)));
  }
});

test("Secrets: a secret may be as long as a header, and a header may contain thousands of secrets", () => {
  for (const value of ["aB3-".repeat(16_384), list(2_000)]) {
    const redact = createRedactor(secretsOfHeader(["Cookie", value]));
    assertEquals(redact(`no: ${value}`).includes(value.slice(0, 99)), false);
    assertEquals(redact("harmless"), "harmless");
  }
});

/** Returns the value of a Cookie header with this number of cookies. */
function list(count: number): string {
  return Array.from({ length: count }, (_, i) => `k${i}=v${i}abc9`).join("; ");
}
