/**
 * Calls on the edge of what a daemon, a pool and a tool do: found by an attack,
 * each of them once wrong.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../../../helpers/assert.ts";
import { ExaiScene } from "../../../helpers/session/exai_driver.ts";
import { test } from "../../../helpers/no_permissions.ts";
import { resultOf } from "../../../../lib/dialects/exai/frames.ts";
import { readOutput } from "../../../../lib/dialects/exai/tool_output.ts";
import type { Json } from "../../../helpers/session/session_driver.ts";

/** Both links are lost; the main one is back and the pool link has been greeted: health is asked. */
function relink(scene: ExaiScene, call: Json): void {
  scene.close(1006, call.epoch);
  scene.close(1006, 1);
  scene.untilDial();
  scene.take();
  scene.greet();
  scene.greet();
}
test("exai outcome: the stored result of a blocking call older than 187 s is fetched", () => {
  const scene = new ExaiScene();
  scene.greet();
  const call = scene.running(1); // blocking: neither progress nor ack
  scene.pass(190_000);
  relink(scene, call);
  scene.health(scene.epoch, "0:10:00");
  const [poll] = scene.frames();
  scene.pass(5); // a round trip
  scene.result(poll, "cached");
  assertEquals(scene.answers(), [[1, "cached"]]);
});

for (const pingInterval of [5_000, Infinity]) {
  test(`exai outcome: where health is never answered, the call ends by its own limit (ping ${pingInterval})`, () => {
    const scene = new ExaiScene({ pingInterval });
    scene.greet();
    const call = scene.running(1);
    scene.pass(1_000);
    scene.close(1006, call.epoch); // only this link; the main one stays
    const replies: Json[] = [];
    while (scene.now < 3_600_000) {
      for (const effect of scene.take()) {
        if (effect.type === "reply") replies.push(JSON.parse(effect.text));
        if (effect.type === "send" && effect.epoch === 1) {
          scene.health(1, "1:00:00");
        }
        if (effect.type !== "dial") continue;
        scene.open(effect.epoch);
        scene.say(
          { op: "hello_ack", ok: true, session_id: "theirs" },
          effect.epoch,
        );
      }
      scene.pass(250);
    }
    assertEquals(replies.length, 1);
  });
}

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

test("exai outcome: a call that is executed anew has the limit of its new ack", () => {
  const scene = new ExaiScene({ retry: "always" });
  scene.greet();
  const call = scene.running(1);
  scene.say({ op: "call_tool_ack", request_id: call.request_id, timeout: 67 });
  scene.pass(180_000);
  relink(scene, call);
  scene.health(scene.epoch, "0:00:01");
  const [{ request_id }] = scene.frames();
  scene.pass(70_000);
  scene.say({ op: "call_tool_ack", request_id, timeout: 67 });
  scene.pass(186_000);
  assertEquals(scene.answers(), []);
});

test("exai outcome: progress of a call that is executed anew goes on rising", () => {
  const scene = new ExaiScene({ retry: "always" });
  scene.greet();
  const call = scene.running(1, "chat", { progressToken: "t" });
  for (let t = 0; t < 3; t++) {
    scene.say({ op: "progress", request_id: call.request_id, t });
  }
  scene.pass(10_000);
  relink(scene, call);
  scene.health(scene.epoch, "0:00:01");
  const [{ request_id }] = scene.frames();
  scene.say({ op: "progress", request_id, t: 9 });
  assertEquals(scene.replies().map(({ params }) => params.progress), [4]);
});

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

test("exai pool: when a cancel closes the only connection, the next call gets a new one", () => {
  const scene = new ExaiScene();
  scene.greet();
  scene.running(1);
  scene.call(2, "chat");
  scene.open(3);
  scene.close(1008, 3);
  while (scene.now < 178_000) {
    for (const effect of scene.take()) {
      if (effect.type === "send" && effect.epoch === 1) {
        scene.health(1, "1:00:00");
      }
      if (effect.type !== "dial") continue;
      scene.open(effect.epoch);
      scene.close(1008, effect.epoch);
    }
    scene.pass(250);
  }
  const { length } = scene.dials;
  scene.client({ method: "notifications/cancelled", params: { requestId: 1 } });
  scene.take();
  scene.pass(2_000);
  assertEquals(scene.answers(), []); // -31001 after 2 s, and no dial in between
  assert(scene.dials.length > length, "the room is taken");
});

for (const how of ["close", "cancel"]) {
  test(`exai pool: after a refusal, a waiting call fails as soon as the last connection closes (${how})`, () => {
    const scene = new ExaiScene();
    scene.greet();
    const one = scene.running(1);
    scene.close(1006, 1);
    scene.untilDial();
    scene.open();
    scene.say({ op: "hello_ack", ok: false, error: "unauthorized" });
    scene.call(2, "chat");
    scene.take();
    if (how === "close") scene.close(1006, one.epoch);
    else {scene.client({
        method: "notifications/cancelled",
        params: { requestId: 1 },
      });}
    assert(scene.answers().some(([id]) => id === 2));
  });
}

test("exai pool: a call's queue timeout counts the waits for the main connection and for its own", () => {
  const scene = new ExaiScene();
  scene.call(1, "chat");
  while (scene.now < 43_000) {
    scene.refuse();
    scene.untilDial();
  }
  const { now } = scene;
  scene.take();
  scene.greet(); // the main link is ready, one of the pool is dialed
  scene.pass(45_000 - now - 1);
  assertEquals(scene.answers(), []);
  scene.pass(1);
  assertEquals(scene.answers(), [[1, -31001]]);
});

