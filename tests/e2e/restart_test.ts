/**
 * The main job, with real processes: a daemon that is killed and started again
 * while a client works.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../helpers/assert.ts";
import { Rig } from "../helpers/mcp_process.ts";
import { test } from "../helpers/time_limit.ts";

test("Restart: after kill -9 queued requests are answered, unsafe ones are not executed twice, safe ones are repeated", async () => {
  await using rig = new Rig();
  const { proxy } = rig;
  await rig.up();
  await proxy.initialize();
  await rig.callTwo();
  const killedAt = await rig.kill();
  const lost = await proxy.answer(1);
  assertEquals(lost.error.code, -31002);
  assert(lost.at - killedAt < 5_000, `${lost.at - killedAt}`);
  await proxy.call("0", "echo", { key: "queued" });
  await proxy.ask("ping", "ping");
  assertEquals((await proxy.answer("ping")).result, {}, "answered while down");
  await proxy.stderr.find((line) => /Attempt \d+ .* failed/.test(line));
  const upAt = await rig.up();
  const queued = await proxy.answer("0");
  assertEquals(queued.result.content[0].text, "queued");
  assert(queued.at - upAt < 10_000, `${queued.at - upAt}`);
  const safe = await proxy.answer("1");
  assertEquals(safe.result.content[0].text, "safe");
  assertEquals(rig.executed("call write"), ["call write unsafe"]);
  assertEquals(rig.executed("call look").length, 2);
  assertEquals(rig.executed("call echo").length, 1);
  const again =
    /Reconnected to WebSocket daemon at ws:\/\/127\.0\.0\.1:\d+\/ after \d+ attempts? \(down \d+\.\d s\)/;
  await proxy.stderr.find((line) => again.test(line));
  assertEquals((await proxy.end()).code, 0);
  for (const { text } of proxy.stdout.all) JSON.parse(text);
});

test("Restart: requests wait for a daemon that is not there yet", async () => {
  await using rig = new Rig();
  const { proxy } = rig;
  const hello = proxy.initialize();
  await proxy.call(1, "echo", { key: "early" });
  await proxy.stderr.find((line) => /Attempt 1 .* failed/.test(line));
  await rig.up();
  const { result } = await hello;
  assertEquals(result.serverInfo.name, "tests");
  assertEquals((await proxy.answer(1)).result.content[0].text, "early");
  await proxy.stderr.find((line) =>
    line.includes(
      "Successfully connected to WebSocket daemon at ws://127.0.0.1:",
    )
  );
});

test("Restart: the new daemon gets the session's state, and the client list_changed", async () => {
  await using rig = new Rig();
  const { proxy } = rig;
  await rig.up();
  await proxy.initialize();
  await proxy.ask(1, "logging/setLevel", { level: "warning" });
  await proxy.ask(2, "resources/subscribe", { uri: "test:///a" });
  await proxy.ask(3, "tools/list");
  await proxy.ask(4, "prompts/list");
  for (const id of [1, 2, 3, 4]) await proxy.answer(id);
  await rig.kill();
  await Deno.truncate(rig.journal);
  await rig.up("--extra", "new");
  await proxy.hear("notifications/tools/list_changed");
  assertEquals(rig.executed("got").slice(0, 6), [
    "got initialize",
    "got notifications/initialized",
    "got logging/setLevel",
    "got resources/subscribe",
    "got tools/list",
    "got prompts/list",
  ]);
  assertEquals(rig.executed("level"), ["level warning"]);
  assertEquals(rig.executed("subscribe"), ["subscribe test:///a"]);
  await proxy.hear("notifications/resources/updated");
  // A second restart without a change: no further notification.
  await proxy.ask(5, "tools/list");
  const { result } = await proxy.answer(5);
  assert(result.tools.some(({ name }: { name: string }) => name === "new"));
  await rig.kill();
  const from = proxy.stdout.all.length;
  await rig.up("--extra", "new");
  await proxy.call(6, "echo");
  await proxy.answer(6);
  await proxy.ask(7, "ping");
  await proxy.answer(7);
  const heard = proxy.stdout.all.slice(from).map(({ text }) =>
    JSON.parse(text).method
  );
  assertEquals(heard.includes("notifications/tools/list_changed"), false);
});

test("Restart: a dead daemon's request is cancelled at the client, and the new daemon's is answered", async () => {
  await using rig = new Rig();
  const { proxy } = rig;
  await rig.up();
  await proxy.initialize({ elicitation: {} });
  await proxy.call(1, "ask", { key: "a" });
  const first = await proxy.hear("elicitation/create");
  await rig.kill();
  const { params } = await proxy.hear("notifications/cancelled") as {
    params: { requestId: unknown };
  };
  assertEquals(params.requestId, first.id);
  assertEquals((await proxy.answer(1)).error.code, -31002);
  await rig.up();
  await proxy.call(2, "ask", { key: "b" });
  const second = await proxy.stdout.find((text) => {
    const { method, id } = JSON.parse(text);
    return method === "elicitation/create" && id !== first.id;
  });
  const { id } = JSON.parse(second.text);
  const answer = (id: unknown, action: string): Promise<void> =>
    proxy.tell({ jsonrpc: "2.0", id, result: { action } });
  await answer(first.id, "cancel");
  await answer(id, "decline");
  assertEquals((await proxy.answer(2)).result.content[0].text, "b:decline");
});

test("Restart: progress and cancellation reach their receivers", async () => {
  await using rig = new Rig();
  const { proxy } = rig;
  await rig.up();
  await proxy.initialize();
  await proxy.call(1, "steps", { key: "done", n: 3 }, { progressToken: "p" });
  await proxy.answer(1);
  const progress = proxy.stdout.all.map(({ text }) => JSON.parse(text))
    .filter(({ method }) => method === "notifications/progress")
    .map(({ params }) => params.progress);
  assertEquals(progress, [1, 2, 3]);
  await proxy.call(2, "write", { key: "long", ms: 60_000 });
  await rig.noted("call write long");
  await proxy.tell({
    jsonrpc: "2.0",
    method: "notifications/cancelled",
    params: { requestId: 2 },
  });
  await rig.noted("cancelled write long");
});

test("Restart: a call that ends the daemon is not sent a third time", async () => {
  await using rig = new Rig(["--backoff-base", "50ms"]);
  const { proxy } = rig;
  await rig.up();
  await proxy.initialize();
  await proxy.ask("list", "tools/list");
  await proxy.answer("list");
  await proxy.call(1, "die");
  await rig.noted("call die");
  await proxy.stderr.find((line) => line.includes("Lost"));
  await rig.up();
  const { error } = await proxy.answer(1);
  assertMatch(error.message, /2 lost connections/);
  assertEquals(rig.executed("call die").length, 2);
  await rig.up();
  await proxy.call(2, "echo", { key: "alive" });
  assertEquals((await proxy.answer(2)).result.content[0].text, "alive");
});

test("Liveness: a frozen daemon is noticed while idle, and the next one is found", async () => {
  await using rig = new Rig([
    ...["--ping-interval", "1s", "--ping-timeout", "1s"],
    ...["--connections", "many"],
  ]);
  const { proxy } = rig;
  await rig.up();
  await proxy.initialize();
  await proxy.stderr.find((line) => line.includes("Successfully"));
  rig.signal("SIGSTOP");
  await proxy.stderr.find((line) => line.includes("did not answer a ping"));
  rig.signal("SIGCONT");
  await proxy.stderr.find((line) => line.includes("Reconnected"));
  await proxy.call(1, "echo", { key: "thawed" });
  assertEquals((await proxy.answer(1)).result.content[0].text, "thawed");
});

test("Restart: two minutes of outage at a tenth of the time give a tiered retry log, and the next call works", async () => {
  // 250 ms become 25 ms, 30 s become 1 s, and two minutes the 12 s to attempt 17.
  await using rig = new Rig([
    ...["--backoff-base", "25ms", "--backoff-cap", "1s"],
    ...["--log-level", "debug"],
  ]);
  const { proxy } = rig;
  await rig.up();
  await proxy.initialize();
  await proxy.call(1, "echo");
  await proxy.answer(1);
  const from = proxy.stderr.all.length;
  const killedAt = await rig.kill();
  const last = await proxy.stderr.find(
    (line) => /Attempt 17 /.test(line),
    from,
  );
  assert(last.at - killedAt > 11_000);
  const attempts = proxy.stderr.all.slice(from).flatMap(({ text }) => {
    const [, n] = / WARN .*Attempt (\d+) .* failed/.exec(text) ?? [];
    return n === undefined ? [] : [Number(n)];
  });
  assertEquals(attempts, [1, 5, 10]);
  const upAt = await rig.up();
  const again = await proxy.stderr.find((line) => line.includes("Reconnected"));
  assertMatch(
    again.text,
    /after \d+ attempts \(down (1[1-9]|[2-9]\d|\d{3,})\.\d s\)$/,
  );
  assert(again.at - upAt < 10_000, `${again.at - upAt}`);
  await proxy.call(2, "echo", { key: "still here" });
  assertEquals((await proxy.answer(2)).result.content[0].text, "still here");
});
