import { delay } from "@std/async/delay.js";
import { Rig } from "./mcp_rig.ts";
import { Relay } from "./relay.ts";
import { freePort } from "./rig.ts";
for (let n = 0; n < 9; n++) {
  const port = freePort();
  await using relay = new Relay(port);
  await using rig = new Rig(["--log-level", "debug"], {}, relay.port, port);
  await rig.up();
  await rig.proxy.initialize();
  await rig.proxy.call(1, "write", { ms: 60_000 });
  await rig.noted("got ping");
  await rig.proxy.ask("through", "tools/list");
  await rig.proxy.answer("through");
  relay.swallow();
  await rig.proxy.answer(1);
  await rig.proxy.call(2, "write");
  await rig.proxy.answer(2);
  relay.swallow();
  await rig.proxy.stderr.find((line) => line.includes("ping in time"));
  await rig.proxy.call(3, "write");
  await rig.proxy.answer(3);
  rig.proxy.process.kill("SIGSTOP");
  relay.swallow();
  await delay(9_000);
  const start = performance.now();
  rig.proxy.process.kill("SIGCONT");
  await rig.proxy.call(4, "write");
  try {
    const { at } = await rig.proxy.answer(4, 6000);
    console.log(at - start);
  } catch {
    console.log(
      "FAIL",
      new Date().toISOString(),
      await Promise.race([
        Deno.connect({ port }).then(() => "daemon up"),
        delay(500),
      ]).catch(() => "daemon gone"),
    );
    console.log(rig.proxy.stderr.dump());
  }
}
