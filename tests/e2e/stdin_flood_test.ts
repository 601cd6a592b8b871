/**
 * Tests a client that writes without a pause: sockets, timers and signals must
 * still work.
 *
 * @module
 */

import { assert, assertEquals } from "../helpers/assert.ts";
import {
  FakeWebSocketServer,
  respondToAll,
} from "../helpers/fake_websocket_server.ts";
import { test, withWaitLimit } from "../helpers/time_limit.ts";
import { INITIALIZE_LINE, ProxyProcess } from "../helpers/process.ts";

/** The tests need `yes` and `/dev/zero`. */
const options = { ignore: Deno.build.os === "windows" };

/**
 * The maximum time until the exit, in milliseconds. It is eight times as long
 * as the proxy waits for responses.
 */
const EXIT_LIMIT_MS = 12_000;

/**
 * Starts a proxy whose stdin is a file or a process substitution of bash. The
 * proxy replaces the shell, so it receives signals directly.
 */
function startWithInput(
  script: string,
  url: string,
  ...flags: string[]
): ProxyProcess {
  const args = ["--url", url, "--log-level", "debug", ...flags];
  return new ProxyProcess(args, { HELLO: INITIALIZE_LINE }, (command, all) => [
    "bash",
    ["-c", `exec "$@" < ${script}`, "bash", command, ...all],
  ]);
}

/** Stops a proxy with SIGTERM while its client keeps writing. */
async function stopInTime(proxy: ProxyProcess): Promise<void> {
  const start = performance.now();
  await proxy.signal("SIGTERM");
  const { code, ms } = await proxy.waitForExit(start);
  assertEquals(code, 0);
  assert(ms < EXIT_LIMIT_MS, `${ms} ms`);
}

test(
  "stdin flood: with /dev/zero the daemon is dialed, and a signal ends the proxy",
  async () => {
    await using daemon = new FakeWebSocketServer();
    await using proxy = startWithInput("/dev/zero", daemon.url);
    await proxy.stderr.waitForLine((line) => line.includes("is open"));
    await stopInTime(proxy);
  },
  options,
);

test(
  "stdin flood: with `yes` the daemon is dialed, and a signal ends the proxy",
  async () => {
    await using daemon = new FakeWebSocketServer();
    await using proxy = startWithInput("<(exec yes)", daemon.url);
    await proxy.stderr.waitForLine((line) =>
      line.includes("sent an invalid JSON-RPC message")
    );
    await proxy.stderr.waitForLine((line) => line.includes("is open"));
    await stopInTime(proxy);
  },
  options,
);

/** The messages that a client writes endlessly, as arguments for `yes`. */
const STREAMS = [
  ["notifications for the daemon", '{"jsonrpc":"2.0","method":"x"}'],
  [
    "notifications that are for nobody",
    '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"no"}}',
  ],
  ["requests", '{"jsonrpc":"2.0","id":1,"method":"x"}'],
];
for (const [what, line] of STREAMS) {
  test(
    `stdin flood: with endless ${what}, the daemon gets requests, and the connection is not lost`,
    async () => {
      const requested = Promise.withResolvers<void>();
      let requests = 0;
      await using daemon = new FakeWebSocketServer({
        respond: (message) => {
          // The first request is `initialize`. The others are the client's
          // requests or probes.
          if (message.id !== undefined && ++requests === 4) requested.resolve();
          return respondToAll(message);
        },
      });
      const script = `<(printf %s "$HELLO"; exec yes '${line}')`;
      const often = ["--ping-interval", "200ms"];
      await using proxy = startWithInput(script, daemon.url, ...often);
      await proxy.waitForResponse(0);
      await withWaitLimit(requested.promise, "requests of the proxy");
      await stopInTime(proxy);
      const lost = proxy.stderr.lines.filter(({ text }) =>
        /Lost the/.test(text)
      );
      assertEquals(lost, []);
    },
    options,
  );
}
