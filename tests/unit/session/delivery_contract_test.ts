/**
 * The delivery contract, line by line: exactly one answer for every request,
 * and nothing executed twice that must not be.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { isOwnId } from "../../helpers/session/own_ids.ts";
import { type Json, Scene } from "../../helpers/session/session_driver.ts";
import { test } from "../../helpers/no_permissions.ts";

/** The codes and ids of all errors that went to the client. */
function errors(scene: Scene): [id: unknown, code: number][] {
  return scene.replies().filter(({ error }) => error)
    .map(({ id, error }) => [id, error.code]);
}

function methods(messages: Json[]): string[] {
  return messages.map(({ method }) => method);
}

/** A scene in which the client knows the tools `look` (read-only) and `write`. */
function equipped(config = {}): Scene {
  const scene = new Scene(config);
  scene.start();
  scene.ask("list", "tools/list");
  const tools = [
    { name: "look", annotations: { readOnlyHint: true } },
    { name: "write" },
  ];
  scene.daemon({ id: "list", result: { tools } });
  scene.take();
  return scene;
}

/** The new daemon lists its tools, as it is asked on the connection that was dialed last. */
function list(scene: Scene, hints: Json = { readOnlyHint: true }): void {
  const { id } = scene.written().find(({ id, method }) =>
    method === "tools/list" && isOwnId(id)
  )!;
  const tools = [{ name: "look", annotations: hints }, { name: "write" }];
  scene.daemon({ id, result: { tools } });
}

test("Forwarding: a message passes both ways as it is spelled", () => {
  const scene = new Scene();
  scene.start();
  const there =
    '{"id":1.0,"jsonrpc":"2.0","method":"x","params":{"n":1e2,"n":12345678901234567890},"extra":"\\u00e9"}';
  const back = '{ "result":{"n":1.50},"jsonrpc":"2.0","id":1, "__proto__":1}';
  scene.client(there);
  scene.daemon(back);
  const texts = scene.take().flatMap((effect) =>
    effect.type === "send" || effect.type === "reply" ? [effect.text] : []
  );
  const [probe, ...rest] = texts;
  assertEquals(JSON.parse(probe!).method, "ping");
  assertEquals(rest, [there, back]);
});

test("Queue: requests wait for the next connection, in order", () => {
  const scene = new Scene();
  scene.start();
  scene.close();
  for (const id of [1, "1", 0, "0"]) scene.call(id, "write");
  scene.pass(260);
  scene.take();
  scene.again();
  const calls = scene.written().filter(({ method }) => method === "tools/call");
  assertEquals(calls.map(({ id }) => id), [1, "1", 0, "0"]);
  assertEquals(errors(scene), []);
});

test("Queue: a request that was never sent fails as unavailable when its queue timeout passes, not before", () => {
  const scene = new Scene();
  scene.start();
  scene.close();
  scene.call(1, "write");
  while (scene.now < 44_000) {
    scene.pass(100);
    if (scene.session.deadline() < Infinity) scene.refuse();
  }
  assertEquals(errors(scene), []);
  scene.pass(45_000 - scene.now);
  const [{ error }] = scene.replies();
  assertEquals(error.code, -31001);
  assertEquals(error.data.delivered, "no");
  assertEquals(error.data.retryable, true);
  assert(error.data.attempt > 10);
  assertMatch(
    error.message,
    /ws:\/\/daemon\/.*nothing listens there.*not delivered/,
  );
});

test("Lost connection: a safe request is sent again on the next one under the same id", () => {
  const scene = equipped();
  scene.ask(1, "tools/list");
  scene.call(2, "look");
  scene.close();
  scene.pass(260);
  assertEquals(errors(scene), []);
  scene.take();
  scene.again();
  list(scene);
  const [, ...sent] = scene.written().filter(({ id }) => !isOwnId(id));
  assertEquals(sent.map(({ id }) => id).slice(0, 2), [1, 2]);
  scene.daemon({ id: 1, result: { tools: [] } });
  scene.daemon({ id: 2, result: {} });
  assertEquals(scene.replies().filter(({ id }) => id).map(({ id }) => id), [
    1,
    2,
  ]);
});

test("Lost connection: an unsafe request fails at once with an unknown outcome, and is never sent again", () => {
  const scene = equipped();
  scene.call(1, "write");
  scene.take();
  scene.close();
  const [{ id, error }] = scene.replies();
  assertEquals([id, error.code, error.data.delivered], [1, -31002, "unknown"]);
  assertEquals(error.data.retryable, false);
  assertMatch(error.message, /write.*may or may not have been executed/);
  scene.pass(260);
  scene.take();
  scene.again();
  assertEquals(methods(scene.written()).includes("tools/call"), false);
});