test("exai outcome: a poll that gets OVER_CAPACITY was not executed, and is sent again under a new id", () => {
  const scene = new ExaiScene();
  scene.greet();
  const call = scene.running(1);
  relink(scene, call);
  scene.pass(1_000);
  scene.health(scene.epoch, "1:00:00");
  const [{ request_id }] = scene.frames();
  const error = { code: "OVER_CAPACITY", message: "full", retry_after: 1 };
  scene.say({ op: "call_tool_res", request_id, error });
  scene.pass(1_000);
  const again = scene.frames().filter(({ op }: Json) => op === "call_tool").at(
    -1,
  );
  assert(again.request_id !== request_id);
});

const block = (value: Json): Json => ({
  type: "text",
  text: typeof value === "string" ? value : JSON.stringify(value),
});
const P = "=== PROGRESS ===\nstep\n=== END PROGRESS ===\n\n";
const T = "\n\n---\n\nAGENT'S TURN: go on";
const SAID: [what: string, output: Json, error: Json, expected: string[]][] = [
  [
    "error beside an empty content",
    { status: "error", content: "", error: "disk full" },
    { code: "ERROR", message: "disk full" },
    ["disk full"],
  ],
  [
    "error beside a content",
    { status: "execution_error", content: "Failed.", error: "no route" },
    { code: "EXECUTION_ERROR", message: "Failed." },
    ["Failed.", "no route"],
  ],
  [
    "the message is the wrapped content",
    { status: "error", content: `${P}a\nb${T}` },
    { code: "ERROR", message: `${P}a\nb${T}` },
    ["a\nb"],
  ],
  [
    "members that are not the daemon's wrapping",
    { status: "ok", path: "/x", content: "a", sha: "1" },
    null,
    ['{"status":"ok","path":"/x","content":"a","sha":"1"}'],
  ],
  [
    "indentation behind the progress",
    { status: "success", content: `${P}    a\n    b` },
    null,
    ["    a\n    b"],
  ],
  [
    "a text after the marker",
    { status: "success", content: `see:${T}\n\n## Second chapter\nx` },
    null,
    [`see:${T}\n\n## Second chapter\nx`],
  ],
];
for (const [what, output, error, expected] of SAID) {
  test(`exai tool output: ${what}`, () => {
    const found = resultOf({
      op: "call_tool_res",
      outputs: [block(output)],
      error,
    }, "clean");
    assertEquals(
      found!.content.map(({ text }) => text).filter((t) => t !== ""),
      expected,
    );
  });
}
test("exai tool output: a summary that is the tool's only block is its output", () => {
  const text =
    "=== MCP CALL SUMMARY ===\nold\n=== END SUMMARY ===\nthe rest of a file that was read";
  assertEquals(
    resultOf({ outputs: [block(text)] }, "clean")!.content.length,
    1,
  );
});
test("exai tool output: long white space takes no long time", () => {
  for (
    const content of [
      "a" + " ".repeat(200_000) + "b",
      "a\n---" + "\n".repeat(20_000) + "b",
    ]
  ) {
    const since = performance.now();
    readOutput(JSON.stringify({ status: "success", content }), "clean");
    const ms = performance.now() - since;
    assert(ms < 1_000, `${ms}`);
  }
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
test("exai tool output: results of an unknown shape are shown", () => {
  assertEquals(
    resultOf({ op: "result", result: 42 }, "clean")!.content.length,
    1,
  );
  assertEquals(
    resultOf({ op: "call_tool_res", outputs: "hello" }, "clean")!.content
      .length,
    1,
  );
});
test("exai pool: a call does not wait behind a dead idle connection while another can be opened", () => {
  const scene = new ExaiScene();
  scene.greet();
  const one = scene.running(1);
  const two = scene.running(2);
  scene.result(one, "x");
  scene.result(two, "y");
  scene.pass(5_000); // probes go out on all three
  scene.health(1, "1:00:00");
  scene.health(3, "1:00:00"); // link 2 is silent
  scene.call(5, "long");
  const { length } = scene.dials;
  scene.call(6, "parked");
  scene.pass(15_000);
  assert(scene.dials.length > length, "no link was opened for it");
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

test("exai main connection: when it is silent during a list, the second connection is asked for the list", () => {
  const scene = new ExaiScene();
  scene.greet();
  scene.ask(1, "tools/list");
  scene.pass(10_000);
  assertEquals(scene.epoch, 2);
  scene.take();
  assertEquals(scene.greet().map(({ op }) => op), ["health"]);
  scene.health(2, "1:00:00");
  scene.pass(5_000);
  assertEquals(scene.frames().map(({ op }) => op), ["health"]);
  scene.health(2, "1:00:00");
  assertEquals(scene.isLeft(1), true);
  assertEquals(scene.frames().map(({ op }) => op), ["list_tools"]);
  scene.say({ op: "list_tools_res", tools: [] });
  assertEquals(scene.answers(), [[1, { tools: [] }]]);
});

test("exai pool: a call that waits for the first connection of the pool gets wait progress", () => {
  const scene = new ExaiScene({ queueTimeout: 10_000, pingInterval: Infinity });
  scene.greet();
  scene.pass(3_600_000);
  scene.call(1, "chat", { progressToken: 7 });
  scene.take();
  scene.pass(1_500);
  const [{ params }] = scene.replies();
  assertEquals(params.message, "Waiting for the daemon (attempt 1, under way)");
  scene.pass(10_000);
  const { error } = scene.replies().at(-1);
  assertMatch(
    error.message,
    /in time \(\d\.\d s, while a request waits\) \(down for 10\.0 s, 4 attempts/,
  );
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
