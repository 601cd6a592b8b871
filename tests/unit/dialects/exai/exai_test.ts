/**
 * The exai dialect in a session: hello, calls, refusals, OVER_CAPACITY and
 * DUPLICATE, and bad input.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../../../helpers/assert.ts";
import { test } from "../../../helpers/no_permissions.ts";
import { ExaiScene } from "../../../helpers/session/exai_driver.ts";
import type { Json } from "../../../helpers/session/session_driver.ts";

test("exai hello: sent first, with a session id for each connection and the token as a string", () => {
  const scene = new ExaiScene({}, { token: "s3cret" });
  scene.ask(1, "tools/list");
  scene.open();
  assertEquals(scene.frames(), [
    { epoch: 1, op: "hello", session_id: "editor-80000000-1", token: "s3cret" },
  ]);
  scene.say({ op: "hello_ack", ok: true, session_id: "theirs" });
  assertEquals(scene.frames(), [{ epoch: 1, op: "list_tools" }]);
  const tools = [{ name: "chat", description: "d", inputSchema: {} }, { a: 1 }];
  scene.say({ op: "list_tools_res", tools });
  const [{ result }] = scene.replies();
  assertEquals(result.tools, [
    { name: "chat", description: "d", inputSchema: { type: "object" } },
  ]);
});

test("exai notifications: those of the client are not sent to the daemon", () => {
  const scene = new ExaiScene();
  scene.greet();
  scene.client({ method: "notifications/initialized" });
  scene.client({ method: "notifications/roots/list_changed" });
  assertEquals(scene.frames(), []);
});

test("exai call: has its own connection and request_id, and its arguments as they are spelled", () => {
  const scene = new ExaiScene();
  scene.greet();
  scene.client(
    '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"chat","arguments":{"n":1.0,"big":12345678901234567890}}}',
  );
  assertEquals(scene.dials.length, 2);
  scene.open();
  scene.say({ op: "hello_ack", ok: true, session_id: "theirs" });
  const text = scene.take().flatMap((effect) =>
    effect.type === "send" ? [effect.text] : []
  ).at(-1);
  assertEquals(
    text,
    '{"op":"call_tool","request_id":"8000000080000000:1","name":"chat",' +
      '"arguments":{"_call_key":"8000000080000000:1","n":1.0,"big":12345678901234567890}}',
  );
  scene.result({ request_id: "8000000080000000:1", epoch: 2 }, "hi");
  assertEquals(scene.answers(), [[7, "hi"]]);
});

test("exai call: arguments are always an object, and a client's _call_key is replaced", () => {
  for (
    const [input, expected] of [
      [undefined, {}],
      [null, {}],
      [{ _call_key: "mine", a: 1 }, { a: 1 }],
    ]
  ) {
    const scene = new ExaiScene();
    scene.greet();
    scene.ask(1, "tools/call", { name: "x", arguments: input });
    const [{ arguments: { _call_key, ...rest }, request_id }] = scene.greet();
    assertEquals([_call_key, rest], [request_id, expected]);
  }
});

test("exai call: a daemon that takes our session id gets no _call_key", () => {
  const scene = new ExaiScene();
  scene.greet(1, "editor-80000000-1");
  scene.call(1, "chat");
  const [call] = scene.greet(2, "editor-80000000-2");
  assertEquals(call.arguments, {});
});

test("exai progress: rises for the client's token, and the daemon's limit counts from the ack", () => {
  const scene = new ExaiScene();
  scene.greet();
  const { request_id } = scene.running(1, "chat", { progressToken: "t" });
  const note = "accepted";
  scene.say({ op: "progress", request_id, name: "chat", t: 1.5, note });
  scene.pass(1_000);
  scene.say({ op: "call_tool_ack", request_id, accepted: true, timeout: 67 });
  scene.say({ op: "progress", request_id, name: "chat", t: 9.5 });
  assertEquals(scene.replies().map(({ params }) => params), [
    { progressToken: "t", progress: 1, message: "accepted" },
    { progressToken: "t", progress: 2 },
  ]);
  scene.pass(186_999);
  assertEquals(scene.answers(), []);
  scene.pass(1);
  const { message } = scene.replies().at(-1)!.error;
  assertMatch(message, /EXAI_SHIM_ACK_GRACE_SECS.* 187\.0 s/);
});

test("exai ack: does not change a limit that the user has set", () => {
  const scene = new ExaiScene({ requestTimeout: 10_000 });
  scene.greet();
  const { request_id } = scene.running(1);
  scene.say({ op: "call_tool_ack", request_id, timeout: 67 });
  scene.pass(10_000);
  assertMatch(scene.replies()[0].error.message, /--request-timeout/);
});

for (const timeout of [undefined, null, "soon", -1, NaN, {}]) {
  test(`exai ack: a bad timeout in it sets no limit: ${timeout}`, () => {
    const scene = new ExaiScene();
    scene.greet();
    const call = scene.running(1);
    scene.say({ op: "call_tool_ack", request_id: call.request_id, timeout });
    scene.pass(500_000);
    scene.result(call, "slow");
    assertEquals(scene.answers(), [[1, "slow"]]);
  });
}

test("exai liveness: silence loses no connection while a call runs, nor at once when the call ends", () => {
  const scene = new ExaiScene();
  scene.greet();
  scene.pass(2_500);
  scene.result(scene.running(9), "quick");
  scene.pass(2_500);
  const probes = scene.frames().map(({ epoch, op }) => [epoch, op]);
  assertEquals(probes, [[1, "health"]]);
  const call = scene.running(1);
  const { length } = scene.dials;
  scene.pass(300_000);
  assertEquals(scene.dials.length, length);
  scene.result(call, "after a long block");
  scene.pass(4_000);
  assertEquals(scene.dials.length, length);
  scene.pass(1_000);
  assertMatch(scene.log(), /did not answer a ping/);
});

test("exai liveness: an idle daemon that does not answer is dialed again", () => {
  const scene = new ExaiScene();
  scene.greet();
  scene.pass(10_260);
  assertEquals(scene.dials.length, 2);
});

const REFUSALS: [what: string, act: (scene: ExaiScene) => void][] = [
  ["unauthorized", (scene) => {
    scene.open();
    scene.say({ op: "hello_ack", ok: false, error: "unauthorized" });
  }],
  ["jwt_required", (scene) => {
    scene.open();
    scene.say({ op: "hello_ack", ok: false, error: "jwt_required" });
  }],
  ["4003", (scene) => {
    scene.open();
    scene.close(4003);
  }],
];

for (const [what, act] of REFUSALS) {
  test(`exai refusal: calls fail, and the next dial comes at the cap: ${what}`, () => {
    const scene = new ExaiScene();
    scene.ask(1, "tools/list");
    scene.call(2, "chat");
    act(scene);
    scene.call(3, "chat");
    const errors = scene.replies().map(({ error }) => error);
    assertEquals(errors.map(({ code }) => code), [-31001, -31001, -31001]);
    for (const { message, data } of errors) {
      assertMatch(message, /EXAI_WS_TOKEN/);
      assertEquals(data.reason, "refused");
    }
    scene.pass(29_999);
    assertEquals(scene.dials.length, 1);
    scene.pass(1);
    assertEquals(scene.dials.length, 2);
  });
}

const ENDS: [code: number, reason: RegExp][] = [
  [1000, /SESSION_MAX_CONCURRENT/],
  [1008, /MAX_CONNECTIONS/],
  [4000, /could not read hello/],
  [4001, /did not know hello/],
  [4002, /waited for hello/],
  [1006, /without a close frame/],
];

for (const [code, reason] of ENDS) {
  test(`exai hello: a close with ${code} before the response is an ordinary failure`, () => {
    const scene = new ExaiScene();
    scene.ask(1, "tools/list");
    scene.open();
    scene.take();
    scene.close(code);
    assertEquals(scene.replies(), []);
    assertMatch(scene.log(), reason);
    scene.pass(250);
    assertEquals(scene.dials.length, 2);
  });
}

test("exai hello: the log names the dialect of a daemon that speaks the other one", () => {
  const scene = new ExaiScene();
  scene.open();
  scene.daemon({ id: null, error: { code: -32600, message: "no" } });
  assertMatch(scene.log(), /--dialect mcp/);
});

test("exai OVER_CAPACITY: a call is retried after the daemon's pause, under a new id", () => {
  const scene = new ExaiScene();
  scene.greet();
  const first = scene.running(1);
  const error = { code: "OVER_CAPACITY", message: "full", retry_after: 2 };
  const { request_id } = first;
  scene.say({ op: "call_tool_res", request_id, error }, 2);
  scene.pass(1_999);
  assertEquals(scene.frames(), []);
  scene.pass(1);
  const [second] = scene.frames();
  assert(second.request_id !== request_id);
  assertEquals(second.arguments._call_key, second.request_id);
  scene.result(second, "at last");
  assertEquals(scene.answers(), [[1, "at last"]]);
});

test("exai OVER_CAPACITY: retries end by the request timeout, or else by the idle timeout", () => {
  for (
    const [config, ms] of [
      [{ requestTimeout: 5_000 }, 5_000],
      [{ idleTimeout: 20_000 }, 20_000],
    ] as const
  ) {
    const scene = new ExaiScene(config);
    scene.greet();
    let call = scene.running(1);
    const error = { code: "OVER_CAPACITY", message: "full" };
    while (scene.replies().length === 0) {
      if (call) scene.say({ error }, 2);
      if (scene.replies().length > 0) break;
      scene.pass(1_000);
      if (scene.replies().length > 0) break;
      call = scene.frames()[0];
    }
    assertEquals(scene.answers(), [[1, -31003]]);
    assert(Math.abs(scene.now - ms) <= 1_000, `${scene.now}`);
    assertEquals(scene.replies()[0].error.data.delivered, "no");
  }
});

test("exai OVER_CAPACITY: a list is retried, too", () => {
  const scene = new ExaiScene();
  scene.greet();
  scene.ask(1, "tools/list");
  scene.take();
  const error = { code: "OVER_CAPACITY", message: "Rate limit exceeded" };
  scene.say({ op: "error", error });
  scene.pass(1_000);
  assertEquals(scene.frames().map(({ op }) => op), ["list_tools"]);
});

test("exai DUPLICATE: our own call is polled for its outcome; another's is an error", () => {
  const scene = new ExaiScene();
  scene.greet();
  const one = scene.running(1);
  const two = scene.running(2);
  const duplicate = (original_request_id: string): Json => ({
    op: "call_tool_res",
    request_id: two.request_id,
    error: { code: "DUPLICATE", message: "duplicate", original_request_id },
  });
  scene.say(duplicate(one.request_id), two.epoch);
  scene.pass(1_000);
  const [ask] = scene.frames();
  assertEquals([ask.op, ask.epoch], ["health", two.epoch]);
  scene.health(two.epoch, "1:00:00");
  const [poll] = scene.frames();
  assertEquals(poll.request_id, one.request_id);
  scene.result(poll, "the same");
  assertEquals(scene.answers(), [[2, "the same"]]);

  const three = scene.running(3);
  scene.say({ ...duplicate("theirs:1"), request_id: three.request_id }, 3);
  assertEquals(scene.replies().at(-1)!.result, {
    content: [{ type: "text", text: "DUPLICATE: duplicate" }],
    isError: true,
  });
});

test("exai frames: those that belong to no call change nothing", () => {
  const scene = new ExaiScene();
  scene.greet();
  const call = scene.running(1);
  const { length } = scene.dials;
  for (
    const text of [
      ...["", "{", "[]", "5", "null", '{"op":5}', '{"op":"news"}', "{}"],
      '{"op":"call_tool_res","request_id":"other","outputs":[]}',
      '{"op":"progress","request_id":"other"}',
      '{"op":"list_tools_res","tools":[]}',
      '{"op":"health_res"}',
      '{"op":"hello_ack","ok":true}',
    ]
  ) {
    for (const epoch of [1, 2]) scene.daemon(text, epoch);
  }
  assertEquals(scene.replies(), []);
  scene.result(call, "good");
  scene.result(call, "again");
  assertEquals(scene.answers(), [[1, "good"]]);
  assertEquals(scene.dials.length, length);
});

test("exai frames: a result or an error without request_id belongs to the call that runs", () => {
  const scene = new ExaiScene();
  scene.greet();
  const frames: [frame: Json, answer: Json][] = [
    [{ op: "call_tool_res", outputs: [{ type: "text", text: "a" }] }, "a"],
    [
      { error: { code: "INTERNAL_ERROR", message: { deep: 1 } } },
      'INTERNAL_ERROR: {"deep":1}',
    ],
    [{ op: "error", message: "invalid_message: no" }, -32602],
  ];
  for (const [frame, answer] of frames) {
    scene.running(1);
    scene.say(frame);
    assertEquals(scene.answers(), [[1, answer]]);
  }
});

const REFUSED: [what: string, frame: Json, text: string][] = [
  [
    "an unknown tool",
    { error: { code: "TOOL_NOT_FOUND", message: "Unknown tool: x" } },
    "TOOL_NOT_FOUND: Unknown tool: x",
  ],
  [
    "an unknown tool, said without an op",
    { op: null, error: { code: "TOOL_NOT_FOUND", message: "no x" } },
    "TOOL_NOT_FOUND: no x",
  ],
  [
    "an unknown tool, said as an op of its own",
    { op: "error", error: { code: "TOOL_NOT_FOUND", message: "no x" } },
    "TOOL_NOT_FOUND: no x",
  ],
  [
    "arguments that a tool does not take",
    { error: { code: "VALIDATION_ERROR", message: "no" } },
    "VALIDATION_ERROR: no",
  ],
  [
    "a request that a tool does not take",
    { error: { code: "INVALID_REQUEST", message: "no" } },
    "INVALID_REQUEST: no",
  ],
  [
    "a duplicate of another client's call",
    { error: { code: "DUPLICATE", message: "no", original_request_id: "y" } },
    "DUPLICATE: no",
  ],
  ["a code in other letters", { error: { code: 7, message: "no" } }, "no"],
];

for (const [what, frame, text] of REFUSED) {
  test(`exai errors: a call's error is a tool error, in the words of the Python shim: ${what}`, () => {
    const scene = new ExaiScene();
    scene.greet();
    const { request_id, epoch } = scene.running(1);
    scene.take();
    scene.say({ op: "call_tool_res", request_id, ...frame }, epoch);
    const [{ result }] = scene.replies();
    const content = [{ type: "text", text }];
    assertEquals(result, { content, isError: true });
  });
}

test("exai errors: a frame that the daemon rejects is a JSON-RPC error, and no tool error", () => {
  const frames: Json[] = [
    { message: "invalid_message: arguments must be a JSON object" },
    { error: { code: "INVALID_REQUEST", message: "Unknown operation" } },
  ];
  for (const frame of frames) {
    const scene = new ExaiScene();
    scene.greet();
    const { epoch } = scene.running(1);
    scene.say({ op: "error", ...frame }, epoch);
    assertEquals(scene.answers(), [[1, -32602]]);
  }
});

test("exai size limits: a response or a request that is too large fails only its own call", () => {
  const scene = new ExaiScene({ maxMessage: 2_000 }, { maxMessage: 2_000 });
  scene.greet();
  const call = scene.running(1);
  scene.result(call, "x".repeat(1_500));
  assertEquals(scene.replies()[0].error.data.delivered, "yes");
  assertEquals(scene.answers(), [[1, -31005]]);
  assertEquals(scene.running(2).epoch, 2);
  scene.close(1009, 2);
  assertEquals(scene.answers(), [[2, -31005]]);
});

test("exai health file: read once in an outage, when the first dial has failed", () => {
  const scene = new ExaiScene({ healthFile: "/h" });
  scene.refuse();
  scene.pass(5_000);
  scene.refuse();
  const looks = scene.take().filter(({ type }) => type === "health file");
  assertEquals(looks, [{ type: "health file", path: "/h", lostMs: undefined }]);
});

test("exai health file: read with the time since the connection was lost", () => {
  const scene = new ExaiScene({ healthFile: "/h" });
  scene.greet();
  scene.close();
  scene.pass(250);
  scene.take();
  scene.refuse();
  const looks = scene.take().filter(({ type }) => type === "health file");
  assertEquals(looks, [{ type: "health file", path: "/h", lostMs: 250 }]);
});

test("exai list_tools: the client is notified of tools that changed during an outage", () => {
  const scene = new ExaiScene();
  scene.greet();
  scene.ask(1, "tools/list");
  scene.say({ op: "list_tools_res", tools: [{ name: "a" }] });
  scene.close();
  scene.pass(250);
  scene.take();
  assertEquals(scene.greet().map(({ op }) => op), ["list_tools"]);
  scene.say({ op: "list_tools_res", tools: [{ name: "b" }] });
  assertEquals(scene.replies().map(({ method }) => method), [
    "notifications/tools/list_changed",
  ]);
});

test("exai shutdown: at the end of stdin a running call fails with an unknown outcome", () => {
  const scene = new ExaiScene();
  scene.greet();
  scene.running(1);
  scene.end();
  scene.pass(1_500);
  assertEquals(scene.answers(), [[1, -31002]]);
  assertEquals(scene.exit(), 0);
});

for (const requestTimeout of [3_600_000, Infinity]) {
  test(`exai OVER_CAPACITY: a call that waited for ten minutes here is retried (${requestTimeout})`, () => {
    const scene = new ExaiScene({ requestTimeout });
    scene.greet();
    for (let id = 1; id <= 5; id++) scene.call(id, "chat");
    const calls = [2, 3, 4, 5].flatMap((epoch) => scene.greet(epoch));
    for (let t = 0; t < 601; t++) {
      scene.pass(1_000);
      for (const { request_id, epoch } of calls) {
        scene.say({ op: "progress", request_id, t }, epoch);
      }
    }
    scene.take();
    scene.result(calls[0], "one");
    const [{ request_id, epoch }] = scene.frames(); // call 5, written for the first time
    const error = { code: "OVER_CAPACITY", message: "full", retry_after: 1 };
    scene.say({ op: "call_tool_res", request_id, error }, epoch);
    assertEquals(scene.answers(), []);
  });
}

test("exai DUPLICATE: with a revision without health, a duplicate of our own call is no lost connection", () => {
  const scene = new ExaiScene();
  scene.greet(1, "editor-80000000-1");
  scene.call(1, "chat");
  const [one] = scene.greet(2, "editor-80000000-2");
  scene.call(2, "chat");
  const [two] = scene.greet(3, "editor-80000000-3");
  const details = { original_request_id: one.request_id, retry_after_secs: 1 };
  const error = { code: "OVER_CAPACITY", message: "in flight", details };
  scene.say({ op: "call_tool_res", request_id: two.request_id, error }, 3);
  scene.pass(1_000);
  assertEquals(scene.answers(), []);
});

test("exai list_tools: an error with a request_id that nobody sent fails the list in flight", () => {
  const scene = new ExaiScene({ pingInterval: Infinity });
  scene.greet(1, "editor-80000000-1");
  scene.ask(1, "tools/list");
  scene.say({
    op: "error",
    request_id: "unknown",
    error: { code: "INTERNAL_ERROR", message: "x" },
  }, 1);
  assertEquals(scene.answers(), [[1, -32603]]);
});

test("exai OVER_CAPACITY: a provider without capacity ends the call by the idle timeout, whatever the progress says", () => {
  const scene = new ExaiScene();
  scene.greet();
  let call = scene.running(1);
  const replies: Json[] = [];
  for (let n = 0; n < 8_000 && replies.length === 0; n++) {
    const { request_id, epoch } = call;
    const note = "accepted, awaiting provider/session capacity";
    scene.say({ op: "progress", request_id, note }, epoch);
    const message = "GLM concurrency limit reached; retry soon";
    const error = { code: "OVER_CAPACITY", message, retry_after: 1 };
    scene.say({ op: "call_tool_res", request_id, error }, epoch);
    scene.pass(1_000);
    for (const effect of scene.take()) {
      if (effect.type === "reply") replies.push(JSON.parse(effect.text));
      if (effect.type !== "send") continue;
      const frame = JSON.parse(effect.text);
      if (frame.op === "health") scene.health(effect.epoch, "1:00:00");
      if (frame.op === "call_tool") call = { epoch: effect.epoch, ...frame };
    }
  }
  assertEquals(replies.length, 1);
  assert(scene.now >= 600_000 && scene.now < 602_000, `${scene.now}`);
});

test("exai DUPLICATE: polling for our own duplicate ends by the call's limit", () => {
  const scene = new ExaiScene();
  scene.greet();
  const one = scene.running(1);
  scene.result(one, "x");
  const { request_id, epoch } = scene.running(2);
  const error = {
    code: "DUPLICATE",
    message: "duplicate call in flight",
    original_request_id: one.request_id,
  };
  scene.say({ op: "call_tool_res", request_id, error }, epoch);
  const replies: Json[] = [];
  for (let n = 0; n < 4_000 && replies.length === 0; n++) {
    scene.pass(250);
    for (const effect of scene.take()) {
      if (effect.type === "reply") replies.push(JSON.parse(effect.text));
      if (effect.type !== "send") continue;
      const frame = JSON.parse(effect.text);
      if (frame.op === "health") scene.health(effect.epoch, "1:00:00");
      if (frame.op !== "call_tool") continue;
      const note = "duplicate request; still processing";
      const { request_id } = frame;
      scene.say({ op: "progress", request_id, note }, effect.epoch);
    }
  }
  assertEquals(replies.map(({ error }) => error.code), [-31003]);
});

test("exai errors: a secret that the daemon quotes reaches neither client nor log", () => {
  const secrets = ["S3CRET"];
  const scene = new ExaiScene({ secrets }, { token: "S3CRET" });
  scene.call(1, "chat");
  scene.open();
  const error = { code: "unauthorized", message: "input_value='S3CRET'" };
  scene.say({ op: "hello_ack", ok: false, error });
  const effects = scene.take().filter(({ type }) => type !== "send");
  const said = JSON.stringify([effects, scene.session.snapshot()]);
  assertEquals([said.includes("S3CRET"), said.includes("***")], [false, true]);
});

test("exai errors: a call's error that quotes a secret reaches the client redacted", () => {
  const secrets = ["S3CRET"];
  const scene = new ExaiScene({ secrets }, { token: "S3CRET" });
  scene.greet();
  const { request_id, epoch } = scene.running(1);
  const error = { code: "EXEC_ERROR", message: "bad input: S3CRET" };
  scene.say({ op: "call_tool_res", request_id, error }, epoch);
  const said = JSON.stringify(scene.replies());
  assertEquals([said.includes("S3CRET"), said.includes("***")], [false, true]);
});

test("exai frames: a number or a note of another type causes no internal error", () => {
  const odd = { valueOf: 1, toString: 1 };
  const frames: Json[] = [
    { op: "progress", note: odd },
    { op: "call_tool_ack", timeout: odd },
    { error: { code: "OVER_CAPACITY", message: "m", retry_after: odd } },
  ];
  for (const frame of frames) {
    const scene = new ExaiScene();
    scene.greet();
    const { request_id, epoch } = scene.running(1);
    scene.take();
    scene.say({ op: "call_tool_res", request_id, ...frame }, epoch);
    const bugs = scene.take().filter((it: Json) => it.event === "bug");
    assertEquals(bugs, []);
  }
});

test("exai OVER_CAPACITY: a call that is too large for ever is not retried", () => {
  const scene = new ExaiScene();
  scene.greet();
  const { request_id, epoch } = scene.running(1);
  const error = { code: "OVER_CAPACITY", message: "Request too large" };
  scene.say({ op: "call_tool_res", request_id, error }, epoch);
  assertEquals(scene.answers(), [[1, -31005]]);
});

test("exai list_tools: tools reach the client as they are spelled, if they are as MCP wants them", () => {
  const schema = '{"type":"object","maximum":18446744073709551615}';
  const spelled = `[ {"name":"a","inputSchema":${schema}} ]`;
  const scene = new ExaiScene();
  scene.greet();
  scene.ask(1, "tools/list");
  scene.take();
  scene.daemon(`{"op":"list_tools_res","tools":${spelled}}`);
  const [reply] = scene.take().filter((it: Json) => it.type === "reply");
  assert((reply as Json).text.includes(`"tools":${spelled}`));
  scene.ask(2, "tools/list");
  scene.say({ op: "list_tools_res", tools: [{ name: "b" }] });
  const [{ result }] = scene.replies();
  const inputSchema = { type: "object" };
  assertEquals(result.tools, [{ name: "b", inputSchema }]);
});

test("exai frames: a response that is no JSON ends its call, and its connection is used again", () => {
  const scene = new ExaiScene();
  scene.greet();
  const call = scene.running(1);
  const id = JSON.stringify(call.request_id);
  scene.daemon(
    `{"op":"call_tool_res","request_id":${id},"outputs":[],"cost":NaN}`,
    call.epoch,
  );
  scene.daemon(`{"op":"call_tool_res","request_id":"x","cost":NaN}`);
  scene.pass(1_999);
  assertEquals(scene.answers(), []);
  scene.pass(1);
  assertEquals(scene.answers(), [[1, -31002]]);
  scene.take();
  scene.call(2, "chat");
  const [next] = scene.frames().filter(({ op }) => op === "call_tool");
  assertEquals(next.epoch, call.epoch);
});
