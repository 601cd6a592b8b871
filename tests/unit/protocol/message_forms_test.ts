import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { read } from "../../../lib/protocol/envelope.ts";
import { piecesOf } from "../../../lib/protocol/frames.ts";
import { IdTypes, otherType } from "../../../lib/protocol/id_types.ts";
import { cut, members, membersBeforeBreak } from "../../../lib/json/spans.ts";
import { isOwnId } from "../../helpers/session/own_ids.ts";
import { type Json, Scene } from "../../helpers/session/session_driver.ts";
import {
  call,
  REFUSAL,
  retyping,
  settled,
} from "../../helpers/session/two_tool_session.ts";
import { test } from "../../helpers/no_permissions.ts";

const CUTS: [text: string, names: string[], rest: string][] = [
  ['{"a":1}', ["b"], '{"a":1}'],
  ['{"a":1}', ["a"], "{}"],
  [
    '{ "a" : 1.0 , "b" : null , "c":[ {"b":2} ] }',
    ["b"],
    '{ "a" : 1.0 , "c":[ {"b":2} ] }',
  ],
  ['{"b":null,"a":"b"}', ["b"], '{"a":"b"}'],
  ['{"a":1, "b":null }', ["b"], '{"a":1 }'],
  ['{"b":1,"a":2,"b":3,"c":4,"b":null}', ["b"], '{"a":2,"c":4}'],
  ['{"a":1,"b":2,"c":3}', ["b", "c"], '{"a":1}'],
  ['{ "a":1,"b":2 }', ["a", "b"], "{  }"],
  ['{"\\u0062":null,"a":"}"}', ["b"], '{"a":"}"}'],
];
for (const [text, names, rest] of CUTS) {
  test(`JSON spans: cut removes ${names} from ${text}`, () => {
    assertEquals(cut(text, names), rest);
    JSON.parse(rest);
  });
}

const BREAKS: [text: string, found: [string, string | undefined][]][] = [
  ["", []],
  ["[1", []],
  ["{", []],
  ['{"a', []],
  ['{"a"', []],
  ['{"a":', [["a", undefined]]],
  ['{"a":1', [["a", undefined]]],
  ['{"a":1,', [["a", "1"]]],
  ['{"a":1,"b":{"c":"}"},"d":[1,', [["a", "1"], ["b", '{"c":"}"}'], [
    "d",
    undefined,
  ]]],
  ['{"a":NaN,"b":2}', [["a", undefined]]],
  ['{"a":"x\ny","b":2}', [["a", undefined]]],
  ['{"a":1;"b":2}', [["a", undefined]]],
  ['{"a":1 x', [["a", "1"]]],
  ['{"a":1}x', []],
  ['{"a":1} }', []],
];
for (const [text, found] of BREAKS) {
  test(`JSON spans: membersBeforeBreak of ${JSON.stringify(text)}`, () => {
    assertEquals(
      [...membersBeforeBreak(text)],
      found,
    );
  });
}

const TYPES: [id: string, other: string | undefined][] = [
  ["5", '"5"'],
  ["-1", '"-1"'],
  ['"5"', "5"],
  ['"0"', "0"],
  ['"-7"', "-7"],
  ['"12345678901234567890"', "12345678901234567890"],
  ['"5.0"', "5"],
  ['"1.073741824e+09"', "1073741824"],
  ['"1E3"', "1000"],
  ['"007"', undefined],
  ['"5.5"', undefined],
  ['"1e400"', undefined],
  ['""', undefined],
  ['" 5"', undefined],
  ['"five"', undefined],
  ['"0x10"', undefined],
  ['"1e-3"', undefined],
];
for (const [id, other] of TYPES) {
  test(`Id types: the other type of ${id}`, () =>
    assertEquals(otherType(id), other));
}

test("Id types: another type counts only while all ids are of one type", () => {
  const types = new IdTypes();
  assertEquals(types.meant('"1"'), undefined, "none was used");
  types.note("1");
  assertEquals([types.meant('"1"'), types.meant("1")], ["1", undefined]);
  types.note("2");
  assertEquals(types.meant('"7"'), "7");
  types.note('"a"');
  assertEquals(types.meant('"7"'), "7", "no number is meant by that");
  types.note('"3"');
  assertEquals([types.meant('"1"'), types.meant("1")], [undefined, undefined]);
});

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

