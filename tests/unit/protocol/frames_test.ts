/**
 * The messages in a frame, beside other text.
 *
 * @module
 */

import { piecesOf } from "../../../lib/protocol/frames.ts";
import { assert, assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { Scene } from "../../helpers/session/session_driver.ts";
import {
  call,
  codes,
  live,
  settled,
} from "../../helpers/session/two_tool_session.ts";

/** What a frame holds: the texts, and how many lines of something else. */
const FRAMES: [frame: string, found: string[], others: number][] = [
  ['{"a":1}', ['{"a":1}'], 0],
  ["\ufeff{}", ["{}"], 0],
  ["{}\0", ["{}"], 0],
  ["\x1e{}\n", ["{}"], 0],
  ["\0\ufeff [1] \x1e\r\n", ["[1]"], 0],
  ['{"a":1}\n{"a":2}', ['{"a":1}', '{"a":2}'], 0],
  ['{"a":1}{"a":2}', ['{"a":1}', '{"a":2}'], 0],
  ['{"a":1}\x1e{"a":2}\x1e', ['{"a":1}', '{"a":2}'], 0],
  ['{\n "a": 1\n}\n{\n "a": 2\n}\n', ['{\n "a": 1\n}', '{\n "a": 2\n}'], 0],
  ['starting\n{"a":1}\r\n', ['{"a":1}'], 1],
  ['{"a":1}\nlog: {"a":2}', ['{"a":1}'], 1],
  ['{"a":1} trailing', [], 1],
  ['got {"a":1}', [], 1],
  ['{"a":1}{"a":', ['{"a":1}'], 1],
  ['{"a":1}\n{"a":', ['{"a":1}'], 1],
  ['x\n{"a":"\ufeff"}', ['{"a":"\ufeff"}'], 1],
  ["Content-Length: 7\r\n\r\n{}", ["{}"], 1],
  ['{"level":"info"}\n{"a":1}', ['{"a":1}'], 1],
  ['"{}"\n{}', ["{}"], 1],
  ["", [], 0],
  ["\n \0", [], 0],
];

for (const [frame, found, others] of FRAMES) {
  test(`Frames: the messages in ${JSON.stringify(frame)}`, () => {
    const pieces = piecesOf(frame, (value) => !("level" in value));
    assertEquals(pieces.found.map(({ text }) => text), found);
    assertEquals(pieces.others.length, others);
  });
}

test("Frames: at most a thousand pieces are read", () => {
  for (const piece of ["{}\n", "{}", "x\n", "{}x\n"]) {
    const { found, others } = piecesOf(piece.repeat(3_000), () => true);
    assert(found.length + others.length <= 1_001, `${piece}`);
  }
});

test("Frames: beside other text only responses count", () => {
  const scene = new Scene();
  scene.start();
  scene.ask(1, "x");
  const answer = '{"jsonrpc":"2.0","id":1,"result":{}}';
  const list = '{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}';
  const roots = '{"jsonrpc":"2.0","id":9,"method":"roots/list"}';
  scene.daemon(`loading\n${list}\n${roots}\n${answer}\ndone: {"id":2}`);
  assertEquals(scene.replies().map(({ id }) => id), [1]);
  assertEquals(scene.logged(), ["invalid-from-daemon"]);
  scene.take();
  scene.daemon(`${list}\n${roots}\n`);
  assertEquals(scene.replies().map(({ method }) => method), [
    "notifications/tools/list_changed",
    "roots/list",
  ]);
});

test("Frames: of one with many messages the first 1,000 are read", () => {
  for (const end of ["\n", ""]) {
    const scene = settled();
    const text =
      '{"jsonrpc":"2.0","method":"notifications/message","params":{}}';
    scene.daemon((text + end).repeat(1_001));
    assertEquals(scene.replies().length, 1_000);
    assertEquals(/more than 1,000/.test(scene.log()), true);
  }
});

test("Frames: of two responses in a line, the second with NaN, each answers its request", () => {
  const scene = settled();
  call(scene, 1, "write");
  scene.ask(2, "x");
  scene.daemon(
    '{"jsonrpc":"2.0","id":1,"result":{}}{"jsonrpc":"2.0","id":2,"result":{"a":NaN}}',
  );
  live(scene, 10_000);
  assertEquals(codes(scene), [[1, undefined], [2, -31002]]);
});

test("Frames: of two responses in a line, the second cut off, each answers its request", () => {
  const scene = settled();
  call(scene, 1, "write");
  scene.ask(2, "x");
  scene.daemon(
    '{"jsonrpc":"2.0","id":1,"result":{}}{"jsonrpc":"2.0","id":2,"result":{"a',
  );
  live(scene, 10_000);
  assertEquals(codes(scene), [[1, undefined], [2, -31002]]);
});

/** Frames in which a good answer stands beside other text. */
const ANSWERED: [what: string, frame: string][] = [
  [
    "what Node prints of an object, then an answer",
    "{\n  port: 8080,\n  host: 'localhost'\n}\n" +
    '{"jsonrpc":"2.0","id":1,"result":{}}\n',
  ],
  [
    "a log line that opens a brace, then a good answer",
    '{starting "server\n{"jsonrpc":"2.0","id":1,"result":{}}\n',
  ],
  [
    "a log line, then an indented answer",
    'INFO done\n{\n  "jsonrpc": "2.0",\n  "id": 1,\n  "result": {}\n}\n',
  ],
  [
    "an indented answer and a log line behind it",
    '{\n "jsonrpc":"2.0",\n "id":1,\n "result":{}\n}\nINFO done',
  ],
];

for (const [what, frame] of ANSWERED) {
  test(`Frames: finds the response: ${what}`, () => {
    const scene = settled();
    call(scene, 1, "write");
    scene.daemon(frame);
    live(scene, 10_000);
    assertEquals(codes(scene), [[1, undefined]]);
  });
}
