/**
 * Outages of `deno task recovery` in which the daemon keeps running, and the
 * relay in front of it fails.
 *
 * @module
 */

import { delay } from "../../lib/runtime/timeout.ts";
import { type Fault, FaultyRelay } from "../helpers/faulty_relay.ts";
import {
  type Dialect,
  LATE_RESPONSE_MS,
  type MeasuredProgram,
  type RecoveryCall,
  RecoveryClient,
  responseTimeoutMs,
} from "./recovery_client.ts";
import {
  allowedDials,
  newResult,
  type RecoveryResult,
} from "./recovery_report.ts";

const OUTAGE_MS = [300, 12_000] as const;
const SILENCE_MS = [1_000, 12_000] as const;

/** The plan of one outage, which is the same for every client. */
export interface Outage {
  readonly ms: number;
  /**
   * When a call is sent, in milliseconds after the start of the outage; the
   * outage ends at `ms`.
   */
  readonly callAtMs: number;
}

/**
 * Plans outages of various lengths, in random order. In every third one, the
 * call is sent at the end.
 */
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

/** Carries out the outages for one program, which has a relay of its own. */
export async function runOutages(
  kind: Fault,
  dialect: Dialect,
  program: MeasuredProgram,
  daemonPort: number,
  outages: readonly Outage[],
): Promise<RecoveryResult> {
  const result = newResult(kind, dialect, program);
  await using relay = await FaultyRelay.start(daemonPort);
  const mostMs = responseTimeoutMs(program);
  let client: RecoveryClient | undefined;
  let clientCount = 0;
  try {
    for (const [i, outage] of outages.entries()) {
      if (client === undefined) {
        const name = `${kind}-${dialect}-${program.name}-${++clientCount}`;
        client = new RecoveryClient(program, name, dialect, relay.port);
        await client.connect();
      }
      const first = await client.callEcho();
      const works = await client.waitAtMost(first, mostMs) !== undefined;
      if (works && await runOutage(client, relay, result, outage, i)) {
        continue;
      }
      await endClient(client, result);
      client = undefined;
    }
    if (client !== undefined) await endClient(client, result);
  } finally {
    await client?.[Symbol.asyncDispose]();
  }
  return result;
}

/** Carries out one outage. Returns whether the call was answered. */
async function runOutage(
  client: RecoveryClient,
  relay: FaultyRelay,
  result: RecoveryResult,
  { ms, callAtMs }: Outage,
  variant: number,
): Promise<boolean> {
  const before = { relay: relay.dialCount, logged: client.loggedDials };
  await relay.beginFault(result.kind as Fault, variant);
  const beganAt = performance.now();
  const until = (at: number): Promise<void> =>
    delay(Math.max(0, beganAt + at - performance.now()));
  await until(callAtMs);
  let [call, back]: [RecoveryCall | undefined, number] = [undefined, 0];
  if (callAtMs < ms) {
    call = await client.callEcho();
    await until(ms);
    back = await relay.endFault();
  } else {
    [back, call] = await Promise.all([relay.endFault(), client.callEcho()]);
  }
  const answeredAt = await client.waitAtMost(
    call,
    responseTimeoutMs(result.program),
  );
  const from = Math.max(back, call.sentAt);
  result.lags.push({ ms: answeredAt && answeredAt - from, outageMs: ms });
  const waitedMs = (answeredAt ?? performance.now()) - call.sentAt;
  result.dials.push({
    // The relay does not see refused dials, and the log does not show dials
    // that hang.
    seen: Math.max(
      relay.dialCount - before.relay,
      client.loggedDials - before.logged,
    ),
    allowed: allowedDials(result, 1, 1, waitedMs, callAtMs),
  });
  return answeredAt !== undefined;
}

/** Waits for late responses, then ends a client. */
async function endClient(
  client: RecoveryClient,
  result: RecoveryResult,
): Promise<void> {
  await delay(LATE_RESPONSE_MS);
  result.exitMs.push((await client.closeStdin()).ms);
  result.problems.push(...client.problems());
}
