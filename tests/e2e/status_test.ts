/**
 * Tests `alwaysup status` with real proxies: which ones run, in which state,
 * and which ones only left a file.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../helpers/assert.ts";
import { ProxyAndDaemon } from "../helpers/mcp_process.ts";
import { test, WAIT_LIMIT_MS } from "../helpers/time_limit.ts";
import { proxyCommand, ProxyProcess, runToExit } from "../helpers/process.ts";
import { makeStale } from "../helpers/proxy_status.ts";
import { StateFolder } from "../helpers/state_folder.ts";
import { shellInTerminal } from "../helpers/terminal.ts";

test("status: a proxy is listed while its daemon runs or is down, and disappears after its exit", async () => {
  using folder = new StateFolder();
  assertEquals((await folder.status()).stdout, "No alwaysup is running.\n");
  await using processes = new ProxyAndDaemon([], folder.env);
  await processes.startDaemon();
  await processes.proxy.initialize();
  const [it] = await folder.waitForStatus(([it]) =>
    it?.connectionState.phase === "ready"
  );
  const url = `ws://127.0.0.1:${processes.port}/`;
  assertEquals([it.client, it.url, it.dialect], ["e2e 1", url, "mcp"]);
  assertEquals([it.reconnects, it.pendingRequests], [0, 0]);
  assertMatch(it.connections, /^(one|many|unknown)$/);
  assert(
    Date.now() - it.connectionState.since < WAIT_LIMIT_MS,
    `${it.connectionState.since}`,
  );
  await processes.killDaemon();
  const isDown = ([it]: { connectionState: { phase: string } }[]): boolean =>
    it?.connectionState.phase === "waiting";
  const [down] = await folder.waitForStatus(isDown);
  assert(
    down.connectionState.nextAt > down.startedAt,
    `${down.connectionState.nextAt}`,
  );
  assertMatch(down.lastError, /nothing listens|closed|handshake failed/);
  await processes.proxy.callTool(1, "write", { key: "on" });
  await folder.waitForStatus(([it]) => it?.pendingRequests === 1);
  const { stdout } = await folder.status();
  assertMatch(
    stdout,
    /^PID +CLIENT +DAEMON +URL +STATE +STARTED +RECONNECTS +PENDING\n/,
  );
  assertMatch(stdout, / e2e 1 +tests 1 +ws:.*\n *last error \d+ s ago: /);
  await processes.startDaemon();
  await folder.waitForStatus(([it]) =>
    it?.reconnects === 1 && it.pendingRequests === 0
  );
  assertEquals((await folder.status()).stdout.includes("last error"), false);
  const { stdout: details } = await folder.status("--verbose");
  assertMatch(details, /^daemon +tests 1\n/m);
  assertMatch(details, /^reconnects +1 \(aborted 1\)\n/m);
  assertMatch(details, /^last error +\d{4}-.* \(\d+ s ago\): /m);
  assertEquals((await processes.proxy.closeStdin()).code, 0);
  assertEquals(folder.files(), []);
});

test("status: many proxies, the oldest first; files of killed ones are removed", async () => {
  using folder = new StateFolder();
  const flags = ["--url", "ws://127.0.0.1:1/"];
  await using one = new ProxyProcess(flags, folder.env);
  await folder.waitForStatus(({ length }) => length === 1);
  await using two = new ProxyProcess(flags, folder.env);
  const both = await folder.waitForStatus(({ length }) => length === 2);
  assert(both[0].startedAt < both[1].startedAt);
  await one.signal("SIGKILL");
  for (const name of folder.files()) {
    if (!name.startsWith(`${both[0].pid}-`)) continue;
    makeStale(`${folder.running}/${name}`);
  }
  const [left, ...others] = await folder.waitForStatus(({ length }) =>
    length === 1
  );
  assertEquals([left.pid, others.length], [both[1].pid, 0]);
  assertEquals(folder.files().length, 1);
  await two.closeStdin();
});

test("status: an invalid file gives a line while it is new, and hides no other proxy", async () => {
  using folder = new StateFolder();
  await using proxy = new ProxyProcess(
    ["--url", "ws://127.0.0.1:1/"],
    folder.env,
  );
  await folder.waitForStatus(({ length }) => length === 1);
  const bad = {
    "1-a.json": "{",
    "2-b.json": '{"alwaysup":2,"pid":"x"}',
    "3-c.json": "x".repeat(100_000),
    "4-d.json": '{"alwaysup":2}',
    "5-e.txt": "not ours",
  };
  for (const [name, text] of Object.entries(bad)) {
    await Deno.writeTextFile(`${folder.running}/${name}`, text);
  }
  await Deno.mkdir(`${folder.running}/6-f.json`);
  const { code, stdout, stderr } = await folder.status();
  assertEquals([code, stdout.split("ws://127.0.0.1:1/").length], [0, 2]);
  assertEquals(stderr.trim().split("\n").length, 5, stderr);
  for (const line of stderr.trim().split("\n")) {
    assertMatch(
      line,
      /^alwaysup status: .*(is not a status file|cannot be|not a regular file)/,
    );
  }
  makeStale(`${folder.running}/1-a.json`, `${folder.running}/6-f.json`);
  const later = await folder.status();
  assertEquals(later.stderr.trim().split("\n").length, 3, later.stderr);
  const left = ["1-a.json", "5-e.txt", "6-f.json"]
    .filter((name) => folder.files().includes(name));
  assertEquals(left, ["5-e.txt", "6-f.json"]);
  await proxy.closeStdin();
});

test("status: a folder that cannot be read gives one line", async () => {
  using folder = new StateFolder();
  await Deno.mkdir(`${folder.path}/alwaysup`);
  await Deno.writeTextFile(folder.running, "");
  const { code, stderr } = await folder.status();
  assertEquals(code, 1);
  assertMatch(stderr, /^alwaysup status: .*running is a file, and must .*\n$/);
});

test("status: files of killed proxies are removed; a proxy that slept is listed again", async () => {
  using folder = new StateFolder();
  await using proxy = new ProxyProcess(
    ["--url", "ws://127.0.0.1:1/"],
    folder.env,
  );
  const [it] = await folder.waitForStatus(({ length }) => length === 1);
  await proxy.signal("SIGSTOP");
  await Deno.writeTextFile(`${folder.running}/9-x.json.9-a.tmp`, "");
  makeStale(...folder.files().map((name) => `${folder.running}/${name}`));
  assertEquals((await folder.status()).stdout, "No alwaysup is running.\n");
  assertEquals(folder.files(), []);
  await proxy.signal("SIGCONT");
  const [again] = await folder.waitForStatus(({ length }) => length === 1);
  assertEquals(again.pid, it.pid);
  await proxy.closeStdin();
});

test("status: a proxy whose file was removed is listed again", async () => {
  using folder = new StateFolder();
  await using processes = new ProxyAndDaemon([], folder.env);
  await processes.startDaemon();
  await processes.proxy.initialize();
  await folder.waitForStatus(([it]) => it?.connectionState.phase === "ready");
  // A removal of the file alone could meet the temporary file of a next write.
  Deno.renameSync(folder.running, `${folder.path}/moved`);
  await processes.killDaemon();
  await folder.waitForStatus(([it]) => it?.connectionState.phase === "waiting");
  await folder.waitForStatus(([it]) => it?.connectionState.phase === "waiting");
  await processes.proxy.closeStdin();
  assertEquals(folder.files(), []);
});

test("status: the files contain no secret, and other users cannot read them", async () => {
  using folder = new StateFolder();
  const ALWAYSUP_URL = "ws://u:s3cret@127.0.0.1:1/?token=s3cret";
  await using proxy = new ProxyProcess([], {
    ...folder.env,
    ALWAYSUP_URL,
    ALWAYSUP_TOKEN: "s3cret",
  });
  await folder.waitForStatus(([it]) => it?.lastError !== undefined);
  // A stopped process does not replace the file between list and read.
  await proxy.signal("SIGSTOP");
  for (const name of folder.files()) {
    const path = `${folder.running}/${name}`;
    assertEquals(Deno.statSync(path).mode! & 0o777, 0o600);
    assertEquals(Deno.readTextFileSync(path).includes("s3cret"), false);
  }
  assertEquals(Deno.statSync(folder.running).mode! & 0o777, 0o700);
  await proxy.signal("SIGCONT");
  await proxy.closeStdin();
  assertEquals(proxy.stderr.dump().includes("s3cret"), false);
});

// In `/proc`, a new folder is "not found", although its parent exists.
for (const folder of ["/dev/null", "/proc/nowhere"]) {
  test(`status: a proxy works although it cannot write its status file in ${folder}`, async () => {
    const env = { XDG_STATE_HOME: folder, ALWAYSUP_STATUS: "on" };
    await using processes = new ProxyAndDaemon(["--log-level", "debug"], env);
    await processes.startDaemon();
    await processes.proxy.initialize();
    await processes.proxy.stderr.waitForLine((line) =>
      line.includes("`alwaysup status` cannot show this proxy")
    );
    await processes.proxy.callTool(1, "write", { key: "on" });
    assertEquals(
      (await processes.proxy.waitForResponse(1)).result.content[0].text,
      "on",
    );
    assertEquals((await processes.proxy.closeStdin()).code, 0);
  });
}

test("status --watch: a line for every change, until it is interrupted", async () => {
  using folder = new StateFolder();
  await using watch = new ProxyProcess(
    ["status", "--watch", "--json"],
    folder.env,
  );
  await watch.stdout.waitForLine((line) => line === "[]");
  await using proxy = new ProxyProcess(
    ["--url", "ws://127.0.0.1:1/"],
    folder.env,
  );
  await watch.stdout.waitForLine((line) => line.includes(`"pid":`));
  await proxy.closeStdin();
  const seen = watch.stdout.lines.length;
  await watch.stdout.waitForLine((line) => line === "[]", seen - 1);
  watch.process.kill("SIGINT");
  assertEquals((await watch.waitForExit()).code, 0);
});

test("Command line: flags of status that exclude each other give one line, and exit code 2", async () => {
  const wrong = [
    ["--json", "--verbose"],
    ["--json", "--prometheus"],
    ["--prometheus", "--watch"],
  ];
  for (const flags of wrong) {
    const { code, stdout, stderr } = await runToExit(["status", ...flags]);
    assertEquals([code, stdout], [2, ""]);
    assertMatch(stderr, /^alwaysup status: --\w+ and --\w+ exclude .*\n$/);
  }
});

test("Command line: an unknown flag or command gives one line, and exit code 2", async () => {
  const wrong: [args: string[], says: RegExp][] = [
    [
      ["status", "--s3cret"],
      /^alwaysup status: .* no such flag; the flags are --json, .*\n$/,
    ],
    [["s3cret"], /^alwaysup: there is no such command; .*status.*\n$/],
    [["--url", "ws://h/", "s3cret"], /^alwaysup: argument 3: .*command.*\n$/],
  ];
  for (const [args, says] of wrong) {
    const { code, stdout, stderr } = await runToExit(args);
    assertEquals([code, stdout], [2, ""]);
    assertMatch(stderr, says);
    assertEquals(stderr.includes("s3cret"), false);
  }
});

test("Command line: with a terminal on stdin the program says what it expects, and waits", async () => {
  const [command, args] = proxyCommand(["--url", "ws://127.0.0.1:1/"]);
  const line = [command, ...args].map((part) => `'${part}'`).join(" ");
  // `script` provides a terminal. Without `exec`, a shell may stay in between,
  // and Ctrl+C may end the shell instead of the program.
  const wrap = (): [string, string[]] => [
    "script",
    ["--quiet", "--return", "--command", `exec ${line}`, "/dev/null"],
  ];
  await using proxy = new ProxyProcess([], {}, wrap);
  await proxy.stdout.waitForLine((line) =>
    line.includes("stdin is a terminal")
  );
  await proxy.stdout.waitForLine((line) => line.includes("Attempt 1 "));
  // This is Ctrl+C.
  await proxy.write("\x03");
  assertEquals((await proxy.waitForExit()).code, 0);
});

test("status: on a terminal, no line is wider than the terminal", async () => {
  using folder = new StateFolder();
  const url = `ws://127.0.0.1:1/${"long/".repeat(30)}`;
  await using proxy = new ProxyProcess(["--url", url], folder.env);
  await folder.waitForStatus(([it]) => it?.lastError !== undefined);
  assert((await folder.status()).stdout.includes(url));
  for (const columns of [60, 80, 120, 200]) {
    const wrap = shellInTerminal({ columns, rows: 24 });
    await using status = new ProxyProcess(["status"], folder.env, wrap);
    await status.stdout.waitForLine((line) => line === "code 0\r");
    const lines = status.stdout.lines.map(({ text }) => text.trimEnd());
    assert(lines.some((line) => line.includes("\u2026")), lines.join("\n"));
    for (const line of lines.slice(lines.indexOf("start") + 1)) {
      assert([...line].length <= columns, line);
    }
  }
  await proxy.closeStdin();
});
