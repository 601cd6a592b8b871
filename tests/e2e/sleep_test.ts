/**
 * Tests a sleep of the machine in the middle of an event. The proxy runs inside
 * the test's own process, because its clock must jump at a moment that no
 * signal can hit.
 *
 * @module
 */

import { readConfig } from "../../lib/config/config.ts";
import type { ChunkHandler } from "../../lib/runtime/host.ts";
import { detectHost } from "../../lib/runtime/detect.ts";
import { runProxy } from "../../lib/proxy/proxy.ts";
import { assert, assertEquals, assertMatch } from "../helpers/assert.ts";
import { test, withWaitLimit } from "../helpers/time_limit.ts";
import { freePort, INITIALIZE_LINE } from "../helpers/process.ts";

test("Sleep: a sleep in the middle of an event is detected", async () => {
  const args = ["--url", `ws://127.0.0.1:${freePort()}/`, "--cache", "off"];
  args.push("--status", "off");
  args.push("--initialize-grace", "50ms", "--backoff-base", "30s");
  const reading = readConfig({ args, env: {}, file: {} }, () => "");
  assert(reading.kind === "config");
  const end = Promise.withResolvers<void>();
  const awake = Promise.withResolvers<string>();
  const clock = performance.now;
  let sleptMs = 0;
  const host = {
    ...await detectHost(),
    async readStdin(handleChunk: ChunkHandler): Promise<void> {
      await handleChunk(new TextEncoder().encode(INITIALIZE_LINE));
      await end.promise;
    },
    writeStdout: (bytes: Uint8Array): Promise<number> =>
      Promise.resolve(bytes.length),
    onSignal: (): void => {},
  };
  performance.now = () => clock.call(performance) + sleptMs;
  try {
    const code = runProxy(reading.config, "0", host, ({ event, message }) => {
      if (event === "resumed") awake.resolve(message);
      // The machine sleeps while the proxy handles the end of the grace.
      if (event === "initialized-locally") sleptMs = 9_000;
    });
    assertMatch(
      await withWaitLimit(awake.promise, "the proxy to notice"),
      /^Resumed after a sleep of 9\.\d s/,
    );
    end.resolve();
    assertEquals(await code, 0);
  } finally {
    performance.now = clock;
    end.resolve();
  }
});
