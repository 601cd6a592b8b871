/**
 * Tests the main purpose of the proxy with real processes: a daemon is killed
 * and restarted while a client works.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../helpers/assert.ts";
import { ProxyAndDaemon } from "../helpers/mcp_process.ts";
import { test } from "../helpers/time_limit.ts";

test("Restart: after kill -9 queued requests are answered, unsafe ones are not executed twice, safe ones are repeated", async () => {
  await using processes = new ProxyAndDaemon();
  const { proxy } = processes;
  await processes.startDaemon();
  await proxy.initialize();
  await processes.startTwoCalls();
  const killedAt = await processes.killDaemon();
  const lost = await proxy.waitForResponse(1);
  assertEquals(lost.error.code, -31002);
  assert(lost.at - killedAt < 5_000, `${lost.at - killedAt}`);
  await proxy.callTool("0", "echo", { key: "queued" });
  await proxy.request("ping", "ping");
  assertEquals(
    (await proxy.waitForResponse("ping")).result,
    {},
    "answered while down",
  );
  await proxy.stderr.waitForLine((line) => /Attempt \d+ .* failed/.test(line));
  const upAt = await processes.startDaemon();
  const queued = await proxy.waitForResponse("0");
  assertEquals(queued.result.content[0].text, "queued");
  assert(queued.at - upAt < 10_000, `${queued.at - upAt}`);
  const safe = await proxy.waitForResponse("1");
  assertEquals(safe.result.content[0].text, "safe");
  assertEquals(processes.journalLines("call write"), ["call write unsafe"]);
  assertEquals(processes.journalLines("call look").length, 2);
  assertEquals(processes.journalLines("call echo").length, 1);
  const again =
    /Reconnected to WebSocket daemon at ws:\/\/127\.0\.0\.1:\d+\/ after \d+ attempts? \(down \d+\.\d s\)/;
  await proxy.stderr.waitForLine((line) => again.test(line));
  assertEquals((await proxy.closeStdin()).code, 0);
  for (const { text } of proxy.stdout.lines) JSON.parse(text);
});

test("Restart: requests wait for a daemon that is not there yet", async () => {
  await using processes = new ProxyAndDaemon();
  const { proxy } = processes;
  const hello = proxy.initialize();
  await proxy.callTool(1, "echo", { key: "early" });
  await proxy.stderr.waitForLine((line) => /Attempt 1 .* failed/.test(line));
  await processes.startDaemon();
  const { result } = await hello;
  assertEquals(result.serverInfo.name, "tests");
  assertEquals(
    (await proxy.waitForResponse(1)).result.content[0].text,
    "early",
  );
  await proxy.stderr.waitForLine((line) =>
    line.includes(
      "Successfully connected to WebSocket daemon at ws://127.0.0.1:",
    )
  );
});

test("Restart: the new daemon gets the session's state, and the client gets list_changed", async () => {
  await using processes = new ProxyAndDaemon();
  const { proxy } = processes;
  await processes.startDaemon();
  await proxy.initialize();
  await proxy.request(1, "logging/setLevel", { level: "warning" });
  await proxy.request(2, "resources/subscribe", { uri: "test:///a" });
  await proxy.request(3, "tools/list");
  await proxy.request(4, "prompts/list");
  for (const id of [1, 2, 3, 4]) await proxy.waitForResponse(id);
  await processes.killDaemon();
  await Deno.truncate(processes.journal);
  await processes.startDaemon("--extra", "new");
  await proxy.waitForMessage("notifications/tools/list_changed");
  assertEquals(processes.journalLines("got").slice(0, 6), [
    "got initialize",
    "got notifications/initialized",
    "got logging/setLevel",
    "got resources/subscribe",
    "got tools/list",
    "got prompts/list",
  ]);
  assertEquals(processes.journalLines("level"), ["level warning"]);
  assertEquals(processes.journalLines("subscribe"), ["subscribe test:///a"]);
  await proxy.waitForMessage("notifications/resources/updated");
  // The second restart changes no list, so the client gets no notification.
  await proxy.request(5, "tools/list");
  const { result } = await proxy.waitForResponse(5);
  assert(result.tools.some(({ name }: { name: string }) => name === "new"));
  await processes.killDaemon();
  const from = proxy.stdout.lines.length;
  await processes.startDaemon("--extra", "new");
  await proxy.callTool(6, "echo");
  await proxy.waitForResponse(6);
  await proxy.request(7, "ping");
  await proxy.waitForResponse(7);
  const received = proxy.stdout.lines.slice(from).map(({ text }) =>
    JSON.parse(text).method
  );
  assertEquals(received.includes("notifications/tools/list_changed"), false);
});

test("Restart: a dead daemon's request is cancelled at the client, and the new daemon's is answered", async () => {
  await using processes = new ProxyAndDaemon();
  const { proxy } = processes;
  await processes.startDaemon();
  await proxy.initialize({ elicitation: {} });
  await proxy.callTool(1, "ask", { key: "a" });
  const first = await proxy.waitForMessage("elicitation/create");
  await processes.killDaemon();
  const { params } = await proxy.waitForMessage("notifications/cancelled") as {
    params: { requestId: unknown };
  };
  assertEquals(params.requestId, first.id);
  assertEquals((await proxy.waitForResponse(1)).error.code, -31002);
  await processes.startDaemon();
  await proxy.callTool(2, "ask", { key: "b" });
  const second = await proxy.stdout.waitForLine((text) => {
    const { method, id } = JSON.parse(text);
    return method === "elicitation/create" && id !== first.id;
  });
  const { id } = JSON.parse(second.text);
  const answer = (id: unknown, action: string): Promise<void> =>
    proxy.send({ jsonrpc: "2.0", id, result: { action } });
  await answer(first.id, "cancel");
  await answer(id, "decline");
  assertEquals(
    (await proxy.waitForResponse(2)).result.content[0].text,
    "b:decline",
  );
});

test("Restart: progress and cancellation reach their receivers", async () => {
  await using processes = new ProxyAndDaemon();
  const { proxy } = processes;
  await processes.startDaemon();
  await proxy.initialize();
  await proxy.callTool(1, "steps", { key: "done", n: 3 }, {
    progressToken: "p",
  });
  await proxy.waitForResponse(1);
  const progress = proxy.stdout.lines.map(({ text }) => JSON.parse(text))
    .filter(({ method }) => method === "notifications/progress")
    .map(({ params }) => params.progress);
  assertEquals(progress, [1, 2, 3]);
  await proxy.callTool(2, "write", { key: "long", ms: 60_000 });
  await processes.waitForJournalLine("call write long");
  await proxy.send({
    jsonrpc: "2.0",
    method: "notifications/cancelled",
    params: { requestId: 2 },
  });
  await processes.waitForJournalLine("cancelled write long");
});

test("Restart: a call that kills the daemon is not sent a third time", async () => {
  await using processes = new ProxyAndDaemon(["--backoff-base", "50ms"]);
  const { proxy } = processes;
  await processes.startDaemon();
  await proxy.initialize();
  await proxy.request("list", "tools/list");
  await proxy.waitForResponse("list");
  await proxy.callTool(1, "die");
  await processes.waitForJournalLine("call die");
  await proxy.stderr.waitForLine((line) => line.includes("Lost"));
  await processes.startDaemon();
  const { error } = await proxy.waitForResponse(1);
  assertMatch(error.message, /2 lost connections/);
  assertEquals(processes.journalLines("call die").length, 2);
  await processes.startDaemon();
  await proxy.callTool(2, "echo", { key: "alive" });
  assertEquals(
    (await proxy.waitForResponse(2)).result.content[0].text,
    "alive",
  );
});

test("Liveness: an idle connection to a frozen daemon is closed, and the proxy reconnects once the daemon continues", async () => {
  await using processes = new ProxyAndDaemon([
    ...["--ping-interval", "1s", "--ping-timeout", "1s"],
    ...["--connections", "many"],
  ]);
  const { proxy } = processes;
  await processes.startDaemon();
  await proxy.initialize();
  await proxy.stderr.waitForLine((line) => line.includes("Successfully"));
  processes.signalDaemon("SIGSTOP");
  await proxy.stderr.waitForLine((line) =>
    line.includes("did not answer a ping")
  );
  processes.signalDaemon("SIGCONT");
  await proxy.stderr.waitForLine((line) => line.includes("Reconnected"));
  await proxy.callTool(1, "echo", { key: "thawed" });
  assertEquals(
    (await proxy.waitForResponse(1)).result.content[0].text,
    "thawed",
  );
});

test("Restart: in a long outage (12 s with short pauses), the log warns of only some retries, and the next call works", async () => {
  // 12 s stand for two minutes. The backoff base is 25 ms instead of 250 ms.
  // The cap is 1 s, so attempt 17 fails after about 12 s.
  await using processes = new ProxyAndDaemon([
    ...["--backoff-base", "25ms", "--backoff-cap", "1s"],
    ...["--log-level", "debug"],
  ]);
  const { proxy } = processes;
  await processes.startDaemon();
  await proxy.initialize();
  await proxy.callTool(1, "echo");
  await proxy.waitForResponse(1);
  const from = proxy.stderr.lines.length;
  const killedAt = await processes.killDaemon();
  const last = await proxy.stderr.waitForLine(
    (line) => /Attempt 17 /.test(line),
    from,
  );
  assert(last.at - killedAt > 11_000);
  const attempts = proxy.stderr.lines.slice(from).flatMap(({ text }) => {
    const [, n] = / WARN .*Attempt (\d+) .* failed/.exec(text) ?? [];
    return n === undefined ? [] : [Number(n)];
  });
  assertEquals(attempts, [1, 5, 10]);
  const upAt = await processes.startDaemon();
  const again = await proxy.stderr.waitForLine((line) =>
    line.includes("Reconnected")
  );
  assertMatch(
    again.text,
    /after \d+ attempts \(down (1[1-9]|[2-9]\d|\d{3,})\.\d s\)$/,
  );
  assert(again.at - upAt < 10_000, `${again.at - upAt}`);
  await proxy.callTool(2, "echo", { key: "still here" });
  assertEquals(
    (await proxy.waitForResponse(2)).result.content[0].text,
    "still here",
  );
});
