import { assertEquals } from "../../helpers/assert.ts";
import {
  Code,
  digId,
  failure,
  notification,
  oneLine,
  request,
  success,
} from "../../../lib/protocol/jsonrpc.ts";
import { read, skim } from "../../../lib/protocol/envelope.ts";
import { test } from "../../helpers/no_permissions.ts";

/** What `read` makes of a text, in one word and the id. */
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
  ['{"jsonrpc":"2.0","id":1e400,"method":"m"}', "invalid call", undefined],
  ['{"jsonrpc":"2.0","id":null,"method":"m"}', "invalid call", "null"],
  ['{"jsonrpc":"2.0","id":true,"method":"m"}', "invalid call", undefined],
  ['{"jsonrpc":"2.0","id":{},"method":"m"}', "invalid call", undefined],
  ['{"jsonrpc":"2.0","id":[1],"method":"m"}', "invalid call", undefined],
  ['{"jsonrpc":"2.0","method":"m"}', "notification", undefined],
  ['{"jsonrpc":"2.0","id":7,"result":null}', "answer", "7"],
  ['{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":""}}', "answer", "7"],
  [
    '{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}',
    "answer",
    undefined,
  ],
  ['{"jsonrpc":"2.0","error":{"code":1,"message":""}}', "answer", undefined],
  ['{"jsonrpc":"2.0","id":7,"error":"no"}', "answer", "7"],
  ['{"jsonrpc":"2.0","id":7,"error":{"code":"1"}}', "answer", "7"],
  ['{"jsonrpc":"1.0","id":7,"result":1}', "invalid answer", "7"],
  ['{"id":7,"method":"m"}', "invalid call", "7"],
  ['{"jsonrpc":"2.0","id":7}', "invalid either", "7"],
  ['{"jsonrpc":"2.0","id":7,"method":5}', "invalid call", "7"],
  ['{"jsonrpc":"2.0","id":7,"method":null,"result":{}}', "answer", "7"],
  ['{"jsonrpc":"2.0","id":7,"method":null}', "invalid either", "7"],
  ['\ufeff{"jsonrpc":"2.0","id":7,"result":{}}', "answer", "7"],
  ['{"jsonrpc":"2.0","id":7,"result":{"x":NaN}}', "invalid answer", "7"],
  ['{"id":"7","jsonrpc":"2.0","result":[-Infinity', "invalid answer", '"7"'],
  [
    ' { "jsonrpc" : "2.0" , "id" : 12345678901234567890 , "error":{NaN',
    "invalid answer",
    "12345678901234567890",
  ],
  ['{"jsonrpc":"2.0","id":7,"method":"m","x":NaN}', "invalid call", undefined],
  ['{"jsonrpc":"2.0","result":{"id":7,"result":NaN', "invalid call", undefined],
  ['{"jsonrpc":"2.0","id":007,"result":{}}', "invalid call", undefined],
  ["{}", "invalid either", undefined],
  ["5", "invalid call", undefined],
  ["null", "invalid call", undefined],
  ['"text"', "invalid call", undefined],
  ["[]", "invalid call", undefined],
  ["{", "invalid call", undefined],
  ["", "invalid call", undefined],
  ["Content-Length: 5", "invalid call", undefined],
];

for (const [text, kind, id] of TABLE) {
  test(`Envelope: reads ${text || "(nothing)"}`, () => {
    const messages = read(text);
    assertEquals(messages.length, 1);
    const [message] = messages;
    const found = message?.kind === "invalid"
      ? `invalid ${message.like}`
      : message?.kind;
    assertEquals(found, kind);
    assertEquals("id" in message! ? message.id : undefined, id);
  });
}

