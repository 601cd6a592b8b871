/**
 * Tests `alwaysup history` with real outages.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../helpers/assert.ts";
import { ProxyAndDaemon } from "../helpers/mcp_process.ts";
import { StateFolder } from "../helpers/state_folder.ts";
import { test } from "../helpers/time_limit.ts";

test("history: a killed daemon is an outage with its requests, and has an end after the restart", async () => {
  using folder = new StateFolder();
  assertEquals((await folder.history()).stdout, "No alwaysup is running.\n");
  assertEquals((await folder.history("--json")).stdout, "[]\n");
  await using processes = new ProxyAndDaemon([], folder.env);
  const { proxy } = processes;
  await processes.startDaemon();
  await proxy.initialize();
  await processes.startTwoCalls();
  const startedAt = Date.now();
  await processes.killDaemon();
  await proxy.waitForResponse(1);
  await folder.waitForStatus(([it]) =>
    it?.history.outages.at(-1)?.failedCount === 1
  );
  const down = await folder.history();
  assertEquals([down.code, down.stderr], [0, ""]);
  assertMatch(
    down.stdout,
    /^e2e 1, tests 1 at ws:\/\/127\.0\.0\.1:\d+\/, pid \d+\n/,
  );
  assertMatch(
    down.stdout,
    /\n {2}\d{4}-\d\d-\d\d \d\d:\d\d:\d\d {2}still down after [\d.]+ s: .*\n.*requests: 0 repeated, 1 failed:\n +tools\/call write: -31002 connection_lost\n$/,
  );
  await processes.startDaemon();
  await proxy.waitForResponse("1");
  await folder.waitForStatus(([it]) =>
    it?.connectionState.phase === "ready" && it.history.repeatedCount === 1
  );
  const { stdout } = await folder.history();
  assertMatch(
    stdout,
    / {2}down [\d.]+ s: .*\n.*requests: 1 repeated, 1 failed:/,
  );
  assert(!stdout.includes("still down"), stdout);
  const [it, ...others] = JSON.parse((await folder.history("--json")).stdout);
  assertEquals([others, it.client, it.daemon], [[], "e2e 1", "tests 1"]);
  const outage = it.history.outages.at(-1);
  assertEquals([outage.cause, outage.failedCount], ["aborted", 1]);
  assert(outage.lostAt >= startedAt - 1 && outage.downMs > 0, stdout);
  await proxy.closeStdin();
});

test("history: a folder that cannot be read gives one line", async () => {
  using folder = new StateFolder();
  await Deno.mkdir(`${folder.path}/alwaysup`);
  await Deno.writeTextFile(folder.running, "");
  const { code, stdout, stderr } = await folder.history();
  assertEquals([code, stdout], [1, ""]);
  assertMatch(stderr, /^alwaysup history: .*running is a file, and must .*\n$/);
});