const POLICIES: [retry: "safe" | "always" | "never", resent: unknown[]][] = [
  ["safe", ["look"]],
  ["always", ["look", "write"]],
  ["never", []],
];
for (const [retry, resent] of POLICIES) {
  test(`Lost connection: --retry ${retry} sends again: ${resent.join(" ") || "nothing"}`, () => {
    const scene = equipped({ retry });
    scene.call("look", "look");
    scene.call("write", "write");
    scene.close();
    assertEquals(
      errors(scene).map(([id]) => id),
      ["look", "write"].filter((id) => !resent.includes(id)),
    );
    scene.pass(260);
    scene.take();
    scene.again();
    list(scene);
    const calls = scene.written().filter(({ method }) =>
      method === "tools/call"
    );
    assertEquals(calls.map(({ id }) => id), resent);
  });
}

test("Lost connection: after a second one a request is not tried a third time", () => {
  const scene = equipped({ retry: "always" });
  scene.call(1, "write");
  for (let losses = 1; losses <= 2; losses++) {
    assertEquals(errors(scene), []);
    scene.close();
    scene.pass(2000);
    if (losses === 1) scene.again();
  }
  assertEquals(errors(scene), [[1, -31002]]);
  assertMatch(scene.replies().at(-1).error.message, /2 lost connections/);
});

test("Timeout: the request is cancelled at the daemon, fails, and its late response is dropped", () => {
  const scene = equipped({ requestTimeout: 20_000, pingInterval: Infinity });
  scene.call(7, "write");
  scene.take();
  scene.pass(19_999);
  assertEquals(scene.replies(), []);
  scene.pass(1);
  assertEquals(errors(scene), [[7, -31003]]);
  const [cancel] = scene.written();
  assertEquals(cancel.method, "notifications/cancelled");
  assertEquals(cancel.params.requestId, 7);
  scene.take();
  scene.daemon({ id: 7, result: {} });
  assertEquals(scene.replies(), []);
});

test("Progress: postpones the idle timeout, and reaches the client also where it does not rise", () => {
  const scene = equipped({ idleTimeout: 10_000, pingInterval: Infinity });
  scene.call(1, "write", { progressToken: "t" });
  scene.take();
  const progress = (progressToken: unknown, progress: number): void =>
    scene.daemon({
      method: "notifications/progress",
      params: { progressToken, progress },
    });
  scene.pass(9_000);
  progress("t", 1);
  scene.pass(9_000);
  progress("t", 2);
  progress("t", 2);
  progress("t", 1);
  progress("u", 9);
  assertEquals(
    scene.replies().map(({ params }) => params.progress),
    [1, 2, 2, 1],
  );
  scene.daemon({ id: 1, result: {} });
  scene.take();
  progress("t", 3);
  assertEquals(scene.replies(), [], "it is answered");
});

test("Progress: of a safe request that is sent again, the client sees no value twice", () => {
  const scene = equipped();
  scene.call(1, "look", { progressToken: 0 });
  const progress = (progress: number): void =>
    scene.daemon({
      method: "notifications/progress",
      params: { progressToken: 0, progress },
    });
  progress(5);
  scene.close();
  scene.pass(260);
  scene.again();
  list(scene);
  scene.take();
  for (const value of [1, 5, 6]) progress(value);
  assertEquals(scene.replies().map(({ params }) => params.progress), [6]);
});

test("Responses: duplicate, late and foreign ones are dropped", () => {
  const scene = equipped();
  scene.ask("7", "tools/list");
  scene.daemon({ id: "7", result: { tools: [] } });
  scene.ask(1, "tools/list");
  scene.take();
  const { epoch } = scene;
  scene.daemon({ id: "1", result: {} });
  scene.daemon({ id: 99, result: {} });
  scene.daemon({ id: null, error: { code: -32700, message: "?" } });
  assertEquals(scene.replies(), []);
  scene.daemon({ id: 1, result: { tools: [] } });
  scene.daemon({ id: 1, result: { tools: [] } });
  assertEquals(scene.replies().length, 1);
  scene.ask(2, "tools/list");
  scene.close();
  scene.pass(260);
  scene.take();
  scene.daemon({ id: 2, result: {} }, epoch);
  scene.close(1006, epoch);
  assertEquals(scene.replies(), [], "that connection was left");
});

