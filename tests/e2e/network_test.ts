/**
 * Networks that swallow everything, and a proxy that sleeps, with real
 * processes.
 *
 * @module
 */

import { delay } from "@std/async/delay.js";
import { assert, assertEquals } from "../helpers/assert.ts";
import { HASTY, Rig } from "../helpers/mcp_process.ts";
import { Relay } from "../helpers/tcp_relay.ts";
import { test } from "../helpers/time_limit.ts";
import { freePort, Lines } from "../helpers/process.ts";

test("Liveness: on a network that drops everything the connection is given up within 20 s, and nothing is executed twice", async () => {
  const port = freePort();
  await using relay = new Relay(port);
  await using rig = new Rig([], {}, relay.port, port);
  await rig.up();
  await rig.proxy.initialize();
  await rig.proxy.call(1, "write", { ms: 60_000, key: "one" });
  await rig.probedAfter("call write one");
  // The pong, too, has passed when a request behind it is answered.
  await rig.proxy.ask("through", "tools/list");
  await rig.proxy.answer("through");
  const start = Date.now();
  relay.swallow();
  const { error } = await rig.proxy.answer(1);
  assertEquals(error.code, -31002);
  const lost = await rig.proxy.stderr.find((line) => line.includes("Lost the"));
  const ms = Lines.writtenAt(lost) - start;
  assert(ms < 20_000, `${ms} ms`);
  await rig.proxy.call(2, "write", { key: "two" });
  assertEquals((await rig.proxy.answer(2)).result.content[0].text, "two");
  assertEquals(rig.executed("call write"), [
    "call write one",
    "call write two",
  ]);
});

test("Liveness: on such a network a daemon that serves one request at a time keeps its call until its timeout, and new requests run", async () => {
  const port = freePort();
  await using relay = new Relay(port);
  const flags = [...HASTY, "--request-timeout", "12s"];
  await using rig = new Rig(flags, {}, relay.port, port);
  await rig.up("--habit", "serial");
  await rig.proxy.initialize();
  await rig.proxy.call(1, "write", { ms: 60_000, key: "one" });
  await rig.noted("call write one");
  relay.swallow();
  await rig.proxy.stderr.find((line) => line.includes("a second connection"));
  await rig.proxy.call(2, "write", { key: "two" });
  const two = await rig.proxy.answer(2);
  const one = await rig.proxy.answer(1);
  assertEquals([two.result.content[0].text, one.error.code], ["two", -31003]);
  assert(two.at < one.at);
});

test("Sleep: no request expires because the proxy was stopped, and it works at once", async () => {
  const port = freePort();
  await using relay = new Relay(port);
  const env = { GLM_STREAM_TIMEOUT: "3" };
  // Probes that come late: only what the proxy does when it wakes is quick.
  const flags = ["--ping-interval", "60s", "--ping-timeout", "60s"];
  await using rig = new Rig(flags, env, relay.port, port);
  await rig.up("--extra", "glm_chat");
  await rig.proxy.initialize();
  await rig.proxy.call(1, "glm_chat", { ms: 2_000, key: "one" });
  await rig.noted("call glm_chat");
  rig.proxy.process.kill("SIGSTOP");
  // Time itself is what is tested: the call's limit passes by 4 s.
  await delay(7_000);
  rig.proxy.process.kill("SIGCONT");
  assertEquals((await rig.proxy.answer(1)).result.content[0].text, "one");
  await rig.proxy.stderr.find((line) => line.includes("Awake after"));
  // Now the network is another one when it wakes.
  rig.proxy.process.kill("SIGSTOP");
  relay.swallow();
  await delay(9_000);
  const start = performance.now();
  rig.proxy.process.kill("SIGCONT");
  await rig.proxy.call(2, "write", { key: "two" });
  const { result, at } = await rig.proxy.answer(2);
  assertEquals(result.content[0].text, "two");
  assert(at - start < 20_000, `${at - start} ms`);
});
