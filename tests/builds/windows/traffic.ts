/**
 * Tests messages that pass through Windows pipes.
 *
 * @module
 */

import { assert, assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/time_limit.ts";
import { FakeWebSocketServer } from "../../helpers/fake_websocket_server.ts";
import type { Windows } from "../windows_executable.ts";

const MIB = 1024 * 1024;

export function registerTrafficTests(windows: Windows): void {
  test("Messages: 10 MiB pass in both directions unchanged", async () => {
    await using daemon = new FakeWebSocketServer();
    await using proxy = windows.proxy(["--url", daemon.url]);
    await proxy.initialize();
    const unit = '\u00e9\u2028\u{1f600}\\"\r\n';
    const text = unit.repeat(10 * MIB / 16);
    const list = Array.from({ length: 1000 }, (_, n) => ({ n, text: unit }));
    await proxy.request(1, "x", { text, list, big: 1e21, small: 0.1 });
    await proxy.request(2, "x", { after: true });
    const { result } = await proxy.waitForResponse(1);
    assert(result.text === text, "the text was changed");
    assertEquals(result.list, list);
    assertEquals([result.big, result.small], [1e21, 0.1]);
    assertEquals((await proxy.waitForResponse(2)).result, { after: true });
    assertEquals((await proxy.closeStdin()).code, 0);
  });

  test("Messages: one with 500 nested objects and arrays passes", async () => {
    await using daemon = new FakeWebSocketServer();
    await using proxy = windows.proxy(["--url", daemon.url]);
    await proxy.initialize();
    const open = '{"a":['.repeat(250);
    const close = "]}".repeat(250);
    await proxy.write(
      `{"jsonrpc":"2.0","id":1,"method":"x","params":${open}${close}}\n`,
    );
    const { result } = await proxy.waitForResponse(1);
    assertEquals(JSON.stringify(result), open + close);
  });

  test("Messages: a thousand calls at once get a thousand responses, each its own", async () => {
    await using daemon = new FakeWebSocketServer();
    await using proxy = windows.proxy(["--url", daemon.url]);
    await proxy.initialize();
    const ids = Array.from({ length: 1000 }, (_, i) => i + 1);
    const lines = ids.map((id) =>
      `${JSON.stringify({ jsonrpc: "2.0", id, method: "x", params: { id } })}\n`
    );
    await proxy.write(lines.join(""));
    for (const id of ids) {
      assertEquals((await proxy.waitForResponse(id)).result, { id });
    }
    assertEquals((await proxy.closeStdin()).code, 0);
    assertEquals(proxy.stdout.lines.length, 1001);
  });

  test("stdio: a line may arrive in pieces, even if a piece ends inside a character", async () => {
    await using daemon = new FakeWebSocketServer();
    await using proxy = windows.proxy(["--url", daemon.url]);
    await proxy.initialize();
    const params = { text: "\u{1f600}\u00fc" };
    const line = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "x", params });
    for (const byte of new TextEncoder().encode(`${line}\n`)) {
      await proxy.writeBytes(new Uint8Array([byte]));
    }
    assertEquals((await proxy.waitForResponse(1)).result, params);
  });

  test("Back-pressure: a client that does not read for a while loses nothing", async () => {
    await using daemon = new FakeWebSocketServer();
    await using proxy = windows.proxy(["--url", daemon.url]);
    await proxy.initialize();
    await windows.pauseReading(proxy);
    const t = "x".repeat(1000);
    for (let id = 1; id <= 500; id++) await proxy.request(id, "x", { id, t });
    await daemon.waitForMessages(500);
    await windows.resumeReading(proxy);
    for (let id = 1; id <= 500; id++) {
      assertEquals((await proxy.waitForResponse(id)).result, { id, t });
    }
    assertEquals((await proxy.closeStdin()).code, 0);
  });
}
