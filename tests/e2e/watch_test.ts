/**
 * Tests `alwaysup status --watch` in a real terminal.
 *
 * @module
 */

import { stripAnsiCode } from "@std/fmt/colors.js";
import { displayWidth } from "../../lib/text/display_width.ts";
import { assert, assertEquals } from "../helpers/assert.ts";
import { ProxyProcess } from "../helpers/process.ts";
import { StateFolder } from "../helpers/state_folder.ts";
import { resizeTerminal, shellInTerminal } from "../helpers/terminal.ts";
import { test } from "../helpers/time_limit.ts";

const SMALL = { columns: 60, rows: 12 };

/** `alwaysup status --watch` in a terminal. */
class Watch extends ProxyProcess {
  constructor(
    folder: StateFolder,
    flags: string[],
    env: Record<string, string> = {},
  ) {
    super(
      ["status", "--watch", ...flags],
      { ...folder.env, TERM: "xterm", ...env },
      shellInTerminal(SMALL),
    );
  }

  /** Returns what follows `tty` or `pid`. */
  async value(name: "tty" | "pid"): Promise<string> {
    const { text } = await this.stdout.waitForLine((line) =>
      line.startsWith(`${name} `)
    );
    return text.slice(name.length + 1).trimEnd();
  }

  /** Waits for the exit. Returns the exit code, and all output before it. */
  async waitForEnd(): Promise<{ code: string; text: string }> {
    const isLast = (line: string): boolean => line.startsWith("code ");
    const { text: last } = await this.stdout.waitForLine(isLast);
    await this.waitForExit();
    const lines = this.stdout.lines.map(({ text }) => text);
    const text = lines.slice(lines.indexOf("start\r") + 1, -1).join("\n");
    return { code: last.slice(5).trimEnd(), text: text.replaceAll("\r", "") };
  }
}

/** Returns the screens that a text shows, one after another, as lines. */
function screensOf(text: string): string[][] {
  const screens = text.split("\x1b[H").slice(1);
  return screens.map((screen) =>
    stripAnsiCode(screen).replace("^C", "").trimEnd().split("\n")
  );
}

function assertRestored(text: string): void {
  assert(text.startsWith("\x1b[?1049h\x1b[?25l"), text.slice(0, 100));
  assert(text.trimEnd().endsWith("\x1b[?25h\x1b[?1049l"), text.slice(-100));
  assertEquals(text.split("\x1b[?1049").length, 3);
}

/** Returns a proxy that cannot connect, and is listed. */
async function startProxy(folder: StateFolder): Promise<ProxyProcess> {
  const url = `ws://127.0.0.1:1/${"long/".repeat(20)}`;
  const proxy = new ProxyProcess(["--url", url], folder.env);
  await folder.waitForStatus(([it]) => it?.lastError !== undefined);
  return proxy;
}

test("status --watch: on a terminal, it paints within the size, and Ctrl+C restores the screen", async () => {
  using folder = new StateFolder();
  await using proxy = await startProxy(folder);
  for (const flags of [[], ["--verbose"]]) {
    await using watch = new Watch(folder, flags);
    await watch.stdout.waitForLine((line) => /PID|pid {2}/.test(line));
    // The second screen.
    const seen = watch.stdout.lines.length;
    await watch.stdout.waitForLine((line) => /PID|pid {2}/.test(line), seen);
    await watch.write("\x03");
    const { code, text } = await watch.waitForEnd();
    assertEquals(code, "0");
    assertRestored(text);
    for (const screen of screensOf(text)) {
      assert(screen.length <= SMALL.rows, screen.join("\n"));
      for (const line of screen) {
        assert(displayWidth(line) <= SMALL.columns, line);
      }
    }
    const isCut = /^\u2026 \d+ more lines$/m.test(
      screensOf(text)[0]!.join("\n"),
    );
    assertEquals(isCut, flags.length > 0);
  }
  await proxy.closeStdin();
});

test("status --watch: the durations go on although nothing changes", async () => {
  using folder = new StateFolder();
  await using proxy = await startProxy(folder);
  await proxy.signal("SIGSTOP");
  await using watch = new Watch(folder, ["--verbose"]);
  const ages = new Set<string>();
  await watch.stdout.waitForLine((line) => {
    const [, age] = /started .*\((\d+ s|1 min) ago\)/.exec(line) ?? [];
    if (age !== undefined) ages.add(age);
    return ages.size === 2;
  });
  await watch.write("\x03");
  assertEquals((await watch.waitForEnd()).code, "0");
  await proxy.signal("SIGCONT");
  await proxy.closeStdin();
});

test("status --watch: it follows a resize of the terminal", async () => {
  using folder = new StateFolder();
  await using proxy = await startProxy(folder);
  await using watch = new Watch(folder, []);
  const { text } = await watch.stdout.waitForLine((line) =>
    line.includes("PID")
  );
  assert(!text.includes("STARTED"), text);
  await resizeTerminal(await watch.value("tty"), { columns: 150, rows: 40 });
  await watch.stdout.waitForLine((line) => line.includes("STARTED"));
  await watch.write("\x03");
  assertRestored((await watch.waitForEnd()).text);
  await proxy.closeStdin();
});

for (const signal of ["SIGTERM", "SIGHUP"] as const) {
  test(`status --watch: ${signal} restores the screen`, async () => {
    using folder = new StateFolder();
    await using watch = new Watch(folder, []);
    await using proxy = await startProxy(folder);
    await watch.stdout.waitForLine((line) => line.includes("PID"));
    Deno.kill(Number(await watch.value("pid")), signal);
    const { code, text } = await watch.waitForEnd();
    assertEquals(code, "0");
    assertRestored(text);
    await proxy.closeStdin();
  });
}

test("status --watch: with --json or TERM=dumb, it writes no escape sequence to a terminal", async () => {
  using folder = new StateFolder();
  await using proxy = await startProxy(folder);
  const cases: [flags: string[], env: Record<string, string>][] = [
    [["--json"], {}],
    [["--json"], { FORCE_COLOR: "1" }],
    [[], { TERM: "dumb" }],
  ];
  for (const [flags, env] of cases) {
    await using watch = new Watch(folder, flags, env);
    await watch.stdout.waitForLine((line) => /PID|127\.0\.0\.1/.test(line));
    await watch.write("\x03");
    const { code, text } = await watch.waitForEnd();
    assertEquals([code, text.includes("\x1b")], ["0", false]);
  }
  await proxy.closeStdin();
});
