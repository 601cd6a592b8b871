/**
 * How long recovery takes, with real processes: from kill -9 to the error of a
 * call in flight, from a daemon that listens again to the answer of a call that
 * waited, and from the end of stdin to the exit.
 *
 *     deno task recovery [ROUNDS]
 *
 * @module
 */

import { freePort, Proxy, startDaemon } from "./rig.ts";
import { print } from "./print.ts";

const ROUNDS = Number(Deno.args[0] ?? 10);

const found = new Map<string, number[]>();

function note(what: string, ms: number): void {
  found.set(what, [...found.get(what) ?? [], ms]);
}

for (let i = 0; i < ROUNDS; i++) {
  const journal = await Deno.makeTempFile({ prefix: "journal-" });
  const port = freePort();
  const flags = ["--url", `ws://127.0.0.1:${port}/`];
  {
    await using first = await startDaemon(port, journal);
    await using proxy = new Proxy(flags);
    await proxy.initialize();
    await proxy.call(1, "write", { ms: 60_000 });
    await proxy.call(2, "echo");
    await proxy.answer(2);
    const killedAt = performance.now();
    await first.signal("SIGKILL");
    note(
      "kill -9 to the error of the call in flight",
      (await proxy.answer(1)).at - killedAt,
    );
    await proxy.call(3, "echo");
    // Different daemons take differently long to come up.
    await new Promise((go) => setTimeout(go, 300 + i * 700));
    await using second = await startDaemon(port, journal);
    // The daemon says that it listens a little after it does.
    const { at } = second.stdout.all[0]!;
    note(
      "listening again to the answer of the call that waited",
      (await proxy.answer(3)).at - at,
    );
    note("end of stdin to exit, connected", (await proxy.end()).ms);
  }
  await using away = new Proxy(flags);
  await away.stderr.find((line) => line.includes("Attempt 1 "));
  note("end of stdin to exit, daemon away", (await away.end()).ms);
  await Deno.remove(journal);
}

for (const [what, all] of found) {
  all.sort((a, b) => a - b);
  const [median, worst] = [all[all.length >> 1]!, all.at(-1)!];
  print(
    `${what.padEnd(55)} median ${median.toFixed(0).padStart(5)} ms, ` +
      `worst of ${ROUNDS} ${worst.toFixed(0).padStart(5)} ms`,
  );
}
