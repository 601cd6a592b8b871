/**
 * Where taking out secrets went too far, or not far enough.
 *
 * @module
 */

import type { Answer } from "../../../lib/protocol/jsonrpc.ts";
import { Memory, merged, NOTHING, serverOf } from "../../../lib/cache/cache.ts";
import {
  hideIn,
  hider,
  secretsOfHeader,
  secretsOfToken,
} from "../../../lib/config/secrets.ts";
import { Scene } from "../../helpers/session/session_driver.ts";
import { assert, assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

test("Secrets: redaction keeps the member names of an error and of a check", () => {
  for (const word of ["text", "message", "state", "code"]) {
    const hide = hider(secretsOfHeader(["X-Kind", word]));
    for (
      const value of [
        { code: -1, message: "m" },
        { name: "websocket", state: "fail", text: "t" },
      ]
    ) {
      assertEquals(
        Object.keys(hideIn(value, hide) as object),
        Object.keys(value),
      );
    }
  }
});

test("Secrets: a redacted error keeps its numbers as they are spelled", () => {
  const scene = new Scene({ secrets: ["s3cret"] });
  scene.start();
  scene.ask(1, "tools/call");
  scene.take();
  const data = '{"b":12345678901234567890,"2":1.0,"1":2}';
  const error = `{"code":-1,"message":"no s3cret","data":${data}}`;
  const text = `{"jsonrpc":"2.0","id":1,"error":${error}}`;
  scene.do({ type: "frame", epoch: scene.epoch, text });
  const said = JSON.stringify(
    scene.take().filter(({ type }) => type === "reply"),
  );
  assert(said.includes(JSON.stringify(data).slice(1, -1)), said);
});

test("Secrets: redaction keeps the state of a check, also where a header has the same word", () => {
  const hide = hider(secretsOfHeader(["X-On-Error", "fail"]));
  const check = hideIn({ name: "a", state: "fail", text: "t" }, hide);
  assertEquals((check as { state: string }).state, "fail");
});

test("Secrets: the value of a cookie is secret, whatever characters its name has", () => {
  const hide = hider(secretsOfHeader(["Cookie", "connect.sid=s%3Aabcdef.sig"]));
  assertEquals(hide("<s%3Aabcdef.sig> <s:abcdef.sig>"), "<***> <***>");
});

test("Secrets: finds a secret that is cut off within an encoded character", () => {
  const hide = hider(secretsOfToken('s3cret-0@"value'));
  for (const end of ["%", "%4", "\\", "\\u", "\\u00", "\\u004"]) {
    const text = `it is s3cret-0${end}...`;
    assert(!hide(text).includes("s3cret"), `${text}: ${hide(text)}`);
  }
});

test("Secrets: a daemon's name that is cut within a secret is not cached", () => {
  const memory = new Memory(NOTHING, 0, hider(["s3cret-0123456789"]));
  const name = `${"n".repeat(190)}s3cret-0123456789`;
  memory.learnOne(serverOf({ serverInfo: { name, version: "1" } })!, 0);
  const kept = JSON.stringify(memory.learned(1));
  assert(!kept.includes("s3cret"), kept.slice(-60));
});

test("Secrets: decoding around a secret adds no control character to a log line", () => {
  const hide = hider(["tok3n-0123"]);
  for (
    const text of ["tok3n%2D0123 %0Aforged %1B[31m", "tok3n\\u002d0123\\n"]
  ) {
    // deno-lint-ignore no-control-regex
    assert(!/[\x00-\x1f]/.test(hide(text)), JSON.stringify(hide(text)));
  }
});

test("Secrets: a cached result with a secret is removed at the next answer", () => {
  const initialize = '{"protocolVersion":"2025-11-25","instructions":"s3cret"}';
  const tools = '{"tools":[{"name":"a"}]}';
  const before = {
    initialize: { "2025-11-25": initialize },
    lists: { "tools/list": tools },
  };
  const memory = new Memory(before, 0, hider(["s3cret"]));
  const params = { protocolVersion: "2025-11-25" };
  const text = `{"jsonrpc":"2.0","id":1,"result":${initialize}}`;
  const result = JSON.parse(initialize);
  const answer = { kind: "answer", id: "1", result, error: undefined, text };
  const asked = { method: "initialize", params } as const;
  assert(memory.learn(asked, answer as Answer, 1), "it is written anew");
  const { initialize: kept, lists } = merged(before, memory.learned(1));
  assertEquals([kept, lists], [{}, before.lists]);
});

test("Secrets: finds a secret that is cut off in a long answer", () => {
  const hide = hider(["s3cret-0123456789"]);
  const memory = new Memory(NOTHING, 0, hide);
  const result = {
    tools: [{ name: "a", description: "x".repeat(9_000) }, {
      name: "b",
      description: "it is s3cret-0123...",
    }],
  };
  const text = JSON.stringify({ jsonrpc: "2.0", id: 1, result });
  const answer = { kind: "answer", id: "1", result, error: undefined, text };
  const asked = { method: "tools/list", params: {} } as const;
  assert(!memory.learn(asked, answer as Answer, 1));
  assertEquals(memory.learned(1).lists, {});
});

test("Secrets: a cached result that is not an answer is not reported as withheld", () => {
  const memory = new Memory(NOTHING, 0, hider(["s3cret"]));
  memory.learnOne("a s3cret 1", 0);
  assertEquals(memory.takeWithheld(), false);
});

test("Secrets: takes a secret as long as a header, and as many as a header holds", () => {
  for (const value of ["aB3-".repeat(16_384), list(2_000)]) {
    const hide = hider(secretsOfHeader(["Cookie", value]));
    assertEquals(hide(`no: ${value}`).includes(value.slice(0, 99)), false);
    assertEquals(hide("harmless"), "harmless");
  }
});

/** So many cookies. */
function list(count: number): string {
  return Array.from({ length: count }, (_, i) => `k${i}=v${i}abc9`).join("; ");
}
