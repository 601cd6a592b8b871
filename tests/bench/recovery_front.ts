/**
 * Outages of `deno task recovery` in which the daemon lives, and what stands
 * before it fails.
 *
 * @module
 */

import { delay } from "@std/async/delay.js";
import { type Fault, Front } from "../helpers/faulty_relay.ts";
import {
  type Call,
  Client,
  type Dialect,
  limitMs,
  type Program,
  STRAGGLERS_MS,
} from "./recovery_client.ts";
import { allowedDials, type Finding, newFinding } from "./recovery_report.ts";

const OUTAGE_MS = [300, 12_000] as const;
const SILENCE_MS = [1_000, 12_000] as const;

/** One outage as it is planned: the same for every client. */
export interface Outage {
  readonly ms: number;
  /** When a call is sent, from the beginning; at `ms` it is the moment of the end. */
  readonly callAtMs: number;
}

/** Plans outages of all lengths in random order; in every third one the call comes at the end. */
export function planOutages(
  kind: Fault,
  count: number,
  random: () => number,
): Outage[] {
  const isSilent = kind.startsWith("silent") || kind === "syn-drop";
  const [least, most] = isSilent ? SILENCE_MS : OUTAGE_MS;
  const lengths = Array.from(
    { length: count },
    (_, i) => least + (i + random()) / count * (most - least),
  );
  const order = lengths.map((ms) => ({ ms, key: random() }))
    .sort((a, b) => a.key - b.key);
  return order.map(({ ms }, i) => ({
    ms,
    callAtMs: i % 3 === 0 ? ms : random() * ms,
  }));
}

/** Lives through the outages with one client and a front of its own. */
export async function runFront(
  kind: Fault,
  dialect: Dialect,
  program: Program,
  daemonPort: number,
  outages: readonly Outage[],
): Promise<Finding> {
  const finding = newFinding(kind, dialect, program);
  await using front = await Front.start(daemonPort);
  const mostMs = limitMs(program);
  let client: Client | undefined;
  let lives = 0;
  try {
    for (const [i, outage] of outages.entries()) {
      if (client === undefined) {
        const name = `${kind}-${dialect}-${program.name}-${++lives}`;
        client = new Client(program, name, dialect, front.port);
        await client.open();
      }
      const first = await client.echo();
      const works = await client.answered(first, mostMs) !== undefined;
      if (works && await live(client, front, finding, outage, i)) {
        continue;
      }
      await leave(client, finding);
      client = undefined;
    }
    if (client !== undefined) await leave(client, finding);
  } finally {
    await client?.[Symbol.asyncDispose]();
  }
  return finding;
}

/** Lives through one outage; gives whether the call was answered. */
async function live(
  client: Client,
  front: Front,
  finding: Finding,
  { ms, callAtMs }: Outage,
  variant: number,
): Promise<boolean> {
  const before = { front: front.dials, logged: client.logged };
  await front.begin(finding.kind as Fault, variant);
  const beganAt = performance.now();
  const until = (at: number): Promise<void> =>
    delay(Math.max(0, beganAt + at - performance.now()));
  await until(callAtMs);
  let [call, back]: [Call | undefined, number] = [undefined, 0];
  if (callAtMs < ms) {
    call = await client.echo();
    await until(ms);
    back = await front.end();
  } else {
    [back, call] = await Promise.all([front.end(), client.echo()]);
  }
  const answeredAt = await client.answered(call, limitMs(finding.program));
  const from = Math.max(back, call.sentAt);
  finding.lags.push({ ms: answeredAt && answeredAt - from, outageMs: ms });
  const waitedMs = (answeredAt ?? performance.now()) - call.sentAt;
  finding.dials.push({
    // The one does not see what is refused, the other not what hangs.
    seen: Math.max(front.dials - before.front, client.logged - before.logged),
    allowed: allowedDials(finding, 1, 1, waitedMs, callAtMs),
  });
  return answeredAt !== undefined;
}

/** Waits for answers that nobody waits for, and ends a client. */
async function leave(client: Client, finding: Finding): Promise<void> {
  await delay(STRAGGLERS_MS);
  finding.exitMs.push((await client.end()).ms);
  finding.problems.push(...client.problems());
}