test("Envelope: a batch is its elements, each as it is spelled", () => {
  const first = '{"jsonrpc":"2.0","id":1,"method":"a","params":{"n":1.0}}';
  const messages = read(`[ ${first} , 5, [] ,{"jsonrpc":"2.0","method":"b"}]`);
  assertEquals(messages.map(({ kind }) => kind), [
    "request",
    "invalid",
    "invalid",
    "notification",
  ]);
  assertEquals(messages[0]?.kind === "request" && messages[0].text, first);
});

const SKIMMED: [head: string, tail: string, id: string | undefined][] = [
  ['{"jsonrpc":"2.0","id":7,"method":"x","params":{', "}}", "7"],
  ['{"jsonrpc":"2.0","method":"x","id":"a","params":{', "}}", '"a"'],
  ['{"method":"x","params":{"a":"', '"},"jsonrpc":"2.0","id":7}', "7"],
  ['{"method":"x","params":{"a":"', '"},"id":"7"} ', '"7"'],
  ['{"method":"x","params":{"id":5,"a":"', '"}}', undefined],
  ['{"method":"x","params":{"a":{"b":"', '","id":5}}}', undefined],
  ['{"jsonrpc":"2.0","id":7,"result":{"method":', "}}", undefined],
  ['[{"jsonrpc":"2.0","id":7,"method":"x"},', "]", undefined],
  [
    '{"id":12345678901234567890,"method":"x","params":{',
    "}}",
    "12345678901234567890",
  ],
  ['{"id":01,"method":"x","params":{', "}}", undefined],
  ['{"id":"\\x","method":"x","params":{', "}}", undefined],
  ["xxxxxxxx", "xxxxxxx", undefined],
];
for (const [head, tail, id] of SKIMMED) {
  test(`JSON-RPC: skim finds a request's id in ${head} ... ${tail}`, () => {
    assertEquals(skim(head + "x".repeat(99), "x".repeat(99) + tail), id);
  });
}

test("JSON-RPC: digId reads ids inside params, also those that a double cannot hold", () => {
  const at = (params: string): string | undefined => {
    const text = `{"jsonrpc":"2.0","method":"m","params":${params}}`;
    const [message] = read(text);
    return message?.kind === "notification"
      ? digId(message, "requestId")
      : "unreadable";
  };
  assertEquals(at('{"requestId":0}'), "0");
  assertEquals(at('{"requestId":"0"}'), '"0"');
  assertEquals(
    at('{"requestId":98765432109876543210}'),
    "98765432109876543210",
  );
  assertEquals(at('{"requestId":null}'), undefined);
  assertEquals(at("{}"), undefined);
  assertEquals(at("[1]"), undefined);
});

test("JSON-RPC: builds messages with the id as it is spelled", () => {
  assertEquals(
    failure('"0"', Code.unavailable, 'a "b"\n'),
    '{"jsonrpc":"2.0","id":"0","error":{"code":-31001,"message":"a \\"b\\"\\n"}}',
  );
  assertEquals(success("0", {}), '{"jsonrpc":"2.0","id":0,"result":{}}');
  assertEquals(
    request("1", "ping"),
    '{"jsonrpc":"2.0","id":1,"method":"ping"}',
  );
  assertEquals(
    notification("notifications/resources/updated", { uri: "a" }),
    '{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a"}}',
  );
});

test("JSON-RPC: our own error codes are outside the reserved range", () => {
  const standard = [-32600, -32601, -32602, -32603];
  for (const code of Object.values(Code)) {
    const isPrivate = code < -32768 || code > -32000;
    assertEquals(isPrivate, !standard.includes(code), `${code}`);
  }
});

test("JSON-RPC: oneLine makes one line of a pretty-printed frame, with the same value", () => {
  const value = { a: ["x\ny", 1], b: "\r" };
  const line = oneLine(`\r\n${JSON.stringify(value, null, 2)}\n`);
  assertEquals(/[\r\n]/.test(line), false);
  assertEquals(JSON.parse(line), value);
  assertEquals(oneLine('{ "a":1.0}'), '{ "a":1.0}');
});