/** Forms of answers and calls, and what becomes of them: the kind, and the text that goes on. */
const FORMS: [text: string, kind: string, carried: string][] = [
  [
    '{"jsonrpc":"2.0","id":1,"result":{"a":1.0},"error":null}',
    "answer",
    '{"jsonrpc":"2.0","id":1,"result":{"a":1.0}}',
  ],
  [
    '{"jsonrpc":"2.0","error":null,"id":1,"result":{}}',
    "answer",
    '{"jsonrpc":"2.0","id":1,"result":{}}',
  ],
  [
    '{"jsonrpc":"2.0","id":1,"result":{},"error":false}',
    "answer",
    '{"jsonrpc":"2.0","id":1,"result":{}}',
  ],
  [
    '{"jsonrpc":"2.0","method":null,"params":null,"id":1,"result":{},"error":""}',
    "answer",
    '{"jsonrpc":"2.0","id":1,"result":{}}',
  ],
  [
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","result":{}}',
    "answer",
    '{"jsonrpc":"2.0","id":1,"result":{}}',
  ],
  [
    '{"jsonrpc":"2.0","id":1,"result":null,"error":{"code":-1,"message":"no"}}',
    "answer",
    '{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"no"}}',
  ],
  [
    '{"jsonrpc":"2.0","id":1,"result":null}',
    "answer",
    '{"jsonrpc":"2.0","id":1,"result":{}}',
  ],
  [
    '{"jsonrpc":"2.0","id":1,"result":null,"error":null}',
    "answer",
    '{"jsonrpc":"2.0","id":1,"result":{}}',
  ],
  [
    '{"jsonrpc":"2.0","id":null,"method":"notifications/message","params":{"data":1.0}}',
    "notification",
    '{"jsonrpc":"2.0","method":"notifications/message","params":{"data":1.0}}',
  ],
  [
    '{"jsonrpc":"2.0","id":null,"method":"initialized","params":null,"result":null,"error":null}',
    "notification",
    '{"jsonrpc":"2.0","method":"initialized"}',
  ],
  [
    '{"jsonrpc":"2.0","id":3,"method":"roots/list","params":null,"result":null,"error":null}',
    "request",
    '{"jsonrpc":"2.0","id":3,"method":"roots/list"}',
  ],
];
for (const [text, kind, carried] of FORMS) {
  test(`Envelope: reads ${text}`, () => {
    const [message] = read(text);
    assertEquals(message?.kind, kind);
    assertEquals(message?.kind !== "invalid" && message?.text, carried);
  });
}

/** Errors as daemons write them, and as the client gets them. */
const ERRORS: [
  error: string,
  code: number,
  message: string | RegExp,
  data?: Json,
][] = [
  ['{"code":-5,"message":"no"}', -5, "no"],
  ['"no"', -32603, "no"],
  ['{"message":"no"}', -32603, "no"],
  ['{"code":"E_BUSY","message":"no"}', -32603, "E_BUSY: no"],
  ['{"code":"-32601","message":"no"}', -32601, "no"],
  ['{"code":1.5,"message":"no","data":{"n":1.0}}', -32603, "no", { n: 1 }],
  ['{"code":null,"message":"no"}', -32603, "no"],
  ['{"code":7}', 7, "The daemon did not say why"],
  ['{"code":7,"error":"no"}', 7, "no"],
  ['{"detail":"no"}', -32603, "no"],
  ['{"code":"E_BUSY"}', -32603, "E_BUSY"],
  ['{"why":{"deep":1}}', -32603, '{"why":{"deep":1}}'],
  ['["no"]', -32603, '["no"]'],
  ["true", -32603, "true"],
  ['""', -32603, "The daemon did not say why"],
  ["{}", -32603, "The daemon did not say why"],
];
for (const [error, code, message, data] of ERRORS) {
  test(`Malformed errors: the client gets a valid one for ${error}`, () => {
    const scene = new Scene();
    scene.start();
    scene.ask(1, "x");
    scene.daemon(`{"jsonrpc":"2.0","id":1,"error":${error}}`);
    const [reply] = scene.replies();
    assertEquals([reply.id, reply.error.code], [1, code]);
    assertEquals(reply.error.message, message);
    assertEquals(reply.error.data, data);
  });
}

