/**
 * Tests how messages are parsed, in all forms in which peers write them.
 *
 * @module
 */

import {
  parseFrame,
  parseMessages,
} from "../../../lib/protocol/message_parser.ts";
import { assert, assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { SessionDriver } from "../../helpers/session/session_driver.ts";
import {
  answerPingsFor,
  responseCodes,
  sendCall,
  startTwoToolSession,
} from "../../helpers/session/two_tool_session.ts";

/**
 * Responses and requests in various forms, with the kind of each and the text
 * that is forwarded.
 */
const FORMS: [text: string, kind: string, carried: string][] = [
  [
    '{"jsonrpc":"2.0","id":1,"result":{"a":1.0},"error":null}',
    "response",
    '{"jsonrpc":"2.0","id":1,"result":{"a":1.0}}',
  ],
  [
    '{"jsonrpc":"2.0","error":null,"id":1,"result":{}}',
    "response",
    '{"jsonrpc":"2.0","id":1,"result":{}}',
  ],
  [
    '{"jsonrpc":"2.0","id":1,"result":{},"error":false}',
    "response",
    '{"jsonrpc":"2.0","id":1,"result":{}}',
  ],
  [
    '{"jsonrpc":"2.0","method":null,"params":null,"id":1,"result":{},"error":""}',
    "response",
    '{"jsonrpc":"2.0","id":1,"result":{}}',
  ],
  [
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","result":{}}',
    "response",
    '{"jsonrpc":"2.0","id":1,"result":{}}',
  ],
  [
    '{"jsonrpc":"2.0","id":1,"result":null,"error":{"code":-1,"message":"no"}}',
    "response",
    '{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"no"}}',
  ],
  [
    '{"jsonrpc":"2.0","id":1,"result":null}',
    "response",
    '{"jsonrpc":"2.0","id":1,"result":{}}',
  ],
  [
    '{"jsonrpc":"2.0","id":1,"result":null,"error":null}',
    "response",
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
    const [message] = parseMessages(text);
    assertEquals(message?.kind, kind);
    assertEquals(message?.kind !== "invalid" && message?.text, carried);
  });
}

/**
 * A key that the runtime's JSON parser may confuse with an escaped key, a text
 * with escaped keys, and the text that is forwarded.
 */
