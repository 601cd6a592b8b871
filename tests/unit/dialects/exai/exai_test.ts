/**
 * Tests the exai dialect in a session: hello, calls, refusals, OVER_CAPACITY,
 * DUPLICATE, invalid frames, and requests that the proxy answers itself.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../../../helpers/assert.ts";
import { test } from "../../../helpers/no_permissions.ts";
import { ExaiDriver } from "../../../helpers/session/exai_driver.ts";
import type { Json } from "../../../helpers/session/session_driver.ts";

test("exai hello: sent first, with a session id for each connection and the token as a string", () => {
  const driver = new ExaiDriver({}, { token: "s3cret" });
  driver.request(1, "tools/list");
  driver.open();
  assertEquals(driver.takeFrames(), [
    {
      connectionId: 1,
      op: "hello",
      session_id: "editor-80000000-1",
      token: "s3cret",
    },
  ]);
  driver.frameFromDaemon({ op: "hello_ack", ok: true, session_id: "theirs" });
  assertEquals(driver.takeFrames(), [{ connectionId: 1, op: "list_tools" }]);
  const tools = [{ name: "chat", description: "d", inputSchema: {} }, { a: 1 }];
  driver.frameFromDaemon({ op: "list_tools_res", tools });
  const [{ result }] = driver.sentToClient();
  assertEquals(result.tools, [
    { name: "chat", description: "d", inputSchema: { type: "object" } },
  ]);
});

test("exai notifications: the client's notifications are not sent to the daemon", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  driver.fromClient({ method: "notifications/initialized" });
  driver.fromClient({ method: "notifications/roots/list_changed" });
  assertEquals(driver.takeFrames(), []);
});

test("exai call: has its own connection and request_id, and the client's arguments keep their text", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  driver.fromClient(
    '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"chat","arguments":{"n":1.0,"big":12345678901234567890}}}',
  );
  assertEquals(driver.dials.length, 2);
  driver.open();
  driver.frameFromDaemon({ op: "hello_ack", ok: true, session_id: "theirs" });
  const text = driver.takeEffects().flatMap((effect) =>
    effect.type === "send-to-daemon" ? [effect.text] : []
  ).at(-1);
  assertEquals(
    text,
    '{"op":"call_tool","request_id":"8000000080000000:1","name":"chat",' +
      '"arguments":{"_call_key":"8000000080000000:1","n":1.0,"big":12345678901234567890}}',
  );
  driver.returnResult(
    { request_id: "8000000080000000:1", connectionId: 2 },
    "hi",
  );
  assertEquals(driver.responsesToClient(), [[7, "hi"]]);
});

test("exai call: arguments are always an object, and a client's _call_key is replaced", () => {
  for (
    const [input, expected] of [
      [undefined, {}],
      [null, {}],
      [{ _call_key: "mine", a: 1 }, { a: 1 }],
    ]
  ) {
    const driver = new ExaiDriver();
    driver.openAndAcknowledgeHello();
    driver.request(1, "tools/call", { name: "x", arguments: input });
    const [{ arguments: { _call_key, ...rest }, request_id }] = driver
      .openAndAcknowledgeHello();
    assertEquals([_call_key, rest], [request_id, expected]);
  }
});

test("exai call: a daemon that takes our session id gets no _call_key", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello(1, "editor-80000000-1");
  driver.callTool(1, "chat");
  const [call] = driver.openAndAcknowledgeHello(2, "editor-80000000-2");
  assertEquals(call.arguments, {});
});

test("exai progress: rises for the client's token, and the daemon's limit counts from the ack", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  const { request_id } = driver.startCall(1, "chat", { progressToken: "t" });
  const note = "accepted";
  driver.frameFromDaemon({
    op: "progress",
    request_id,
    name: "chat",
    t: 1.5,
    note,
  });
  driver.advance(1_000);
  driver.frameFromDaemon({
    op: "call_tool_ack",
    request_id,
    accepted: true,
    timeout: 67,
  });
  driver.frameFromDaemon({ op: "progress", request_id, name: "chat", t: 9.5 });
  assertEquals(driver.sentToClient().map(({ params }) => params), [
    { progressToken: "t", progress: 1, message: "accepted" },
    { progressToken: "t", progress: 2 },
  ]);
  driver.advance(186_999);
  assertEquals(driver.responsesToClient(), []);
  driver.advance(1);
  const { message } = driver.sentToClient().at(-1)!.error;
  assertMatch(message, /EXAI_SHIM_ACK_GRACE_SECS.* 187\.0 s/);
});

test("exai ack: does not change a limit that the user has set", () => {
  const driver = new ExaiDriver({ requestTimeout: 10_000 });
  driver.openAndAcknowledgeHello();
  const { request_id } = driver.startCall(1);
  driver.frameFromDaemon({ op: "call_tool_ack", request_id, timeout: 67 });
  driver.advance(10_000);
  assertMatch(driver.sentToClient()[0].error.message, /--request-timeout/);
});

for (const timeout of [undefined, null, "soon", -1, NaN, {}]) {
  test(`exai ack: an invalid timeout in an ack sets no limit: ${timeout}`, () => {
    const driver = new ExaiDriver();
    driver.openAndAcknowledgeHello();
    const call = driver.startCall(1);
    driver.frameFromDaemon({
      op: "call_tool_ack",
      request_id: call.request_id,
      timeout,
    });
    driver.advance(500_000);
    driver.returnResult(call, "slow");
    assertEquals(driver.responsesToClient(), [[1, "slow"]]);
  });
}

test("exai liveness: a silent connection is kept while a call runs, and for some time after the call", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  driver.advance(2_500);
  driver.returnResult(driver.startCall(9), "quick");
  driver.advance(2_500);
  const probes = driver.takeFrames().map((
    { connectionId, op },
  ) => [connectionId, op]);
  assertEquals(probes, [[1, "health"]]);
  const call = driver.startCall(1);
  const { length } = driver.dials;
  driver.advance(300_000);
  assertEquals(driver.dials.length, length);
  driver.returnResult(call, "after a long block");
  driver.advance(4_000);
  assertEquals(driver.dials.length, length);
  driver.advance(1_000);
  assertMatch(driver.logText(), /did not answer a ping/);
});

test("exai liveness: an idle daemon that does not answer is dialed again", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  driver.advance(10_260);
  assertEquals(driver.dials.length, 2);
});

const REFUSALS: [what: string, act: (driver: ExaiDriver) => void][] = [
  ["unauthorized", (driver) => {
    driver.open();
    driver.frameFromDaemon({
      op: "hello_ack",
      ok: false,
      error: "unauthorized",
    });
  }],
  ["jwt_required", (driver) => {
    driver.open();
    driver.frameFromDaemon({
      op: "hello_ack",
      ok: false,
      error: "jwt_required",
    });
  }],
  ["4003", (driver) => {
    driver.open();
    driver.close(4003);
  }],
];

for (const [what, act] of REFUSALS) {
  test(`exai refusal: calls fail, and the next dial waits for the maximum backoff: ${what}`, () => {
    const driver = new ExaiDriver();
    driver.request(1, "tools/list");
    driver.callTool(2, "chat");
    act(driver);
    driver.callTool(3, "chat");
    const errors = driver.sentToClient().map(({ error }) => error);
    assertEquals(errors.map(({ code }) => code), [-31001, -31001, -31001]);
    for (const { message, data } of errors) {
      assertMatch(message, /EXAI_WS_TOKEN/);
      assertEquals(data.reason, "refused");
    }
    driver.advance(29_999);
    assertEquals(driver.dials.length, 1);
    driver.advance(1);
    assertEquals(driver.dials.length, 2);
  });
}

const ENDS: [code: number, reason: RegExp][] = [
  [1000, /SESSION_MAX_CONCURRENT/],
  [1008, /MAX_CONNECTIONS/],
  [4000, /could not read hello/],
  [4001, /did not recognize hello/],
  [4002, /received no hello in time/],
  [1006, /without a close frame/],
];

for (const [code, reason] of ENDS) {
  test(`exai hello: a close with ${code} before the response is an ordinary failure`, () => {
    const driver = new ExaiDriver();
    driver.request(1, "tools/list");
    driver.open();
    driver.takeEffects();
    driver.close(code);
    assertEquals(driver.sentToClient(), []);
    assertMatch(driver.logText(), reason);
    driver.advance(250);
    assertEquals(driver.dials.length, 2);
  });
}

test("exai hello: the log names the dialect of a daemon that uses the other dialect", () => {
  const driver = new ExaiDriver();
  driver.open();
  driver.fromDaemon({ id: null, error: { code: -32600, message: "no" } });
  assertMatch(driver.logText(), /--dialect mcp/);
});

test("exai OVER_CAPACITY: a call is retried after the pause that the daemon asks for, under a new id", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  const first = driver.startCall(1);
  const error = { code: "OVER_CAPACITY", message: "full", retry_after: 2 };
  const { request_id } = first;
  driver.frameFromDaemon({ op: "call_tool_res", request_id, error }, 2);
  driver.advance(1_999);
  assertEquals(driver.takeFrames(), []);
  driver.advance(1);
  const [second] = driver.takeFrames();
  assert(second.request_id !== request_id);
  assertEquals(second.arguments._call_key, second.request_id);
  driver.returnResult(second, "at last");
  assertEquals(driver.responsesToClient(), [[1, "at last"]]);
});

test("exai OVER_CAPACITY: retries end after the request timeout, or after the idle timeout if there is no request timeout", () => {
  for (
    const [config, ms] of [
      [{ requestTimeout: 5_000 }, 5_000],
      [{ idleTimeout: 20_000 }, 20_000],
    ] as const
  ) {
    const driver = new ExaiDriver(config);
    driver.openAndAcknowledgeHello();
    let call = driver.startCall(1);
    const error = { code: "OVER_CAPACITY", message: "full" };
    while (driver.sentToClient().length === 0) {
      if (call) driver.frameFromDaemon({ error }, 2);
      if (driver.sentToClient().length > 0) break;
      driver.advance(1_000);
      if (driver.sentToClient().length > 0) break;
      call = driver.takeFrames()[0];
    }
    assertEquals(driver.responsesToClient(), [[1, -31003]]);
    assert(Math.abs(driver.now - ms) <= 1_000, `${driver.now}`);
    assertEquals(driver.sentToClient()[0].error.data.delivered, "no");
  }
});

test("exai OVER_CAPACITY: a list is retried, too", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  driver.request(1, "tools/list");
  driver.takeEffects();
  const error = { code: "OVER_CAPACITY", message: "Rate limit exceeded" };
  driver.frameFromDaemon({ op: "error", error });
  driver.advance(1_000);
  assertEquals(driver.takeFrames().map(({ op }) => op), ["list_tools"]);
});

test("exai DUPLICATE: our own call is polled for its outcome; a duplicate of another client's call is an error", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  const one = driver.startCall(1);
  const two = driver.startCall(2);
  const duplicate = (original_request_id: string): Json => ({
    op: "call_tool_res",
    request_id: two.request_id,
    error: { code: "DUPLICATE", message: "duplicate", original_request_id },
  });
  driver.frameFromDaemon(duplicate(one.request_id), two.connectionId);
  driver.advance(1_000);
  const [healthFrame] = driver.takeFrames();
  assertEquals([healthFrame.op, healthFrame.connectionId], [
    "health",
    two.connectionId,
  ]);
  driver.returnHealth(two.connectionId, "1:00:00");
  const [poll] = driver.takeFrames();
  assertEquals(poll.request_id, one.request_id);
  driver.returnResult(poll, "the same");
  assertEquals(driver.responsesToClient(), [[2, "the same"]]);

  const three = driver.startCall(3);
  driver.frameFromDaemon({
    ...duplicate("theirs:1"),
    request_id: three.request_id,
  }, 3);
  assertEquals(driver.sentToClient().at(-1)!.result, {
    content: [{ type: "text", text: "DUPLICATE: duplicate" }],
    isError: true,
  });
});

test("exai frames: frames that belong to no pending request change nothing", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  const call = driver.startCall(1);
  const { length } = driver.dials;
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
    for (const connectionId of [1, 2]) driver.fromDaemon(text, connectionId);
  }
  assertEquals(driver.sentToClient(), []);
  driver.returnResult(call, "good");
  driver.returnResult(call, "again");
  assertEquals(driver.responsesToClient(), [[1, "good"]]);
  assertEquals(driver.dials.length, length);
});

test("exai frames: a result or an error without request_id belongs to the running call", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  const frames: [frame: Json, answer: Json][] = [
    [{ op: "call_tool_res", outputs: [{ type: "text", text: "a" }] }, "a"],
    [
      { error: { code: "INTERNAL_ERROR", message: { deep: 1 } } },
      'INTERNAL_ERROR: {"deep":1}',
    ],
    [{ op: "error", message: "invalid_message: no" }, -32602],
  ];
  for (const [frame, answer] of frames) {
    driver.startCall(1);
    driver.frameFromDaemon(frame);
    assertEquals(driver.responsesToClient(), [[1, answer]]);
  }
});

const CALL_ERRORS: [what: string, frame: Json, text: string][] = [
  [
    "an unknown tool",
    { error: { code: "TOOL_NOT_FOUND", message: "Unknown tool: x" } },
    "TOOL_NOT_FOUND: Unknown tool: x",
  ],
  [
    "an unknown tool, in a frame whose op is null",
    { op: null, error: { code: "TOOL_NOT_FOUND", message: "no x" } },
    "TOOL_NOT_FOUND: no x",
  ],
  [
    "an unknown tool, in an error frame",
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
  ["a code that is not a string", { error: { code: 7, message: "no" } }, "no"],
];

for (const [what, frame, text] of CALL_ERRORS) {
  test(`exai errors: a call's error is a tool error with the text of the Python shim: ${what}`, () => {
    const driver = new ExaiDriver();
    driver.openAndAcknowledgeHello();
    const { request_id, connectionId } = driver.startCall(1);
    driver.takeEffects();
    driver.frameFromDaemon(
      { op: "call_tool_res", request_id, ...frame },
      connectionId,
    );
    const [{ result }] = driver.sentToClient();
    const content = [{ type: "text", text }];
    assertEquals(result, { content, isError: true });
  });
}

test("exai errors: a rejected frame causes a JSON-RPC error, not a tool error", () => {
  const frames: Json[] = [
    { message: "invalid_message: arguments must be a JSON object" },
    { error: { code: "INVALID_REQUEST", message: "Unknown operation" } },
  ];
  for (const frame of frames) {
    const driver = new ExaiDriver();
    driver.openAndAcknowledgeHello();
    const { connectionId } = driver.startCall(1);
    driver.frameFromDaemon({ op: "error", ...frame }, connectionId);
    assertEquals(driver.responsesToClient(), [[1, -32602]]);
  }
});

test("exai size limits: a response or request that is too large fails only its own call", () => {
  const driver = new ExaiDriver({ maxMessage: 2_000 }, { maxMessage: 2_000 });
  driver.openAndAcknowledgeHello();
  const call = driver.startCall(1);
  driver.returnResult(call, "x".repeat(1_500));
  assertEquals(driver.sentToClient()[0].error.data.delivered, "yes");
  assertEquals(driver.responsesToClient(), [[1, -31005]]);
  assertEquals(driver.startCall(2).connectionId, 2);
  driver.close(1009, 2);
  assertEquals(driver.responsesToClient(), [[2, -31005]]);
});

test("exai health file: read once in an outage, when the first dial has failed", () => {
  const driver = new ExaiDriver({ healthFile: "/h" });
  driver.failDial();
  driver.advance(5_000);
  driver.failDial();
  const healthFileReads = driver.takeEffects().filter(({ type }) =>
    type === "log-health-file"
  );
  assertEquals(healthFileReads, [{
    type: "log-health-file",
    path: "/h",
    disconnectedForMs: undefined,
  }]);
});

test("exai health file: read with the time since the connection was lost", () => {
  const driver = new ExaiDriver({ healthFile: "/h" });
  driver.openAndAcknowledgeHello();
  driver.close();
  driver.advance(250);
  driver.takeEffects();
  driver.failDial();
  const healthFileReads = driver.takeEffects().filter(({ type }) =>
    type === "log-health-file"
  );
  assertEquals(healthFileReads, [{
    type: "log-health-file",
    path: "/h",
    disconnectedForMs: 250,
  }]);
});

test("exai list_tools: the client is notified of tools that changed during an outage", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  driver.request(1, "tools/list");
  driver.frameFromDaemon({ op: "list_tools_res", tools: [{ name: "a" }] });
  driver.close();
  driver.advance(250);
  driver.takeEffects();
  assertEquals(driver.openAndAcknowledgeHello().map(({ op }) => op), [
    "list_tools",
  ]);
  driver.frameFromDaemon({ op: "list_tools_res", tools: [{ name: "b" }] });
  assertEquals(driver.sentToClient().map(({ method }) => method), [
    "notifications/tools/list_changed",
  ]);
});

test("exai shutdown: at the end of stdin a running call fails with an unknown outcome", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  driver.startCall(1);
  driver.end();
  driver.advance(1_500);
  assertEquals(driver.responsesToClient(), [[1, -31002]]);
  assertEquals(driver.exitCode(), 0);
});

for (const requestTimeout of [3_600_000, Infinity]) {
  test(`exai OVER_CAPACITY: a call that waited in the proxy for ten minutes is retried (${requestTimeout})`, () => {
    const driver = new ExaiDriver({ requestTimeout });
    driver.openAndAcknowledgeHello();
    for (let id = 1; id <= 5; id++) driver.callTool(id, "chat");
    const calls = [2, 3, 4, 5].flatMap((connectionId) =>
      driver.openAndAcknowledgeHello(connectionId)
    );
    for (let t = 0; t < 601; t++) {
      driver.advance(1_000);
      for (const { request_id, connectionId } of calls) {
        driver.frameFromDaemon({ op: "progress", request_id, t }, connectionId);
      }
    }
    driver.takeEffects();
    driver.returnResult(calls[0], "one");
    const [{ request_id, connectionId }] = driver.takeFrames(); // of call 5
    const error = { code: "OVER_CAPACITY", message: "full", retry_after: 1 };
    driver.frameFromDaemon(
      { op: "call_tool_res", request_id, error },
      connectionId,
    );
    assertEquals(driver.sentToClient(), []);
  });
}

test("exai DUPLICATE: on a daemon without the health op, a call that is reported as a duplicate of our own call does not fail", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello(1, "editor-80000000-1");
  driver.callTool(1, "chat");
  const [one] = driver.openAndAcknowledgeHello(2, "editor-80000000-2");
  driver.callTool(2, "chat");
  const [two] = driver.openAndAcknowledgeHello(3, "editor-80000000-3");
  const details = { original_request_id: one.request_id, retry_after_secs: 1 };
  const error = { code: "OVER_CAPACITY", message: "in flight", details };
  driver.frameFromDaemon({
    op: "call_tool_res",
    request_id: two.request_id,
    error,
  }, 3);
  driver.advance(1_000);
  assertEquals(driver.sentToClient(), []);
});

test("exai list_tools: an error with an unknown request_id fails the list in flight", () => {
  const driver = new ExaiDriver({ pingInterval: Infinity });
  driver.openAndAcknowledgeHello(1, "editor-80000000-1");
  driver.request(1, "tools/list");
  driver.frameFromDaemon({
    op: "error",
    request_id: "unknown",
    error: { code: "INTERNAL_ERROR", message: "x" },
  }, 1);
  assertEquals(
    driver.sentToClient().map(({ id, error }) => [id, error?.code]),
    [[1, -32603]],
  );
});

test("exai OVER_CAPACITY: without capacity, the call ends after the idle timeout, even if there was progress", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  let call = driver.startCall(1);
  const replies: Json[] = [];
  for (let n = 0; n < 8_000 && replies.length === 0; n++) {
    const { request_id, connectionId } = call;
    const note = "accepted, awaiting provider/session capacity";
    driver.frameFromDaemon({ op: "progress", request_id, note }, connectionId);
    const message = "GLM concurrency limit reached; retry soon";
    const error = { code: "OVER_CAPACITY", message, retry_after: 1 };
    driver.frameFromDaemon(
      { op: "call_tool_res", request_id, error },
      connectionId,
    );
    driver.advance(1_000);
    for (const effect of driver.takeEffects()) {
      if (effect.type === "send-to-client") {
        replies.push(JSON.parse(effect.text));
      }
      if (effect.type !== "send-to-daemon") continue;
      const frame = JSON.parse(effect.text);
      if (frame.op === "health") {
        driver.returnHealth(effect.connectionId, "1:00:00");
      }
      if (frame.op === "call_tool") {
        call = { connectionId: effect.connectionId, ...frame };
      }
    }
  }
  assertEquals(replies.length, 1);
  assert(driver.now >= 600_000 && driver.now < 602_000, `${driver.now}`);
});

test("exai DUPLICATE: polling for our own duplicate ends after the call's time limit", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  const one = driver.startCall(1);
  driver.returnResult(one, "x");
  const { request_id, connectionId } = driver.startCall(2);
  const error = {
    code: "DUPLICATE",
    message: "duplicate call in flight",
    original_request_id: one.request_id,
  };
  driver.frameFromDaemon(
    { op: "call_tool_res", request_id, error },
    connectionId,
  );
  const replies: Json[] = [];
  for (let n = 0; n < 4_000 && replies.length === 0; n++) {
    driver.advance(250);
    for (const effect of driver.takeEffects()) {
      if (effect.type === "send-to-client") {
        replies.push(JSON.parse(effect.text));
      }
      if (effect.type !== "send-to-daemon") continue;
      const frame = JSON.parse(effect.text);
      if (frame.op === "health") {
        driver.returnHealth(effect.connectionId, "1:00:00");
      }
      if (frame.op !== "call_tool") continue;
      const note = "duplicate request; still processing";
      const { request_id } = frame;
      driver.frameFromDaemon(
        { op: "progress", request_id, note },
        effect.connectionId,
      );
    }
  }
  assertEquals(replies.map(({ error }) => error.code), [-31003]);
});

test("exai errors: a secret that the daemon quotes reaches neither client nor log", () => {
  const secrets = ["S3CRET"];
  const driver = new ExaiDriver({ secrets }, { token: "S3CRET" });
  driver.callTool(1, "chat");
  driver.open();
  const error = { code: "unauthorized", message: "input_value='S3CRET'" };
  driver.frameFromDaemon({ op: "hello_ack", ok: false, error });
  const effects = driver.takeEffects().filter(({ type }) =>
    type !== "send-to-daemon"
  );
  const shownText = JSON.stringify([effects, driver.session.snapshot()]);
  assertEquals([shownText.includes("S3CRET"), shownText.includes("***")], [
    false,
    true,
  ]);
});

test("exai errors: a call's error that quotes a secret reaches the client redacted", () => {
  const secrets = ["S3CRET"];
  const driver = new ExaiDriver({ secrets }, { token: "S3CRET" });
  driver.openAndAcknowledgeHello();
  const { request_id, connectionId } = driver.startCall(1);
  const error = { code: "EXEC_ERROR", message: "bad input: S3CRET" };
  driver.frameFromDaemon(
    { op: "call_tool_res", request_id, error },
    connectionId,
  );
  const shownText = JSON.stringify(driver.sentToClient());
  assertEquals([shownText.includes("S3CRET"), shownText.includes("***")], [
    false,
    true,
  ]);
});

test("exai frames: a value of the wrong type for a number or a note causes no internal error", () => {
  const odd = { valueOf: 1, toString: 1 };
  const frames: Json[] = [
    { op: "progress", note: odd },
    { op: "call_tool_ack", timeout: odd },
    { error: { code: "OVER_CAPACITY", message: "m", retry_after: odd } },
  ];
  for (const frame of frames) {
    const driver = new ExaiDriver();
    driver.openAndAcknowledgeHello();
    const { request_id, connectionId } = driver.startCall(1);
    driver.takeEffects();
    driver.frameFromDaemon(
      { op: "call_tool_res", request_id, ...frame },
      connectionId,
    );
    const bugs = driver.takeEffects().filter((it: Json) => it.event === "bug");
    assertEquals(bugs, []);
  }
});

test("exai OVER_CAPACITY: a call that is too large for the daemon is not retried", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  const { request_id, connectionId } = driver.startCall(1);
  const error = { code: "OVER_CAPACITY", message: "Request too large" };
  driver.frameFromDaemon(
    { op: "call_tool_res", request_id, error },
    connectionId,
  );
  assertEquals(
    driver.sentToClient().map(({ id, error }) => [id, error?.code]),
    [[1, -31005]],
  );
});

test("exai list_tools: tools in the form of MCP reach the client unchanged", () => {
  const schema = '{"type":"object","maximum":18446744073709551615}';
  const toolsText = `[ {"name":"a","inputSchema":${schema}} ]`;
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  driver.request(1, "tools/list");
  driver.takeEffects();
  driver.fromDaemon(`{"op":"list_tools_res","tools":${toolsText}}`);
  const [reply] = driver.takeEffects().filter((it: Json) =>
    it.type === "send-to-client"
  );
  assert((reply as Json).text.includes(`"tools":${toolsText}`));
  driver.request(2, "tools/list");
  driver.frameFromDaemon({ op: "list_tools_res", tools: [{ name: "b" }] });
  const [{ result }] = driver.sentToClient();
  const inputSchema = { type: "object" };
  assertEquals(result.tools, [{ name: "b", inputSchema }]);
});

test("exai frames: a response that is not JSON ends its call, and the connection is used again", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  const call = driver.startCall(1);
  const id = JSON.stringify(call.request_id);
  driver.fromDaemon(
    `{"op":"call_tool_res","request_id":${id},"outputs":[],"cost":NaN}`,
    call.connectionId,
  );
  driver.fromDaemon(`{"op":"call_tool_res","request_id":"x","cost":NaN}`);
  driver.advance(1_999);
  assertEquals(driver.responsesToClient(), []);
  driver.advance(1);
  assertEquals(driver.responsesToClient(), [[1, -31002]]);
  driver.takeEffects();
  driver.callTool(2, "chat");
  const [next] = driver.takeFrames().filter(({ op }) => op === "call_tool");
  assertEquals(next.connectionId, call.connectionId);
});

test("exai initialize: answered without a daemon, with the client's version if it is known", () => {
  for (
    const [requestedVersion, answered] of [
      ["2024-11-05", "2024-11-05"],
      ["2025-06-18", "2025-06-18"],
      ["2025-11-25", "2025-11-25"],
      ["2030-01-01", "2025-11-25"],
      [undefined, "2025-11-25"],
      [5, "2025-11-25"],
    ]
  ) {
    const driver = new ExaiDriver();
    driver.request(0, "initialize", { protocolVersion: requestedVersion });
    const [{ result }] = driver.sentToClient();
    assertEquals(result.protocolVersion, answered);
    assertEquals(result.capabilities, { tools: { listChanged: true } });
    assertEquals(result.serverInfo, { name: "alwaysup", version: "1" });
  }
});

const LOCAL: [method: string, params: Json, expected: Json][] = [
  ["ping", undefined, {}],
  ["resources/list", {}, { resources: [] }],
  ["resources/templates/list", {}, { resourceTemplates: [] }],
  ["prompts/list", {}, { prompts: [] }],
  ["server/discover", {}, -32601],
  ["logging/setLevel", { level: "info" }, -32601],
  ["__proto__", {}, -32601],
  ["tools/call", {}, -32602],
  ["tools/call", { name: "" }, -32602],
  ["tools/call", { name: "x", arguments: [] }, -32602],
  ["tools/call", { name: "x", arguments: "y" }, -32602],
  ["tools/call", [], -32602],
];

for (const [method, params, expected] of LOCAL) {
  test(`exai local answers: ${method} ${JSON.stringify(params)}`, () => {
    const driver = new ExaiDriver();
    driver.request(0, method, params);
    const [{ result, error }] = driver.sentToClient();
    assertEquals(error?.code ?? result, expected);
  });
}
