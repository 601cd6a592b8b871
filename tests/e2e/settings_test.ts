/**
 * Tests the settings of the real program.
 *
 * @module
 */

import metadata from "../../deno.json" with { type: "json" };
import { assert, assertEquals, assertMatch } from "../helpers/assert.ts";
import { FakeWebSocketServer } from "../helpers/fake_websocket_server.ts";
import { test } from "../helpers/time_limit.ts";
import {
  freePort,
  ProxyProcess,
  runsOnNode,
  runToExit,
} from "../helpers/process.ts";

test("Settings: --version and --help", async () => {
  await using version = new ProxyProcess(["--version"]);
  assertEquals((await version.waitForExit()).code, 0);
  assert(version.stdout.dump().startsWith(`alwaysup ${metadata.version} (`));
  await using help = new ProxyProcess(["--help"]);
  assertEquals((await help.waitForExit()).code, 0);
  assertMatch(help.stdout.dump(), /^ +--url URL /m);
});

test("Settings: all problems are reported together on stderr, with exit code 2, nothing on stdout, nothing dialed", async () => {
  await using daemon = new FakeWebSocketServer();
  const flags = ["--url", daemon.url, "--retry", "perhaps", "--frobnicate"];
  await using proxy = new ProxyProcess(flags, { ALWAYSUP_QUEUE_LIMIT: "many" });
  assertEquals((await proxy.waitForExit()).code, 2);
  const lines = proxy.stderr.lines.map(({ text }) => text);
  assertEquals(lines.length, 3);
  for (const line of lines) {
    assertMatch(line, /^alwaysup: (--|ALWAYSUP_)\w[^:]+: ./);
  }
  assertEquals(proxy.stdout.lines, []);
  assertEquals(daemon.handshakes, []);
});

test("Settings: a named .env file is read, and one that is only in the working directory is not", async () => {
  await using daemon = new FakeWebSocketServer();
  const folder = await Deno.makeTempDir({ prefix: "env-" });
  const file = `${folder}/.env`;
  await Deno.writeTextFile(
    file,
    `\ufeffBASE=s3cr#t\nALWAYSUP_URL="${daemon.url}"\n` +
      "ALWAYSUP_TOKEN=${BASE}-9 # mine\nno line\n",
  );
  {
    await using proxy = new ProxyProcess(["--env-file", file]);
    await proxy.initialize();
    const authorization = daemon.handshakes[0]?.headers.get("authorization");
    assertEquals(authorization, "Bearer s3cr#t-9");
    const found = await proxy.stderr.waitForLine((it) => it.includes(file));
    assertMatch(found.text, /WARN .*--env-file .*: line 4 cannot be parsed/);
  }
  await using proxy = new ProxyProcess([], {}, (command, args) => ["bash", [
    "-c",
    'cd "$1" && exec "${@:2}"',
    "sh",
    folder,
    command,
    ...args,
  ]]);
  await proxy.stderr.waitForLine((line) =>
    line.includes("ws://127.0.0.1:8079/")
  );
  await proxy.closeStdin();
  await Deno.remove(folder, { recursive: true });
});

test("Settings: a missing file in ENV_FILE is a warning; one that a flag names, or that cannot be read, is an error", async () => {
  await using daemon = new FakeWebSocketServer();
  const folder = await Deno.makeTempDir({ prefix: "env-" });
  const none = `${folder}/none`;
  {
    const args = ["--url", daemon.url];
    await using proxy = new ProxyProcess(args, { ENV_FILE: none });
    await proxy.initialize();
    const found = await proxy.stderr.waitForLine((it) =>
      it.includes("ENV_FILE")
    );
    assertMatch(
      found.text,
      /WARN .*ENV_FILE: the file .* does not exist; .*without it/,
    );
  }
  const failing: [args: string[], env: Record<string, string>, why: RegExp][] =
    [
      [[], { ENV_FILE: folder }, /^alwaysup: ENV_FILE .*: .*be read/],
      // The missing file may be the reason for the other problem.
      [
        ["--url", "x"],
        { ENV_FILE: none },
        /ENV_FILE: the file .* does not exist;[^]*--url/,
      ],
    ];
  // Node interprets this flag itself, wherever it stands, and reports the
  // missing file.
  if (!await runsOnNode()) {
    const why = /^alwaysup: --env-file .*none: .*be read/;
    failing.push([["--env-file", none], {}, why]);
  }
  for (const [args, env, why] of failing) {
    await using proxy = new ProxyProcess(args, env);
    assertEquals((await proxy.waitForExit()).code, 2);
    assertMatch(proxy.stderr.dump(), why);
  }
  await Deno.remove(folder, { recursive: true });
});

const PROXIES: [variable: string, host: string][] = [
  ["HTTP_PROXY", "127.0.0.1"],
  ["http_proxy", "localhost"],
  ["ALL_PROXY", "127.0.0.1"],
  ["all_proxy", "localhost"],
];
for (const [variable, host] of PROXIES) {
  test(`Settings: a daemon on this machine is not dialed through the proxy that ${variable} names`, async () => {
    await using daemon = new FakeWebSocketServer();
    const url = `ws://${host}:${daemon.port}/`;
    await using proxy = new ProxyProcess(["--url", url], {
      [variable]: `http://127.0.0.1:${freePort()}`,
      NODE_USE_ENV_PROXY: "1",
      NO_PROXY: "example.com",
    });
    const { result } = await proxy.initialize();
    assertEquals(result.serverInfo.name, "raw");
    assertEquals((await proxy.closeStdin()).code, 0);
  });
}

test("Settings: a daemon on another machine is dialed through the HTTP proxy that HTTP_PROXY names, by Deno and Node 24", async () => {
  // Bun and older versions of Node use no HTTP proxy.
  const { stdout } = await runToExit(["--version"]);
  if (!/\((?:deno|node 24)\b/.test(stdout)) return;
  using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  await using _proxy = new ProxyProcess(["--url", "ws://nosuch.invalid:81/"], {
    HTTP_PROXY: `http://127.0.0.1:${listener.addr.port}`,
    NODE_USE_ENV_PROXY: "1",
  });
  using connection = await listener.accept();
  const buffer = new Uint8Array(1024);
  const size = await connection.read(buffer);
  const request = new TextDecoder().decode(buffer.subarray(0, size ?? 0));
  // Deno sends the handshake itself, and Node a request for a tunnel.
  assertMatch(request, /^(GET http:\/\/|CONNECT )nosuch\.invalid:81/);
});

test("Settings: the log is JSON lines of the chosen level", async () => {
  await using daemon = new FakeWebSocketServer();
  await using proxy = new ProxyProcess(["--url", daemon.url], {
    LOG_FORMAT: "json",
  });
  await proxy.initialize();
  await proxy.closeStdin();
  const [line] = proxy.stderr.lines.map(({ text }) => JSON.parse(text));
  assertEquals([line.level, line.event], ["info", "connected"]);
  await using quiet = new ProxyProcess([
    "--url",
    daemon.url,
    "--log-level",
    "error",
  ]);
  await quiet.initialize();
  await quiet.closeStdin();
  assertEquals(quiet.stderr.lines, []);
});

test("Settings: a bad value in a variable that other programs also use is a warning", async () => {
  await using daemon = new FakeWebSocketServer();
  await using proxy = new ProxyProcess(["--url", daemon.url], {
    LOG_LEVEL: "loud",
  });
  await proxy.initialize();
  await proxy.closeStdin();
  assertMatch(
    proxy.stderr.dump(),
    /WARN .*LOG_LEVEL: it is not one of .*using info/,
  );
});