/** A key that the runtime's parser takes for the escaped one, what is then read, and what goes on. */
const ESCAPED: [poison: string, text: string, carried: string][] = [
  [
    "\\\\u",
    '{"jsonrpc":"2.0","result":{"\\u0069d":1.0},"\\u0069d":5}',
    '{"jsonrpc":"2.0","result":{"\\u0069d":1.0},"id":5}',
  ],
  [
    "\\\\u0072",
    '{"jsonrpc":"2.0","id":5,"\\u0072esult":{}}',
    '{"jsonrpc":"2.0","id":5,"result":{}}',
  ],
  [
    "\\\\u006a0",
    '{ "\\u006Asonrpc" : "2.0","id":5,"\\u0072\\u0065sult":{},"other":"\\u0069"}',
    '{ "jsonrpc" : "2.0","id":5,"result":{},"other":"\\u0069"}',
  ],
  [
    "\\\\u0065",
    '{"jsonrpc":"2.0","id":5,"e\\u0072ror":{"code":1,"message":"no"}}',
    '{"jsonrpc":"2.0","id":5,"error":{"code":1,"message":"no"}}',
  ],
];
for (const [poison, text, carried] of ESCAPED) {
  test(`Envelope: an escaped key is read as that key: ${text}`, () => {
    for (const like of ['"a":1', '"jsonrpc":"2.0"', '"jsonrpc":"2.0","id":5']) {
      JSON.parse(`{${like},"${poison}":5}`);
      JSON.parse(`{${like},"result":{},"${poison}":5}`);
      const [message] = read(text);
      assert(message?.kind === "answer");
      assertEquals([message.id, message.text], ["5", carried]);
    }
  });
}

test("Envelope: in a broken text only an id before the break, and of a response, counts", () => {
  const idOf = (text: string): string | undefined => {
    const [message] = read(text);
    return message?.kind === "invalid" ? message.id : "read";
  };
  assertEquals(idOf('{"jsonrpc":"2.0","id":7,"result":{"a":NaN}}'), "7");
  assertEquals(idOf('{"id":"a","result":{"te'), '"a"');
  assertEquals(idOf('{"result":{"a":1},"id":7,"x":NaN}'), "7");
  assertEquals(idOf('{"result":{"a":NaN},"id":7}'), undefined);
  assertEquals(idOf('{"id":7,"result":{}} <- sent'), undefined, "a log line");
  assertEquals(idOf('{"id":7,"method":"m","params":{'), undefined);
  assertEquals(idOf('{"result":{},"id":1'), undefined);
});

test("JSON spans: members names escaped and plain spellings of a key alike", () => {
  assertEquals(members('{"a":1,"\\u0061":2}').map(({ name }) => name), [
    "a",
    "a",
  ]);
});

// What a session makes of these forms.

test("Own ids: whole numbers of 31 bits that the client does not use", () => {
  const scene = new Scene();
  scene.start();
  scene.call(2 ** 30 + 7, "write");
  for (let i = 0; i < 50; i++) {
    scene.pass(5_000);
    scene.pong();
  }
  const own = scene.sent().filter(({ method }) => method === "ping");
  assert(own.length > 10);
  const ids = own.map(({ id }) => id);
  assert(ids.every(isOwnId), `${ids}`);
  assertEquals(new Set(ids).size, ids.length);
  assert(!ids.includes(2 ** 30 + 7));
});

for (const asText of [false, true]) {
  test(`Own ids: a client's request with one that is in flight waits: ${asText ? "as text" : "as number"}`, () => {
    const scene = new Scene();
    scene.start();
    scene.pass(5_000);
    const { id } = scene.sent().at(-1);
    assert(isOwnId(id));
    scene.take();
    const mine = asText ? `${id}` : id;
    scene.ask(mine, "x");
    scene.ask("other", "x");
    assertEquals(scene.written().map(({ id }) => id), ["other"]);
    scene.daemon({ id, result: {} });
    assertEquals(scene.written().map(({ id }) => id), ["other", mine]);
    scene.daemon({ id: mine, result: { right: true } });
    assertEquals(scene.replies().at(-1), {
      jsonrpc: "2.0",
      id: mine,
      result: { right: true },
    });
  });
}