test("Duplicate id: a second request under an id in flight is dropped with a log line", () => {
  const scene = equipped();
  scene.call(1, "write");
  scene.call(1, "write");
  assertEquals(methods(scene.written()), ["tools/call"]);
  assertEquals(scene.replies(), []);
  assertEquals(scene.logged(), ["duplicate-id"]);
});

test("Cancellation: of a queued request nothing is sent and nothing answered", () => {
  const scene = equipped();
  scene.close();
  scene.call(1, "write");
  scene.client({ method: "notifications/cancelled", params: { requestId: 1 } });
  scene.pass(260);
  scene.take();
  scene.again();
  assertEquals(methods(scene.written()).includes("tools/call"), false);
  scene.pass(60_000);
  assertEquals(scene.replies().filter(({ id }) => id === 1), []);
});

test("Cancellation: of a request in flight the daemon is notified, and its response is dropped", () => {
  const scene = equipped();
  scene.call(1, "write");
  scene.take();
  scene.client({
    method: "notifications/cancelled",
    params: { requestId: "1" },
  });
  assertEquals(scene.written(), [], "another id");
  scene.client({ method: "notifications/cancelled", params: { requestId: 1 } });
  assertEquals(methods(scene.written()), ["notifications/cancelled"]);
  scene.daemon({ id: 1, result: {} });
  scene.close();
  assertEquals(scene.replies(), []);
});

test("Cancellation: initialize cannot be cancelled", () => {
  const scene = new Scene();
  scene.ask(0, "initialize", {});
  scene.client({ method: "notifications/cancelled", params: { requestId: 0 } });
  scene.open();
  assertEquals(methods(scene.written()), ["initialize"]);
  scene.daemon({ id: 0, result: {} });
  assertEquals(scene.replies()[0].id, 0);
});

test("Ping: the client's own is answered during an outage, and forwarded otherwise", () => {
  const scene = equipped();
  scene.ask(1, "ping");
  assertEquals(methods(scene.written()), ["ping"]);
  scene.daemon({ id: 1, result: {} });
  scene.close();
  scene.take();
  scene.ask(2, "ping");
  assertEquals(scene.replies(), [{ jsonrpc: "2.0", id: 2, result: {} }]);
});

test("Queue: when it is full, a request fails at once", () => {
  const scene = equipped({ queueLimit: 2 });
  scene.close();
  for (const id of [1, 2, 3]) scene.call(id, "write");
  assertEquals(errors(scene), [[3, -31004]]);
  scene.client({ method: "notifications/whatever" });
  assertEquals(scene.logged().at(-1), "dropped-notification");
});

test("Size limit: a message over --max-message fails only its own request", () => {
  const scene = equipped({ maxMessage: 1000 });
  scene.ask(1, "x", { text: "x".repeat(1000) });
  assertEquals(scene.written(), []);
  scene.call(2, "write");
  scene.call(3, "write");
  scene.daemon({ id: 2, result: { text: "x".repeat(1000) } });
  scene.daemon({ id: 3, result: {} });
  assertEquals(errors(scene), [[1, -31005], [2, -31005]]);
  const [before, after] = scene.replies().map(({ error }) => error?.data);
  assertEquals([before.delivered, after.delivered], ["no", "yes"]);
  assertEquals(scene.replies().at(-1), { jsonrpc: "2.0", id: 3, result: {} });
});

const REFUSALS: [what: string, end: (scene: Scene) => void][] = [
  ["close code 1008", (scene) => {
    scene.open();
    scene.close(1008);
  }],
  ["HTTP 401", (scene) =>
    scene.do({
      type: "closed",
      epoch: scene.epoch,
      code: 0,
      reason: "HTTP 401",
      status: 401,
      reached: true,
    })],
  ["another protocol version", (scene) => scene.again("2099-01-01")],
];
for (const [what, end] of REFUSALS) {
  test(`Refusal: by ${what}, requests fail at once, and the next dial comes at the cap`, () => {
    const scene = equipped();
    scene.close();
    scene.call(1, "write");
    scene.pass(260);
    scene.take();
    end(scene);
    scene.call(2, "write");
    assertEquals(errors(scene), [[1, -31001], [2, -31001]]);
    for (const { error } of scene.replies()) {
      assertEquals(error.data.reason, "refused");
      assertEquals(error.data.retryable, false);
    }
    const { length } = scene.dials;
    scene.pass(29_000);
    assertEquals(scene.dials.length, length);
    scene.pass(1_001);
    assertEquals(scene.dials.length, length + 1);
    scene.take();
    scene.again();
    scene.call(3, "write");
    assertEquals(scene.written().at(-1).params, { name: "write" });
    assertEquals(scene.exit(), undefined);
  });
}