const ESCAPED: [trapText: string, text: string, carried: string][] = [
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

for (const [trapText, text, carried] of ESCAPED) {
  test(`Envelope: an escaped key is read as that key: ${text}`, () => {
    for (const like of ['"a":1', '"jsonrpc":"2.0"', '"jsonrpc":"2.0","id":5']) {
      JSON.parse(`{${like},"${trapText}":5}`);
      JSON.parse(`{${like},"result":{},"${trapText}":5}`);
      const [message] = parseMessages(text);
      assert(message?.kind === "response");
      assertEquals([message.id, message.text], ["5", carried]);
    }
  });
}

test("Envelope: in an invalid text, only a response's id before the syntax error counts", () => {
  const idOf = (text: string): string | undefined => {
    const [message] = parseMessages(text);
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

test("Envelope: a client's notification with an id is sent without the id, and the client gets a response", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.request(5, "notifications/roots/list_changed");
  assertEquals(driver.sentExceptProbes(), [{
    jsonrpc: "2.0",
    method: "notifications/roots/list_changed",
  }]);
  assertEquals(driver.sentToClient(), [{ jsonrpc: "2.0", id: 5, result: {} }]);
});

test("Envelope: a daemon's notification with an id reaches the client without the id, and the daemon gets a response", () => {
  const driver = new SessionDriver();
  driver.connect();
  const method = "notifications/tools/list_changed";
  driver.fromDaemon({ id: 5, method });
  driver.fromDaemon({ id: null, method, params: null });
  const plain = { jsonrpc: "2.0", method };
  assertEquals(driver.sentToClient(), [plain, plain]);
  assertEquals(driver.sentExceptProbes(), [{
    jsonrpc: "2.0",
    id: 5,
    result: {},
  }]);
});

for (const error of ["", false]) {
  test(`Envelope: a message with a method and an empty error is a request or notification: ${JSON.stringify(error)}`, () => {
    const driver = startTwoToolSession();
    sendCall(driver, 0, "write");
    const params = { level: "info", data: "x" };
    driver.fromDaemon({
      id: 0,
      method: "notifications/message",
      params,
      error,
    });
    assertEquals(driver.sentToClient().map(({ method }) => method), [
      "notifications/message",
    ]);
  });
}

test("Envelope: a null member is removed", () => {
  const driver = startTwoToolSession();
  sendCall(driver, 1, "write");
  driver.fromDaemon({ id: 1, result: {}, session: null });
  assertEquals(driver.sentToClient(), [{ jsonrpc: "2.0", id: 1, result: {} }]);
});

test("Envelope: a log line in JSON is not a response", () => {
  const driver = startTwoToolSession();
  sendCall(driver, 1, "write");
  driver.fromDaemon('{"level":"error","id":1,"error":"will retry"}');
  answerPingsFor(driver, 3_000);
  assertEquals(responseCodes(driver), []);
});

test("Envelope: empty members are ignored if a daemon writes all members", () => {
  for (
    const error of ['""', "false", "0", "{}", "[]", '{"code":0,"message":""}']
  ) {
    const driver = startTwoToolSession();
    sendCall(driver, 1, "write");
    driver.fromDaemon(
      `{"jsonrpc":"2.0","id":1,"result":{"a":1},"error":${error}}`,
    );
    driver.fromDaemon(
      `{"jsonrpc":"2.0","method":"x","result":null,"error":""}`,
    );
    assertEquals(driver.sentToClient(), [
      { jsonrpc: "2.0", id: 1, result: { a: 1 } },
      { jsonrpc: "2.0", method: "x" },
    ]);
  }
});

test("Envelope: a client's request with a missing or wrong jsonrpc and an unknown member gets an error", () => {
  const driver = startTwoToolSession();
  driver.fromClient('{"id":1,"method":"x","_meta":{}}');
  driver.fromClient('{"jsonrpc":"1.0","id":2,"method":"x","sessionId":"a"}');
  assertEquals(responseCodes(driver), [[1, -32600], [2, -32600]]);
});

test("Envelope: a notification with an empty result is a notification", () => {
  const driver = startTwoToolSession();
  driver.fromDaemon({
    method: "notifications/message",
    params: { level: "info", data: 1 },
    result: {},
  });
  assertEquals(driver.sentToClient().length, 1);
});

/** A text, and the kind and the id of its message. */
const TABLE: [text: string, kind: string, id: string | undefined][] = [
  ['{"jsonrpc":"2.0","id":0,"method":"m"}', "request", "0"],
  ['{"jsonrpc":"2.0","id":"0","method":"m"}', "request", '"0"'],
  ['{"jsonrpc":"2.0","id":"","method":"m"}', "request", '""'],
  ['{"jsonrpc":"2.0","id":-1,"method":"m"}', "request", "-1"],
  ['{"jsonrpc":"2.0","id":1.0,"method":"m"}', "request", "1"],
  ['{"jsonrpc":"2.0","id":1.5,"method":"m"}', "request", "1.5"],
  ['{"jsonrpc":"2.0","id":"\\u00e9","method":"m"}', "request", '"\u00e9"'],
  [
    '{"jsonrpc":"2.0","id":12345678901234567890,"method":"m"}',
    "request",
    "12345678901234567890",
  ],
  [
    '{"jsonrpc":"2.0","id":1e400,"method":"m"}',
    "invalid request-or-notification",
    undefined,
  ],
  [
    '{"jsonrpc":"2.0","id":null,"method":"m"}',
    "invalid request-or-notification",
    "null",
  ],
  [
    '{"jsonrpc":"2.0","id":true,"method":"m"}',
    "invalid request-or-notification",
    undefined,
  ],
  [
    '{"jsonrpc":"2.0","id":{},"method":"m"}',
    "invalid request-or-notification",
    undefined,
  ],
  [
    '{"jsonrpc":"2.0","id":[1],"method":"m"}',
    "invalid request-or-notification",
    undefined,
  ],
  ['{"jsonrpc":"2.0","method":"m"}', "notification", undefined],
  ['{"jsonrpc":"2.0","id":7,"result":null}', "response", "7"],
  ['{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":""}}', "response", "7"],
  [
    '{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}',
    "response",
    undefined,
  ],
  ['{"jsonrpc":"2.0","error":{"code":1,"message":""}}', "response", undefined],
  ['{"jsonrpc":"2.0","id":7,"error":"no"}', "response", "7"],
  ['{"jsonrpc":"2.0","id":7,"error":{"code":"1"}}', "response", "7"],
  ['{"jsonrpc":"1.0","id":7,"result":1}', "invalid response", "7"],
  ['{"id":7,"method":"m"}', "invalid request-or-notification", "7"],
  ['{"jsonrpc":"2.0","id":7}', "invalid any", "7"],
  [
    '{"jsonrpc":"2.0","id":7,"method":5}',
    "invalid request-or-notification",
    "7",
  ],
  ['{"jsonrpc":"2.0","id":7,"method":null,"result":{}}', "response", "7"],
  ['{"jsonrpc":"2.0","id":7,"method":null}', "invalid any", "7"],
  ['\ufeff{"jsonrpc":"2.0","id":7,"result":{}}', "response", "7"],
  ['{"jsonrpc":"2.0","id":7,"result":{"x":NaN}}', "invalid response", "7"],
  ['{"id":"7","jsonrpc":"2.0","result":[-Infinity', "invalid response", '"7"'],
  [
    ' { "jsonrpc" : "2.0" , "id" : 12345678901234567890 , "error":{NaN',
    "invalid response",
    "12345678901234567890",
  ],
  ['{"jsonrpc":"2.0","id":7,"result":{}]', "invalid response", "7"],
  [
    '{"jsonrpc":"2.0","id":7,"method":"m","x":NaN}',
    "invalid request-or-notification",
    undefined,
  ],
  [
    '{"jsonrpc":"2.0","result":{"id":7,"result":NaN',
    "invalid request-or-notification",
    undefined,
  ],
  [
    '{"jsonrpc":"2.0","id":007,"result":{}}',
    "invalid request-or-notification",
    undefined,
  ],
  ["{}", "invalid any", undefined],
  ["5", "invalid request-or-notification", undefined],
  ["null", "invalid request-or-notification", undefined],
  ['"text"', "invalid request-or-notification", undefined],
  ["[]", "invalid request-or-notification", undefined],
  ["{", "invalid request-or-notification", undefined],
  ["", "invalid request-or-notification", undefined],
  ["Content-Length: 5", "invalid request-or-notification", undefined],
];

for (const [text, kind, id] of TABLE) {
  test(`Envelope: reads ${text || "(nothing)"}`, () => {
    const messages = parseMessages(text);
    assertEquals(messages.length, 1);
    const [message] = messages;
    const found = message?.kind === "invalid"
      ? `invalid ${message.intendedKind}`
      : message?.kind;
    assertEquals(found, kind);
    assertEquals("id" in message! ? message.id : undefined, id);
  });
}

test("Envelope: a batch gives its elements, each with its exact text", () => {
  const first = '{"jsonrpc":"2.0","id":1,"method":"a","params":{"n":1.0}}';
  const messages = parseMessages(
    `[ ${first} , 5, [] ,{"jsonrpc":"2.0","method":"b"}]`,
  );
  assertEquals(messages.map(({ kind }) => kind), [
    "request",
    "invalid",
    "invalid",
    "notification",
  ]);
  assertEquals(messages[0]?.kind === "request" && messages[0].text, first);
});

/** A text so long that a result with it is parsed only on first use. */
const LARGE_TEXT = JSON.stringify(
  '\u00e9\u{1f600}"id":1,"error":{},\\ [{ \n'.repeat(3_000),
);
/** A large result that contains the names of envelope members. */
const LARGE = `{"error":{"code":1},"id":9,"result":{"method":"x"},` +
  `"content":[{"jsonRpc":"2.0","n":1.0}, ${LARGE_TEXT}] }`;

/** Large frames of valid JSON. `LARGE` stands for the large result. */
const LARGE_FRAMES: readonly string[] = [
  '{"jsonrpc":"2.0","id":1,"result":LARGE}',
  '{"result":LARGE,"jsonrpc":"2.0","id":"a"}',
  ' {\n"id" : 12345678901234567890 , "result" : LARGE , "jsonrpc":"2.0" }\r\n',
  '{"jsonrpc":"2.0","id":null,"result":LARGE}',
  '{"jsonrpc":"2.0","id":1,"result":LARGE,"_meta":LARGE}',
  '{"jsonrpc":"2.0","id":1,"result":LARGE,"error":null,"method":null}',
  '{"jsonrpc":"2.0","id":1,"result":LARGE,"error":{"code":1,"message":"no"}}',
  '{"jsonrpc":"2.0","id":1,"method":"x","params":{},"result":LARGE}',
  '{"jsonrpc":"2.0","method":"x","params":LARGE,"result":{}}',
  '{"jsonrpc":"2.0","id":1,"method":"x","params":LARGE}',
  '{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"no","data":LARGE}}',
  '{"jsonrpc":"2.0","id":1,"result":LARGE,"result":{}}',
  '{"jsonrpc":"2.0","id":1,"result":[],"result":LARGE}',
  '{"jsonrpc":"2.0","id":1,"result":LARGE,"id":2}',
  '{"id":1,"result":{"x":LARGE,"error":{},"method":"x"},"jsonrpc":"2.0"}',
  '{"jsonrpc":"2.0","id":1,"result":{"code":"function () {} {"},"x":LARGE}',
  '{"jsonrpc":"2.0","\\u0069d":1,"result":LARGE}',
  '{"jsonrpc":"2.0","id":1,"result":LARGE,"\\u0072esult":{}}',
  '{"jsonrpc":"2.0","id":1,"result":LARGE,"\\u0065rror":{"code":1,"message":""}}',
  '{"jsonrpc":"2.0","id":1,"result":[LARGE]}',
  '{"jsonrpc":"2.0","id":1,"result":[],"_meta":LARGE}',
  '{"jsonrpc":"2.0","id":1,"result":null,"_meta":LARGE}',
  '{"jsonrpc":"2.0","id":1,"result":{"x":"\\ud800 \\" NaN","y":LARGE}}',
  '{"jsonrpc":"2.0","result":LARGE,"id":1,"x":{"s":1}}',
  '{"jsonrpc":"2.0","result":LARGE,"id":1,"_meta":LARGE}',
  '{"jsonrpc":"2.0","id":1,"result":LARGE,"params":{}}',
  '{"jsonrpc":"2.0","id":1,"result":LARGE,"y":null,"x":{"a":"}\\\\"}}',
  '{"jsonrpc":"2.0","id":1,"result":LARGE,"y":null,"x":{"a":"{\\" }"}}',
  '{"jsonrpc":"2.0","id":1,"result":LARGE,"y":null,"x":[[],{"a":{}}],"z":{}}',
  '{"jsonrpc":"2.0","id":1,"result":{"a":{"jsonrpc":"2.0"},"x":LARGE}}',
  '{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":"no","data":LARGE}}',
  '{"jsonrpc":"2.0","id":1,"result":{},"_meta":{},"error":{"code":1,"data":LARGE}}',
  '{"jsonrpc":"2.0","id":1,"result":{},"\\u0065rror":{"code":1,"data":LARGE}}',
  '{"jsonrpc":"2.0","id":1,"result":{},"a":[1],"error":{"code":1,"data":LARGE}}',
  '{"jsonrpc":"2.0","id":1,"result":{},"id":2,"_meta":LARGE}',
  '{"jsonrpc":"2.0","id":1,"result":{},"a":5,"id":true,"_meta":LARGE}',
  '{"jsonrpc":"2.0","id":1,"result":{} , "params":LARGE}',
  '{"jsonrpc":"1.0","id":1,"result":LARGE}',
  '{"id":1,"result":LARGE}',
  '[{"jsonrpc":"2.0","id":1,"result":LARGE},{"jsonrpc":"2.0","id":2,"result":{}}]',
];

for (const small of LARGE_FRAMES) {
  test(`Envelope: a large frame is read like a small one: ${small}`, () => {
    const text = small.replaceAll("LARGE", () => LARGE);
    JSON.parse(text);
    assertEquals(parseFrame(text), parseMessages(text));
  });
}

test("Envelope: a null member between a large result and a small object is removed", () => {
  const result = `{"a":"${"x".repeat(70_000)}"}`;
  const frame = `{"jsonrpc":"2.0","id":1,"result":${result},"y":null,"x":{}}`;
  const [message] = parseFrame(frame);
  assert(message?.kind === "response");
  assertEquals(message.text.length, frame.length - `,"y":null`.length);
});

test("Envelope: a large result is parsed only on first use", () => {
  const text = `{"jsonrpc":"2.0","id":1,"result":${LARGE}}`;
  const [message] = parseFrame(text);
  assert(message?.kind === "response");
  assert(Object.getOwnPropertyDescriptor(message, "result")?.get);
  assertEquals(message.text, text);
  const { result } = message;
  assertEquals(result, JSON.parse(LARGE));
  assert(message.result === result);
});

test("Envelope: with other text, a large frame gives the same messages as a small one", () => {
  const plain = '{"jsonrpc":"2.0","id":1,"result":LARGE}';
  const second = '{"jsonrpc":"2.0","id":2,"result":{}}';
  for (
    const small of [
      `\ufeff${plain}\0`,
      `${plain}\n${second}`,
      `${plain}${second}`,
      `a log line\n${plain}`,
      `${plain} and more`,
      `${plain};${second}`,
      `${plain} done ${second}`,
      `${plain},${second}`,
      '{"jsonrpc":"2.0","id":1,"result":{"x":"\t","y":LARGE}}',
      plain.slice(0, -1),
      '{"jsonrpc":"2.0","id":1,"result":{"x":NaN,"y":LARGE}}',
      '{"jsonrpc":"2.0","id":1,"result":{"y":LARGE,"x":-Infinity}}',
      '{"jsonrpc":"2.0","id":1x,"result":LARGE}',
      '{"jsonrpc":"2.0","id":1,"result":LARGE,}',
      '{"jsonrpc":"2.0","id":1,"result":{"x":oops,"y":LARGE},"id":2}',
      '{"jsonrpc":"2.0","result":{"\\"":1},"id":""Id":LARGE},"id":"0"}',
      '{"jsonrpc":"2.0","id":1,"result":{}}{"id":2,"result":LARGE}',
      '{"jsonrpc":"2.0","id":1,"result":{}} {"result":LARGE,"id":2}',
    ]
  ) {
    const outcome = (result: string): unknown =>
      parseFrame(small.replace("LARGE", () => result)).map((message) => [
        message.kind,
        "id" in message && message.id,
        "text" in message && message.text.replace(result, ""),
      ]);
    assertEquals(outcome(LARGE), outcome('{"a":1}'), small);
  }
});

test("Envelope: a large result that is not JSON is forwarded unchanged", () => {
  const text = `{"jsonrpc":"2.0","id":1,"result":{"x":oops,"y":${LARGE}}}`;
  const driver = startTwoToolSession({ secrets: ["s3cret"] });
  sendCall(driver, 1, "write");
  driver.fromDaemon(text);
  assertEquals(
    driver.takeEffects().flatMap((it) =>
      it.type === "send-to-client" ? [it.text] : []
    ),
    [text],
  );
});

test("Envelope: a large tool error that is not JSON is redacted", () => {
  const driver = startTwoToolSession({ secrets: ["s3cret"] });
  sendCall(driver, 1, "write");
  driver.fromDaemon(
    `{"jsonrpc":"2.0","id":1,"result":{"isError":true,"content":["s3cret",` +
      `oops,${LARGE}]}}`,
  );
  const texts = driver.takeEffects().map((effect) => JSON.stringify(effect));
  assert(texts.some((text) => text.includes("***")));
  assert(!texts.some((text) => text.includes("s3cret")));
});

test("Envelope: a large list that is not JSON is ignored", () => {
  const list = (id: unknown): string =>
    `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":{"tools":[oops,` +
    `${LARGE}]}}`;
  const driver = startTwoToolSession();
  driver.request(1, "tools/list");
  driver.fromDaemon(list(1));
  assertEquals(driver.sentToClient(), []);
  driver.close();
  driver.advanceToNextDial();
  driver.reconnect();
  const own = driver.sentToDaemon()
    .find(({ method }) => method === "tools/list");
  driver.takeEffects();
  driver.fromDaemon(list(own.id));
  assertEquals(
    driver.sentToClient().map(({ method }) => method),
    [],
    "the client is told of no change",
  );
});

test("Envelope: a large initialize result that is not JSON does not open a session", () => {
  const driver = new SessionDriver();
  driver.open();
  driver.request(1, "initialize", { protocolVersion: "2025-06-18" });
  driver.takeEffects();
  driver.fromDaemon(
    `{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":oops,"x":${LARGE}}}`,
  );
  assertEquals(responseCodes(driver), [[1, -32603]]);
});

test("Envelope: a large tool error is redacted with any spelling of isError", () => {
  for (const name of ['"isError"', '"isErr\\u006fr"']) {
    const driver = startTwoToolSession({ secrets: ["s3cret"] });
    sendCall(driver, 1, "write");
    driver.fromDaemon(
      `{"jsonrpc":"2.0","id":1,"result":{"content":["no s3cret",${LARGE}],` +
        `${name} : true}}`,
    );
    const [response] = driver.sentToClient();
    assertEquals(response.result.content[0], "no ***");
  }
});