const RETYPED: [what: string, mine: Json, theirs: Json][] = [
  ["a text for a number", 7, "7"],
  ["a double's text for a number", 7, "7.0"],
  ["a number for a text", "7", 7],
];
for (const [what, mine, theirs] of RETYPED) {
  test(`Id types: a response and progress are recognized under the other type: ${what}`, () => {
    const scene = new Scene();
    scene.open();
    const initialize = typeof mine === "number" ? 0 : "0";
    scene.ask(initialize, "initialize", { protocolVersion: "2025-06-18" });
    const result = { protocolVersion: "2025-06-18", capabilities: {} };
    scene.daemon({ id: typeof mine === "number" ? "0" : 0, result });
    scene.ask(mine, "x", { _meta: { progressToken: mine } });
    const params = { progressToken: theirs, progress: 1 };
    scene.daemon({ method: "notifications/progress", params });
    scene.daemon({ id: theirs, result: {} });
    scene.daemon({ id: theirs, result: { twice: true } });
    const [hello, progress, answer, ...rest] = scene.replies();
    assertEquals([hello.id, hello.result], [initialize, result]);
    assertEquals(progress.params, { progressToken: mine, progress: 1 });
    assertEquals(answer, { jsonrpc: "2.0", id: mine, result: {} });
    assertEquals(rest, []);
  });
}

test("Id types: a client with ids of both types gets exact matches only", () => {
  const scene = new Scene();
  scene.start();
  scene.ask("2", "x");
  scene.ask(1, "x");
  scene.daemon({ id: "1", result: {} });
  assertEquals(scene.replies(), []);
  scene.daemon({ id: 1, result: {} });
  assertEquals(scene.replies().map(({ id }) => id), [1]);
});

test("Twin ids: wait for each other where the daemon confuses types", () => {
  const scene = retyping();
  scene.ask(1, "x");
  scene.ask("1", "x");
  scene.ask(2, "x");
  scene.pong();
  assertEquals(scene.written().map(({ id }) => id), [1, 2]);
  scene.daemon({ id: 1, result: { of: 1 } });
  assertEquals(scene.written().map(({ id }) => id), [1, 2, "1"]);
  scene.daemon({ id: "1", result: { of: "1" } });
  assertEquals(scene.replies().map(({ id, result }) => [id, result.of]), [
    [1, 1],
    ["1", "1"],
  ]);
});

test("Id types: our own probes and replays are recognized under the other type", () => {
  const scene = new Scene();
  scene.start();
  scene.pass(5_000);
  const { id } = scene.sent().at(-1);
  scene.daemon({ id: `${id}`, result: {} });
  scene.pass(9_000);
  assertEquals(scene.isLeft(1), false);
  scene.close();
  scene.untilDial();
  scene.open();
  const replay = scene.sent().findLast(({ method }) => method === "initialize");
  const result = { protocolVersion: "2025-06-18", capabilities: {} };
  scene.daemon({ id: `${replay.id}`, result });
  scene.ask("next", "x");
  assertEquals(scene.written().at(-1).id, "next");
});

const HANDSHAKES: [
  what: string,
  text: string,
  answers: Json[],
  written: string,
][] = [
  [
    "with id null",
    '{"jsonrpc":"2.0","id":null,"method":"notifications/initialized"}',
    [],
    '{"jsonrpc":"2.0","method":"notifications/initialized"}',
  ],
  [
    "with an id",
    '{"jsonrpc":"2.0","id":3,"method":"notifications/initialized","params":{}}',
    [{ jsonrpc: "2.0", id: 3, result: {} }],
    '{"jsonrpc":"2.0","method":"notifications/initialized","params":{}}',
  ],
  [
    "by its old name",
    '{"jsonrpc":"2.0","method":"initialized"}',
    [],
    '{"jsonrpc":"2.0","method":"initialized"}',
  ],
  [
    "by its old name, with an id",
    '{"jsonrpc":"2.0","method":"initialized","id":"i"}',
    [{ jsonrpc: "2.0", id: "i", result: {} }],
    '{"jsonrpc":"2.0","method":"initialized"}',
  ],
];
for (const [what, text, answers, written] of HANDSHAKES) {
  test(`Handshake: the client's initialized is sent, and replayed after a reconnect: ${what}`, () => {
    const scene = new Scene();
    scene.open();
    scene.ask("init", "initialize", { protocolVersion: "2025-06-18" });
    scene.daemon({
      id: "init",
      result: { protocolVersion: "2025-06-18", capabilities: {} },
    });
    scene.take();
    scene.client(text);
    assertEquals(scene.replies(), answers);
    const texts = () =>
      scene.take().flatMap((it) => it.type === "send" ? [it.text] : []);
    assertEquals(texts(), [written]);
    scene.close();
    scene.untilDial();
    scene.again();
    assertEquals(texts().filter((it) => it.includes("initialized")), [written]);
  });
}

