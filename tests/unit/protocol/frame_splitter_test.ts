/**
 * Tests which messages are found in a frame that also has other text.
 *
 * @module
 */

import { splitFrame } from "../../../lib/protocol/frame_splitter.ts";
import { assert, assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { SessionDriver } from "../../helpers/session/session_driver.ts";
import {
  answerPingsFor,
  responseCodes,
  sendCall,
  startTwoToolSession,
} from "../../helpers/session/two_tool_session.ts";

/** A frame, the texts of its messages, and the number of its other texts. */
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
  ['{"level":[\n{"a":1}\n]}\n{"a":2}', ['{"a":2}'], 1],
  ['{"a":1}{"level":\n"info"} end\n{"a":2}', ['{"a":1}', '{"a":2}'], 1],
  ["", [], 0],
  ["\n \0", [], 0],
];

/** A broken object with one of these members is a message. */
const NAMES = ["a"];

for (const [frame, found, others] of FRAMES) {
  test(`Frames: the messages in ${JSON.stringify(frame)}`, () => {
    const pieces = splitFrame(frame, (value) => !("level" in value), NAMES);
    assertEquals(pieces.jsonPieces.map(({ text }) => text), found);
    assertEquals(pieces.otherTexts.length, others);
  });
}

test("Frames: at most a thousand pieces are read", () => {
  for (const piece of ["{}\n", "{}", "x\n", "{}x\n"]) {
    const { jsonPieces, otherTexts } = splitFrame(
      piece.repeat(3_000),
      () => true,
      NAMES,
    );
    assert(jsonPieces.length + otherTexts.length <= 1_001, `${piece}`);
  }
});

test("Frames: if there is other text, only responses count", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.request(1, "x");
  const answer = '{"jsonrpc":"2.0","id":1,"result":{}}';
  const list = '{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}';
  const roots = '{"jsonrpc":"2.0","id":9,"method":"roots/list"}';
  driver.fromDaemon(`loading\n${list}\n${roots}\n${answer}\ndone: {"id":2}`);
  assertEquals(driver.sentToClient().map(({ id }) => id), [1]);
  assertEquals(driver.logEvents(), ["invalid-from-daemon"]);
  driver.takeEffects();
  driver.fromDaemon(`${list}\n${roots}\n`);
  assertEquals(driver.sentToClient().map(({ method }) => method), [
    "notifications/tools/list_changed",
    "roots/list",
  ]);
});

test("Frames: of a frame with many messages, the first 1,000 are read", () => {
  for (const end of ["\n", ""]) {
    const driver = startTwoToolSession();
    const text =
      '{"jsonrpc":"2.0","method":"notifications/message","params":{}}';
    driver.fromDaemon((text + end).repeat(1_001));
    assertEquals(driver.sentToClient().length, 1_000);
    assertEquals(/more than 1,000/.test(driver.logText()), true);
  }
});

test("Frames: two responses in a line, the second with NaN, both complete their requests", () => {
  const driver = startTwoToolSession();
  sendCall(driver, 1, "write");
  driver.request(2, "x");
  driver.fromDaemon(
    '{"jsonrpc":"2.0","id":1,"result":{}}{"jsonrpc":"2.0","id":2,"result":{"a":NaN}}',
  );
  answerPingsFor(driver, 10_000);
  assertEquals(responseCodes(driver), [[1, undefined], [2, -31002]]);
});

test("Frames: two responses in a line, the second cut off, both complete their requests", () => {
  const driver = startTwoToolSession();
  sendCall(driver, 1, "write");
  driver.request(2, "x");
  driver.fromDaemon(
    '{"jsonrpc":"2.0","id":1,"result":{}}{"jsonrpc":"2.0","id":2,"result":{"a',
  );
  answerPingsFor(driver, 10_000);
  assertEquals(responseCodes(driver), [[1, undefined], [2, -31002]]);
});

/** Frames with a valid response and other text. */
const ANSWERED: [what: string, frame: string][] = [
  [
    "an object as Node prints it, then a response",
    "{\n  port: 8080,\n  host: 'localhost'\n}\n" +
    '{"jsonrpc":"2.0","id":1,"result":{}}\n',
  ],
  [
    "a log line with an open brace, then a valid response",
    '{starting "server\n{"jsonrpc":"2.0","id":1,"result":{}}\n',
  ],
  [
    "a log line, then an indented response",
    'INFO done\n{\n  "jsonrpc": "2.0",\n  "id": 1,\n  "result": {}\n}\n',
  ],
  [
    "an indented response, then a log line",
    '{\n "jsonrpc":"2.0",\n "id":1,\n "result":{}\n}\nINFO done',
  ],
];

for (const [what, frame] of ANSWERED) {
  test(`Frames: finds the response: ${what}`, () => {
    const driver = startTwoToolSession();
    sendCall(driver, 1, "write");
    driver.fromDaemon(frame);
    answerPingsFor(driver, 10_000);
    assertEquals(responseCodes(driver), [[1, undefined]]);
  });
}
