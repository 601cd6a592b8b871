/**
 * Tests the start of the program on Windows: its settings and its output.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../../helpers/assert.ts";
import { VERSION } from "../../../.ci/build/bundle.ts";
import { test } from "../../helpers/time_limit.ts";
import { FakeWebSocketServer } from "../../helpers/fake_websocket_server.ts";
import { freePort, INITIALIZE_LINE } from "../../helpers/process.ts";
import { UserFolder, type Windows } from "../windows_executable.ts";

/** Creates a server that refuses every client without the token. */
function serverWithToken(token: string): FakeWebSocketServer {
  return new FakeWebSocketServer({
    refuse: ({ headers }) =>
      headers.get("authorization") === `Bearer ${token}`
        ? undefined
        : new Response("", { status: 401 }),
  });
}

export function registerStartTests(windows: Windows): void {
  test("Command line: --version prints the program's name and version", async () => {
    const { code, stdout, stderr } = await windows.run(["--version"]);
    assertEquals([code, stderr], [0, ""]);
    assertMatch(
      stdout,
      new RegExp(`^alwaysup ${VERSION} \\((deno|bun) [\\d.]+, `),
    );
  });

  test("Command line: --help names every command", async () => {
    const { code, stdout, stderr } = await windows.run(["--help"]);
    assertEquals([code, stderr], [0, ""]);
    for (const command of ["doctor", "status", "install", "uninstall"]) {
      assertMatch(stdout, new RegExp(`^ {2}${command} +[A-Z]`, "m"), command);
    }
  });

  for (
    const args of [["--queue-timeout", "soon"], ["--no-such"], ["nonsense"]]
  ) {
    test(`Command line: ${args.join(" ")} gives exit code 2 and one line on stderr`, async () => {
      const { code, stdout, stderr } = await windows.run(args);
      assertEquals([code, stdout], [2, ""]);
      assertMatch(stderr, /^alwaysup: [^\n]+\n$/);
    });
  }

  test("Settings: names of environment variables are not case-sensitive", async () => {
    await using daemon = serverWithToken("t-1");
    const env = {
      alwaysup_url: daemon.url,
      Alwaysup_Token: "t-1",
      Log_format: "json",
    };
    await using proxy = windows.proxy([], env);
    const { result } = await proxy.initialize();
    assertEquals(result.serverInfo.name, "raw");
    assertEquals((await proxy.closeStdin()).code, 0);
    assert(proxy.stderr.lines.length > 0);
    for (const { text } of proxy.stderr.lines) JSON.parse(text);
  });

  test("Settings: the CRLF at the end of a token file is not part of the token", async () => {
    await using home = new UserFolder(windows);
    await using daemon = serverWithToken("t-2");
    const file = await home.write("t-2\r\n", "Meine Tokens", "t\u00f6ken.txt");
    const args = ["--url", daemon.url, "--token-file", file];
    await using proxy = windows.proxy(args);
    assertEquals((await proxy.initialize()).result.serverInfo.name, "raw");
  });

  test("Settings: an env file may have a BOM, CRLF, and spaces and umlauts in its path", async () => {
    await using home = new UserFolder(windows);
    await using daemon = serverWithToken("t-3");
    const token = await home.write("t-3\r\n", "\u00fc b", "t");
    const lines = [
      ...["\ufeff# mine", `ALWAYSUP_URL=${daemon.url}`, ""],
      ...[`ALWAYSUP_TOKEN_FILE=${token}`, "LOG_LEVEL=debug", ""],
    ];
    const file = await home.write(lines.join("\r\n"), "\u00e4 \u00f6", ".env");
    await using proxy = windows.proxy(["--env-file", file]);
    assertEquals((await proxy.initialize()).result.serverInfo.name, "raw");
    await proxy.stderr.waitForLine((line) => line.includes("DEBUG"));
    assertEquals((await proxy.closeStdin()).code, 0);
  });

  test("Settings: a file in UTF-16, as Windows PowerShell writes it, gives an error that says so, and exit code 2", async () => {
    await using home = new UserFolder(windows);
    const text = "LOG_LEVEL=debug\r\n";
    const bytes = ["\ufeff", ...text]
      .flatMap((unit) => [unit.charCodeAt(0) & 0xff, unit.charCodeAt(0) >> 8]);
    const file = await home.write(new Uint8Array(bytes), "a.txt");
    for (const flag of ["--env-file", "--token-file"]) {
      const { code, stderr } = await windows.run([flag, file]);
      assertEquals(code, 2);
      assertMatch(stderr, /^alwaysup: --[^\n]+ in UTF-16, [^\n]+\n$/);
    }
  });

  test("Settings: a missing file gives an error line, and exit code 2", async () => {
    await using home = new UserFolder(windows);
    const { name } = home.file("nirgends", "\u00f6.env");
    for (const flag of ["--env-file", "--token-file"]) {
      const { code, stderr } = await windows.run([flag, name]);
      assertEquals(code, 2);
      assertMatch(stderr, /^alwaysup: --[^\n]+\n$/);
      assert(stderr.includes("cannot be read"), stderr);
    }
  });

  test("Settings: the file nul reads as empty, and stores nothing", async () => {
    await using daemon = new FakeWebSocketServer();
    for (const nul of ["nul", "NUL"]) {
      const args = ["--url", daemon.url, "--env-file", nul, "--cache", nul];
      await using proxy = windows.proxy(args);
      assertEquals((await proxy.initialize()).result.serverInfo.name, "raw");
      await proxy.request(1, "tools/list");
      await proxy.waitForResponse(1);
      assertEquals((await proxy.closeStdin()).code, 0);
    }
  });

  test("stdio: input lines may end with CRLF, and output lines end with LF", async () => {
    await using daemon = new FakeWebSocketServer();
    await using proxy = windows.proxy(["--url", daemon.url]);
    await proxy.write(INITIALIZE_LINE.replace("\n", "\r\n"));
    await proxy.waitForResponse(0);
    const lines = [
      '{"jsonrpc":"2.0","method":"notifications/initialized"}',
      ...["", '{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":"\\r\\n"}}'],
    ];
    await proxy.write(`${lines.join("\r\n")}\r\n`);
    assertEquals((await proxy.waitForResponse(1)).result, { a: "\r\n" });
    assertEquals((await proxy.closeStdin()).code, 0);
    for (const { text } of proxy.stdout.lines) assert(!text.includes("\r"));
  });

  test("Log: with --log-format json every line on stderr is an object", async () => {
    await using daemon = new FakeWebSocketServer();
    const flags = ["--log-format", "json", "--log-level", "debug"];
    await using proxy = windows.proxy(["--url", daemon.url, ...flags]);
    await proxy.initialize();
    assertEquals((await proxy.closeStdin()).code, 0);
    assert(proxy.stderr.lines.length > 1);
    for (const { text } of proxy.stderr.lines) {
      assertEquals(typeof JSON.parse(text).level, "string", text);
    }
  });

  test("Exit: --give-up-after gives exit code 1, and queued requests get an error", async () => {
    const url = `ws://127.0.0.1:${freePort()}/`;
    const flags = ["--give-up-after", "500ms", "--initialize-grace", "off"];
    await using proxy = windows.proxy(["--url", url, ...flags]);
    await proxy.write(INITIALIZE_LINE);
    assertEquals((await proxy.waitForResponse(0)).error.code, -31001);
    assertEquals((await proxy.waitForExit()).code, 1);
  });
}