test("Envelope: a client's notification with an id is sent without it, and answered", () => {
  const scene = new Scene();
  scene.start();
  scene.ask(5, "notifications/roots/list_changed");
  assertEquals(scene.written(), [{
    jsonrpc: "2.0",
    method: "notifications/roots/list_changed",
  }]);
  assertEquals(scene.replies(), [{ jsonrpc: "2.0", id: 5, result: {} }]);
});

test("Envelope: a daemon's notification with an id reaches the client without it, and is answered", () => {
  const scene = new Scene();
  scene.start();
  const method = "notifications/tools/list_changed";
  scene.daemon({ id: 5, method });
  scene.daemon({ id: null, method, params: null });
  const plain = { jsonrpc: "2.0", method };
  assertEquals(scene.replies(), [plain, plain]);
  assertEquals(scene.written(), [{ jsonrpc: "2.0", id: 5, result: {} }]);
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

// What cannot be understood.

const UNCLEAR: [what: string, frame: Json][] = [
  ["an error without an id", REFUSAL],
  ["an error with no id at all", {
    error: { code: -32600, message: "Invalid" },
  }],
  [
    "an answer that breaks off",
    '{"jsonrpc":"2.0","id":1,"result":{"content":[{"te',
  ],
  ["an answer with NaN", '{"jsonrpc":"2.0","id":1,"result":{"x":NaN}}'],
];
for (const [what, frame] of UNCLEAR) {
  test(`Unclear responses: ${what}: a read-only call is sent once more`, () => {
    const scene = settled();
    call(scene, 1, "look");
    scene.daemon(frame);
    scene.pass(200);
    assertEquals(scene.written(), []);
    scene.pong();
    scene.pass(1_800);
    scene.pong();
    assertEquals(scene.written().map(({ id }) => id), [1]);
    scene.daemon({ id: 1, result: {} });
    assertEquals(scene.replies().map(({ id, error }) => [id, error]), [[
      1,
      undefined,
    ]]);
  });

  test(`Unclear responses: ${what}, twice: the outcome is unknown`, () => {
    const scene = settled();
    call(scene, 1, "look");
    for (const replies of [0, 1]) {
      scene.daemon(frame);
      for (let i = 0; i < 4; i++) {
        scene.pass(500);
        scene.pong();
      }
      assertEquals(scene.replies().length, replies);
    }
    const [{ id, error }] = scene.replies();
    assertEquals([id, error.code, error.data.delivered], [
      1,
      -31002,
      "unknown",
    ]);
  });

  test(`Unclear responses: ${what}: any other call fails, with the daemon's message`, () => {
    const scene = settled();
    call(scene, 1, "write");
    scene.daemon(frame);
    scene.pass(1_999);
    scene.pong();
    assertEquals(scene.replies(), []);
    scene.pass(1);
    const [{ id, error }] = scene.replies();
    assertEquals([id, error.code, error.data.delivered], [
      1,
      -31002,
      "unknown",
    ]);
    assertMatch(error.message, /Parse error|Invalid|not JSON/);
    assertEquals(scene.written(), []);
  });

  test(`Unclear responses: ${what}: a proper response within 2 s counts`, () => {
    const scene = settled();
    call(scene, 1, "write");
    scene.daemon(frame);
    scene.pass(1_000);
    scene.daemon({ id: 1, result: {} });
    scene.pass(5_000);
    assertEquals(scene.replies().map(({ id, error }) => [id, error]), [[
      1,
      undefined,
    ]]);
  });
}

const ELSE: [what: string, before: (scene: Scene) => void][] = [
  ["another request", (scene) => scene.ask(2, "x")],
  [
    "a notification",
    (scene) => scene.client({ method: "notifications/roots/list_changed" }),
  ],
  ["a cancelled request", (scene) => {
    scene.ask(2, "x");
    scene.client({
      method: "notifications/cancelled",
      params: { requestId: 2 },
    });
  }],
  ["one of ours that is never answered", (scene) => scene.pass(250)],
];
for (const [what, before] of ELSE) {
  test(`Unnamed errors: ignored where it may concern something else: ${what}`, () => {
    const scene = settled();
    call(scene, 1, "write");
    before(scene);
    scene.daemon(REFUSAL);
    scene.pass(3_000);
    assertEquals(scene.replies(), []);
    assertEquals(scene.written().filter(({ id }) => id === 1), []);
    assert(scene.logged().includes("unnamed-error"));
  });
}

test("Unnamed errors: a daemon that refuses every call fails each of them", () => {
  const scene = settled();
  for (const id of [1, 2, 3]) {
    call(scene, id, "write");
    scene.daemon(REFUSAL);
    scene.pass(1_500);
    scene.pong();
    scene.pass(500);
    assertEquals(scene.replies().map(({ id }) => id), [id]);
    assertEquals(scene.replies()[0].error.code, -31002);
  }
  scene.take();
  scene.call(1, "write");
  const [{ error }] = scene.replies();
  assertEquals(error.code, -32600, "its answer may still come");
});

/** A call that only reads is to be written once more. */
function refused(): Scene {
  const scene = settled();
  call(scene, 1, "look");
  scene.daemon(REFUSAL);
  scene.pass(1_000);
  scene.pong();
  scene.pass(1_000);
  return scene;
}

test("Unclear responses: on a new connection a call is sent once more only if the tool is listed as repeatable there", () => {
  const scene = refused();
  // It waits for a probe, and the connection ends.
  assertEquals(scene.written().filter(({ id }) => id === 1), []);
  scene.close();
  scene.untilDial();
  scene.again();
  scene.pong();
  assertEquals(scene.written().filter(({ id }) => id === 1), []);
  const list = scene.sent().findLast(({ method }) => method === "tools/list");
  scene.daemon({ id: list.id, result: { tools: [{ name: "look" }] } });
  const [{ id, error }] = scene.replies().filter(({ id }) => id === 1);
  assertEquals([id, error.code, error.data.delivered], [1, -31002, "unknown"]);
});

test("Unclear responses: a call that waits to be sent once more counts as delivered", () => {
  const scene = refused();
  scene.close();
  scene.pass(260);
  while (scene.replies().length === 0) {
    scene.refuse();
    scene.untilDial();
  }
  const [{ id, error }] = scene.replies();
  assertEquals([id, error.code, error.data.delivered], [1, -31001, "unknown"]);
});

test("Unnamed results: belong to no request", () => {
  const scene = settled();
  call(scene, 1, "look");
  scene.daemon({ id: null, result: {} });
  scene.pass(3_000);
  assertEquals(scene.logged(), ["unnamed-result"]);
  assertEquals(scene.replies(), []);
  assertEquals(scene.written(), []);
});

test("Progress: reaches the client even where it does not rise, until the request is sent again", () => {
  const scene = settled();
  scene.call(1, "look", { progressToken: "t" });
  scene.pong();
  const progress = (value: Json): Json[] => {
    scene.take();
    const params = { progressToken: "t", progress: value };
    scene.daemon({ method: "notifications/progress", params });
    return scene.replies().map(({ params }) => params.progress);
  };
  assertEquals([5, 5, 3].map(progress), [[5], [5], [3]]);
  assertEquals(progress("6"), [], "no client takes it");
  scene.close();
  scene.untilDial();
  scene.again();
  const list = scene.sent().findLast(({ method }) => method === "tools/list");
  scene.daemon({
    id: list.id,
    result: { tools: [{ name: "look", annotations: { readOnlyHint: true } }] },
  });
  assert(scene.written().some(({ id }) => id === 1));
  assertEquals([3, 5, 6].map(progress), [[], [], [6]]);
});
