/**
 * Tests a network that drops everything, and a proxy that is stopped as if its
 * machine slept, with real processes.
 *
 * @module
 */

import { delay } from "../../lib/runtime/timeout.ts";
import { assert, assertEquals } from "../helpers/assert.ts";
import { FAST_PROBE_FLAGS, ProxyAndDaemon } from "../helpers/mcp_process.ts";
import { TcpRelay } from "../helpers/tcp_relay.ts";
import { test } from "../helpers/time_limit.ts";
import { freePort, OutputLines } from "../helpers/process.ts";

test("Liveness: on a network that drops everything, the connection is closed within 20 s, and nothing is executed twice", async () => {
  const port = freePort();
  await using relay = new TcpRelay(port);
  await using processes = new ProxyAndDaemon([], {}, relay.port, port);
  await processes.startDaemon();
  await processes.proxy.initialize();
  await processes.proxy.callTool(1, "write", { ms: 60_000, key: "one" });
  await processes.waitForProbeAfter("call write one");
  // The response to a later request shows that the pong has arrived, too.
  await processes.proxy.request("through", "tools/list");
  await processes.proxy.waitForResponse("through");
  const start = Date.now();
  relay.blackhole();
  const { error } = await processes.proxy.waitForResponse(1);
  assertEquals(error.code, -31002);
  const lost = await processes.proxy.stderr.waitForLine((line) =>
    line.includes("Lost the")
  );
  const ms = OutputLines.logTimeOf(lost) - start;
  assert(ms < 20_000, `${ms} ms`);
  await processes.proxy.callTool(2, "write", { key: "two" });
  assertEquals(
    (await processes.proxy.waitForResponse(2)).result.content[0].text,
    "two",
  );
  assertEquals(processes.journalLines("call write"), [
    "call write one",
    "call write two",
  ]);
});

test("Liveness: on a network that drops everything, a call to a daemon that serves one request at a time waits for its timeout, and new requests are answered", async () => {
  const port = freePort();
  await using relay = new TcpRelay(port);
  const flags = [...FAST_PROBE_FLAGS, "--request-timeout", "12s"];
  await using processes = new ProxyAndDaemon(flags, {}, relay.port, port);
  await processes.startDaemon("--habit", "serial");
  await processes.proxy.initialize();
  await processes.proxy.callTool(1, "write", { ms: 60_000, key: "one" });
  await processes.waitForJournalLine("call write one");
  relay.blackhole();
  await processes.proxy.stderr.waitForLine((line) =>
    line.includes("new messages use a second connection")
  );
  await processes.proxy.callTool(2, "write", { key: "two" });
  const two = await processes.proxy.waitForResponse(2);
  const one = await processes.proxy.waitForResponse(1);
  assertEquals([two.result.content[0].text, one.error.code], ["two", -31003]);
  assert(two.at < one.at);
});

test("Sleep: no request expires while the proxy is stopped, and the proxy then works at once", async () => {
  const port = freePort();
  await using relay = new TcpRelay(port);
  const env = { GLM_STREAM_TIMEOUT: "3" };
  // The probes come late, so only the reaction to the wake-up can be fast.
  const flags = ["--ping-interval", "60s", "--ping-timeout", "60s"];
  await using processes = new ProxyAndDaemon(flags, env, relay.port, port);
  await processes.startDaemon("--extra", "glm_chat");
  await processes.proxy.initialize();
  await processes.proxy.callTool(1, "glm_chat", { ms: 2_000, key: "one" });
  await processes.waitForJournalLine("call glm_chat");
  processes.proxy.process.kill("SIGSTOP");
  // This pause must be real. It is 4 s longer than the call's timeout.
  await delay(7_000);
  processes.proxy.process.kill("SIGCONT");
  assertEquals(
    (await processes.proxy.waitForResponse(1)).result.content[0].text,
    "one",
  );
  await processes.proxy.stderr.waitForLine((line) =>
    line.includes("Resumed after a sleep of")
  );
  // This time, the network fails while the proxy sleeps.
  processes.proxy.process.kill("SIGSTOP");
  relay.blackhole();
  await delay(9_000);
  const start = performance.now();
  processes.proxy.process.kill("SIGCONT");
  await processes.proxy.callTool(2, "write", { key: "two" });
  const { result, at } = await processes.proxy.waitForResponse(2);
  assertEquals(result.content[0].text, "two");
  assert(at - start < 20_000, `${at - start} ms`);
});