test("Liveness: a dead idle connection is lost within 10 s", () => {
  const scene = equipped();
  const { now, epoch } = scene;
  scene.pass(10_000);
  assertEquals(methods(scene.sent()), ["ping"]);
  const close = scene.take().find(({ type }) => type === "close");
  assertEquals(close, { type: "close", epoch });
  assertEquals(scene.now - now, 10_000);
});

test("Liveness: any frame answers a probe, even an invalid one", () => {
  const scene = equipped();
  for (
    const frame of ["garbage", '{"jsonrpc":"2.0","method":"notifications/x"}']
  ) {
    scene.pass(5_000);
    scene.daemon(frame);
  }
  scene.pass(4_999);
  assertEquals(scene.take().some(({ type }) => type === "close"), false);
});

test("Liveness: a connection with an open request is kept in silence", () => {
  const scene = equipped();
  scene.call(1, "write");
  const { epoch } = scene;
  scene.pass(599_999);
  assertEquals(scene.isLeft(epoch), false);
});

test("Shutdown: with nothing open, exit 0 at once, and a close for the daemon", () => {
  const scene = equipped();
  const { epoch } = scene;
  scene.end();
  assertEquals(scene.take(), [
    { type: "close", epoch },
    { type: "exit", code: 0 },
  ]);
  assertEquals(scene.session.deadline(), Infinity);
});

test("Shutdown: during an outage or a dial, exit 0 at once", () => {
  const down = equipped();
  down.close();
  down.take();
  down.end();
  assertEquals(down.exit(), 0);
  const dialing = new Scene();
  dialing.take();
  dialing.end();
  assertEquals(dialing.take().map(({ type }) => type), ["close", "exit"]);
});

test("Shutdown: open requests have 1.5 s, and then fail", () => {
  const scene = equipped();
  scene.call(1, "write");
  scene.call(2, "write");
  scene.end();
  scene.pass(1_000);
  scene.daemon({ id: 2, result: {} });
  scene.pass(499);
  assertEquals(scene.exit(), undefined);
  scene.pass(1);
  assertEquals(scene.exit(), 0);
  assertEquals(errors(scene), [[1, -31002]]);
  const queued = new Scene();
  queued.ask(1, "initialize", {});
  queued.end();
  queued.pass(1_500);
  assertEquals([errors(queued), queued.exit()], [[[1, -31001]], 0]);
});

test("Shutdown: exit as soon as the open request is answered", () => {
  const scene = equipped();
  scene.call(1, "write");
  scene.end();
  scene.pass(300);
  scene.daemon({ id: 1, result: {} });
  assertEquals(scene.exit(), 0);
});

test("Shutdown: at once after a second signal", () => {
  const scene = equipped();
  scene.call(1, "write");
  scene.end("signal");
  scene.end();
  assertEquals(scene.exit(), undefined);
  scene.end("signal");
  assertEquals([errors(scene), scene.exit()], [[[1, -31002]], 0]);
});

test("Shutdown: with a broken stdout exit 0 at once, whatever is open", () => {
  const scene = equipped();
  scene.call(1, "write");
  scene.do({ type: "broken" });
  assertEquals(scene.exit(), 0);
});

test("--give-up-after: exit 1 after so long without a connection, and every open request fails", () => {
  const scene = equipped({ giveUpAfter: 20_000 });
  scene.pass(4_000);
  scene.close();
  scene.pass(15_000);
  scene.call(1, "write");
  scene.pass(4_999);
  assertEquals(scene.exit(), undefined);
  scene.pass(1);
  assertEquals([errors(scene), scene.exit()], [[[1, -31001]], 1]);
});

test("--give-up-after: does not run while the client has not sent anything", () => {
  const scene = new Scene({ giveUpAfter: 20_000 });
  scene.open();
  scene.pass(60_000);
  assertEquals(scene.exit(), undefined);
});

test("Errors: retryable is false where repeating may do harm", () => {
  const always = equipped({ retry: "always", requestTimeout: 30_000 });
  always.call(1, "write");
  always.close();
  always.pass(30_000);
  const never = equipped({ retry: "never" });
  never.call(1, "look");
  never.close();
  const data = [always, never].map((scene) => scene.replies()[0].error.data);
  assertEquals(data.map(({ delivered, retryable }) => [delivered, retryable]), [
    ["unknown", false],
    ["unknown", true],
  ]);
});
