/**
 * Tests the log file with real processes: its lines, its rotation by several
 * proxies, and what happens if it cannot be written.
 *
 * @module
 */

import { ROOT } from "../../.ci/build/bundle.ts";
import { assert, assertEquals, assertMatch } from "../helpers/assert.ts";
import { FakeWebSocketServer } from "../helpers/fake_websocket_server.ts";
import { waitForFileChange } from "../helpers/file_change.ts";
import { freePort, ProxyProcess, runToExit } from "../helpers/process.ts";
import { test } from "../helpers/time_limit.ts";

/** The size at which a log file is renamed. */
const MAX_BYTES = 10 * 1024 * 1024;

/** A temporary folder for log files. */
class LogFolder implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "log-" });
  readonly file = `${this.path}/a.log`;

  /** Returns the sorted names in the folder. */
  names(): string[] {
    return [...Deno.readDirSync(this.path)].map(({ name }) => name).sort();
  }

  /** Returns the lines of a file. Throws if it does not end with a line. */
  lines(path = this.file): string[] {
    const lines = Deno.readTextFileSync(path).split("\n");
    assertEquals(lines.pop(), "", `the end of ${path}`);
    return lines;
  }

  /** Returns the permission bits of a file or folder. */
  mode(path = this.file): number {
    return Deno.statSync(path).mode! & 0o777;
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

/** Starts a proxy that logs everything. */
function startProxy(
  url: string,
  file: string,
  env?: Record<string, string>,
  wrap?: (command: string, args: string[]) => [string, string[]],
): ProxyProcess {
  const args = ["--url", url, "--log-file", file];
  return new ProxyProcess(args, { LOG_LEVEL: "debug", ...env }, wrap);
}

/** Returns the lines of stderr as the log file must have them. */
function expectedLines({ stderr, process }: ProxyProcess): string[] {
  return stderr.lines.map(({ text }) =>
    text.startsWith("{")
      ? text.replace(/("level":"\w+",)/, `$1"pid":${process.pid},`)
      : text.replace(" alwaysup: ", ` alwaysup[${process.pid}]: `)
  );
}

/** Returns the warnings about the log file. */
function warningsOf({ stderr }: ProxyProcess): string[] {
  return stderr.lines.map(({ text }) => text)
    .filter((text) => text.includes("The log file"));
}

for (const LOG_FORMAT of ["text", "json"]) {
  test(`Log file: it has the lines of stderr with the process id, and ${LOG_FORMAT} lines contain no secret`, async () => {
    using folder = new LogFolder();
    await using daemon = new FakeWebSocketServer();
    const url = `${daemon.url.replace("://", "://us3r:p4ssword@")}?key=s3cret`;
    const file = `${folder.path}/new/a.log`;
    await using proxy = new ProxyProcess(["--log-file", file], {
      ...{ LOG_LEVEL: "debug", LOG_FORMAT, ALWAYSUP_URL: url },
    });
    await proxy.initialize();
    await daemon[Symbol.asyncDispose]();
    await proxy.stderr.waitForLine((line) => line.includes("Attempt"));
    assertEquals((await proxy.closeStdin()).code, 0);
    const lines = folder.lines(file);
    assert(lines.length >= 4, lines.join("\n"));
    assertEquals(lines, expectedLines(proxy));
    if (LOG_FORMAT === "json") {
      assertEquals(JSON.parse(lines[0]!).pid, proxy.process.pid);
    }
    for (const secret of ["us3r", "p4ssword", "s3cret"]) {
      assert(!lines.join("\n").includes(secret));
    }
    assertEquals(folder.mode(file), 0o600);
    assertEquals(folder.mode(`${folder.path}/new`), 0o700);
  });
}

test("Log file: --log-level applies, lines are appended, and an existing file keeps its mode", async () => {
  using folder = new LogFolder();
  await using daemon = new FakeWebSocketServer();
  Deno.writeTextFileSync(folder.file, "old\n");
  Deno.chmodSync(folder.file, 0o640);
  for (const LOG_LEVEL of ["error", "info"]) {
    await using proxy = startProxy(daemon.url, folder.file, { LOG_LEVEL });
    await proxy.initialize();
    await proxy.closeStdin();
  }
  const [old, connected, ...others] = folder.lines();
  assertEquals([old, others], ["old", []]);
  assertMatch(connected!, / INFO {2}alwaysup\[\d+\]: Successfully connected /);
  assertEquals(folder.mode(), 0o640);
});

test("Log file: an invalid setting ends the program, and writes nothing", async () => {
  using folder = new LogFolder();
  const args = ["--url", "http://x", "--log-file", folder.file];
  assertEquals((await runToExit(args)).code, 2);
  const { code, stderr } = await runToExit(["--log-file", ""]);
  assertEquals(code, 2);
  assertMatch(stderr, /--log-file: it is empty/);
  assertEquals(folder.names(), []);
});

test("Log file: at 10 MiB it is renamed, four older files are kept, and all are private", async () => {
  using folder = new LogFolder();
  await using daemon = new FakeWebSocketServer();
  const old = `${"o".repeat(MAX_BYTES - 10)}\n`;
  Deno.writeTextFileSync(folder.file, old, { mode: 0o600 });
  for (let i = 1; i <= 4; i++) {
    Deno.writeTextFileSync(`${folder.file}.${i}`, `${i}\n`, { mode: 0o600 });
  }
  await using proxy = startProxy(daemon.url, folder.file);
  await proxy.initialize();
  await proxy.closeStdin();
  assertEquals(warningsOf(proxy), []);
  assertEquals(folder.lines(), expectedLines(proxy));
  assertEquals(Deno.readTextFileSync(`${folder.file}.1`), old);
  for (let i = 2; i <= 4; i++) {
    assertEquals(folder.lines(`${folder.file}.${i}`), [`${i - 1}`]);
  }
  const numbers = ["", ".1", ".2", ".3", ".4"];
  assertEquals(folder.names(), numbers.map((end) => `a.log${end}`));
  for (const end of numbers) {
    assertEquals(folder.mode(folder.file + end), 0o600);
  }
});

for (
  const [lock, ageMs, expected] of [
    ["a lock of a running process", 0, ["a.log", "a.log.lock"]],
    ["a lock of a process that was killed", 60_000, ["a.log", "a.log.1"]],
  ] as const
) {
  test(`Log file: ${lock} ${ageMs === 0 ? "prevents" : "allows"} the rotation`, async () => {
    using folder = new LogFolder();
    await using daemon = new FakeWebSocketServer();
    Deno.writeTextFileSync(folder.file, `${"o".repeat(MAX_BYTES)}\n`);
    Deno.chmodSync(folder.file, 0o600);
    Deno.writeTextFileSync(`${folder.file}.lock`, "");
    const at = new Date(Date.now() - ageMs);
    Deno.utimeSync(`${folder.file}.lock`, at, at);
    await using proxy = startProxy(daemon.url, folder.file);
    await proxy.initialize();
    await proxy.closeStdin();
    assertEquals(warningsOf(proxy), []);
    assertEquals(folder.names(), [...expected]);
    const lines = folder.lines().filter((line) => !line.startsWith("o"));
    assertEquals(lines, expectedLines(proxy));
  });
}

test("Log file: proxies that share it rotate it once, and keep all lines", async () => {
  using folder = new LogFolder();
  await using daemon = new FakeWebSocketServer();
  Deno.writeTextFileSync(folder.file, `${"o".repeat(MAX_BYTES - 300)}\n`);
  Deno.chmodSync(folder.file, 0o600);
  const proxies = [1, 2, 3].map(() => startProxy(daemon.url, folder.file));
  await Promise.all(proxies.map(async (proxy) => {
    await proxy.initialize();
    await proxy.closeStdin();
  }));
  assertEquals(folder.names(), ["a.log", "a.log.1"]);
  const lines = [...folder.lines(`${folder.file}.1`), ...folder.lines()];
  for (const proxy of proxies) {
    const mark = `alwaysup[${proxy.process.pid}]`;
    assertEquals(
      lines.filter((line) => line.includes(mark)),
      expectedLines(proxy),
    );
    await proxy[Symbol.asyncDispose]();
  }
});

test("Log file: processes that rotate it all the time lose no line", async () => {
  using folder = new LogFolder();
  const count = 1_500;
  const results = await Promise.all(
    [1, 2, 3].map(() =>
      new Deno.Command(Deno.execPath(), {
        args: [
          ...["run", "--quiet", "--cached-only", "--no-config", "-A"],
          `${ROOT}tests/helpers/log_writer.ts`,
          ...[folder.file, `${count}`, "2000", "300"],
        ],
      }).output()
    ),
  );
  for (const { stdout, stderr } of results) {
    assertEquals(new TextDecoder().decode(stdout), "");
    assertEquals(new TextDecoder().decode(stderr), "");
  }
  const names = folder.names();
  assert(names.length > 5, `${names.length} files`);
  const age = (name: string): number => Number(/\d*$/.exec(name)![0]);
  names.sort((a, b) => age(b) - age(a));
  const numbers = new Map<string, number[]>();
  for (const name of names) {
    assertEquals(folder.mode(`${folder.path}/${name}`), 0o600);
    for (const line of folder.lines(`${folder.path}/${name}`)) {
      const [pid, number] = line.split(" ");
      numbers.set(pid!, [...numbers.get(pid!) ?? [], Number(number)]);
    }
  }
  assertEquals(numbers.size, 3);
  const all = Array.from({ length: count }, (_, i) => i + 1);
  for (const found of numbers.values()) assertEquals(found, all);
});

/** What must not be used as a log file, and the reason in the warning. */
const UNUSABLE: [
  what: string,
  reason: RegExp,
  make: (file: string) => string,
][] = [
  ["a folder", /it is not a regular file/, (file) => {
    Deno.mkdirSync(file);
    return file;
  }],
  // Deno itself gives no access to devices.
  ["a device", /not a regular file|Requires all access/, () => "/dev/full"],
  ["a FIFO", /it is not a regular file/, (file) => {
    new Deno.Command("mkfifo", { args: [file] }).outputSync();
    return file;
  }],
  ["a link", /it is a link/, (file) => {
    Deno.writeTextFileSync(`${file}.target`, "");
    Deno.symlinkSync(`${file}.target`, file);
    return file;
  }],
  ["/dev/stderr", /it is a link|Requires all access/, () => "/dev/stderr"],
  ["a file that others may write to", /other users may write to it/, (file) => {
    Deno.writeTextFileSync(file, "");
    Deno.chmodSync(file, 0o666);
    return file;
  }],
  [
    "a file below a file",
    /(not a directory|ENOTDIR|exists|EEXIST)/i,
    (file) => {
      Deno.writeTextFileSync(file, "");
      return `${file}/b.log`;
    },
  ],
];
for (const [what, reason, make] of UNUSABLE) {
  test(`Log file: ${what} gives one warning, and the proxy goes on`, async () => {
    using folder = new LogFolder();
    await using daemon = new FakeWebSocketServer();
    const file = make(folder.file);
    await using proxy = startProxy(daemon.url, file);
    await proxy.initialize();
    await daemon[Symbol.asyncDispose]();
    await proxy.stderr.waitForLine((line) => line.includes("Attempt"));
    assertEquals((await proxy.closeStdin()).code, 0);
    const warnings = warningsOf(proxy);
    assertEquals(warnings.length, 1, proxy.stderr.dump());
    assertMatch(warnings[0]!, reason);
    assertMatch(warnings[0]!, /WARN .* is not written: .*--log-file/);
    const texts = folder.names().map((name) => `${folder.path}/${name}`)
      .filter((path) => Deno.lstatSync(path).isFile)
      .map((path) => Deno.readTextFileSync(path));
    assertEquals(texts.join(""), "");
  });
}

test("Log file: a full disk gives one warning, and later lines are whole", async () => {
  using folder = new LogFolder();
  // No other program gets this port between the two daemons.
  const port = freePort();
  const daemon = new FakeWebSocketServer({}, port);
  const limit = 64 * 1024;
  Deno.writeTextFileSync(folder.file, `${"o".repeat(limit - 50)}\n`);
  Deno.chmodSync(folder.file, 0o600);
  // A limit of the size has the effect of a full disk for this file.
  const script = 'trap "" XFSZ; ulimit -f 64; exec "$0" "$@"';
  await using proxy = startProxy(
    daemon.url,
    folder.file,
    undefined,
    (command, args) => ["bash", ["-c", script, command, ...args]],
  );
  await proxy.initialize();
  await proxy.stderr.waitForLine((line) => line.includes("The log file"));
  assertEquals(Deno.statSync(folder.file).size, limit);
  const head = Deno.readTextFileSync(folder.file).slice(-100);
  // Another program makes space: the end of the file is the cut line.
  Deno.writeTextFileSync(folder.file, head);
  await daemon[Symbol.asyncDispose]();
  await using _again = new FakeWebSocketServer({}, port);
  await proxy.stderr.waitForLine((line) => line.includes("Reconnected"));
  assertEquals((await proxy.closeStdin()).code, 0);
  const warnings = warningsOf(proxy);
  assertEquals(warnings.length, 1, warnings.join("\n"));
  const lines = folder.lines().slice(2).filter((line) => line !== "");
  assert(lines.length >= 2, lines.join("\n"));
  const expected = expectedLines(proxy);
  for (const line of lines) assert(expected.includes(line), line);
});

test("Log file: a removed folder is created again", async () => {
  using folder = new LogFolder();
  await using daemon = new FakeWebSocketServer();
  const sub = `${folder.path}/sub`;
  const file = `${sub}/a.log`;
  Deno.mkdirSync(sub);
  await using proxy = startProxy(daemon.url, file);
  await proxy.initialize();
  await waitForText(sub, file, "Successfully connected");
  // To remove the folder would fail if the proxy wrote a line meanwhile.
  Deno.renameSync(sub, `${folder.path}/moved`);
  await daemon[Symbol.asyncDispose]();
  await proxy.stderr.waitForLine((line) => line.includes("Attempt"));
  await proxy.closeStdin();
  assertEquals(warningsOf(proxy), []);
  const lines = folder.lines(file);
  assert(lines.some((line) => line.includes("Attempt")));
  assertEquals(lines, expectedLines(proxy).slice(-lines.length));
});

test("Log file: after another program renames it, a new file gets the lines", async () => {
  using folder = new LogFolder();
  const port = freePort();
  const daemon = new FakeWebSocketServer({}, port);
  const moved = `${folder.path}/moved.log`;
  await using proxy = startProxy(daemon.url, folder.file);
  await proxy.initialize();
  await waitForText(folder.path, folder.file, "Successfully connected");
  Deno.renameSync(folder.file, moved);
  await daemon[Symbol.asyncDispose]();
  await using _again = new FakeWebSocketServer({}, port);
  await waitForText(folder.path, folder.file, "Reconnected");
  await proxy.closeStdin();
  assertEquals(warningsOf(proxy), []);
  const lines = [...folder.lines(moved), ...folder.lines()];
  assertEquals(lines, expectedLines(proxy));
});

/** Waits until a file in a folder contains a text. */
async function waitForText(
  folder: string,
  file: string,
  text: string,
): Promise<void> {
  await waitForFileChange(folder, () => {
    try {
      return Deno.readTextFileSync(file).includes(text);
    } catch {
      return false;
    }
  });
}

test("Log file: SIGKILL loses no line that was written before", async () => {
  using folder = new LogFolder();
  await using daemon = new FakeWebSocketServer();
  await using proxy = startProxy(daemon.url, folder.file);
  await proxy.initialize();
  await waitForText(folder.path, folder.file, "Successfully connected");
  await daemon[Symbol.asyncDispose]();
  await waitForText(folder.path, folder.file, "Attempt");
  await proxy.signal("SIGKILL");
  const lines = folder.lines();
  // stderr may lack the newest line, which the file already has.
  const seen = expectedLines(proxy);
  assertEquals(lines.slice(0, seen.length), seen.slice(0, lines.length));
  assert(lines.length >= 4 && lines.length >= seen.length);
});

test("Log file: a file that cannot be renamed gives one warning, and grows", async () => {
  using folder = new LogFolder();
  await using daemon = new FakeWebSocketServer();
  const old = `${"o".repeat(MAX_BYTES - 10)}\n`;
  Deno.writeTextFileSync(folder.file, old, { mode: 0o600 });
  // No file can replace a folder, and a folder in the way cannot be moved.
  for (const end of [".1", ".2", ".3", ".4"]) {
    Deno.mkdirSync(`${folder.file}${end}/full`, { recursive: true });
  }
  await using proxy = startProxy(daemon.url, folder.file);
  await proxy.initialize();
  await proxy.closeStdin();
  const warnings = warningsOf(proxy);
  assertEquals(warnings.length, 1, warnings.join("\n"));
  assertMatch(warnings[0]!, /is full and cannot be renamed: /);
  const [first, ...lines] = folder.lines();
  assertEquals(`${first}\n`, old);
  const text = expectedLines(proxy).filter((it) =>
    !it.includes("The log file")
  );
  assertEquals(lines, text);
});
