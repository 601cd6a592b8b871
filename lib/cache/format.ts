/**
 * What is remembered of a daemon as the text of a file.
 *
 * @module
 */

import { listingOf } from "../protocol/lists.ts";
import { members } from "../json/spans.ts";
import { dig, isRecord } from "../protocol/jsonrpc.ts";
import type { Remembered } from "./cache.ts";

/** The largest file that is read or written, in bytes. */
export const MEMORY_LIMIT = 8 * 1024 * 1024;

/** Whose memory it is. */
export interface Owner {
  /** Where the daemon is, without secrets. */
  readonly daemon: string;
  /** What tells it from others that look the same without their secrets. */
  readonly key: string;
  /** What tells its users apart by what they show it; a file that is named is for all of them. */
  readonly user: string;
  /** How it speaks. */
  readonly dialect: string;
}

/** The memory as it is kept. */
export function toText(owner: Owner, remembered: Remembered): string {
  const { initialize, lists, discover, one } = remembered;
  const object = (results: Readonly<Record<string, string>>): string =>
    `{${
      Object.entries(results)
        .map(([key, result]) => `${JSON.stringify(key)}:${result}`).join(",")
    }}`;
  const parts = [
    '"alwaysup":1',
    ...(["daemon", "key", "dialect"] as const)
      .map((name) => `"${name}":${JSON.stringify(owner[name])}`),
    `"initialize":${object(initialize)}`,
    `"lists":${object(lists)}`,
  ];
  if (discover !== undefined) {
    const { asked, forMs, result } = discover;
    parts.push(
      `"discover":{"asked":${JSON.stringify(asked)},"forMs":${forMs},` +
        `"result":${result}}`,
    );
  }
  if (one !== undefined) parts.push(`"one":${JSON.stringify(one)}`);
  return `{${parts.join(",")}}\n`;
}

/** Whether a text is one that {@linkcode toText} has made, or what a power cut has left of it: nothing, or zeros. */
export function isWritten(text: string): boolean {
  return /^(\{"alwaysup":1[,}]|\0*$)/.test(text);
}

/**
 * Reads a memory; a string says why it is none of this daemon's, without a full
 * stop.
 *
 * @param ageMs how old it is
 */
export function fromText(
  text: string,
  owner: Owner,
  ageMs = 0,
): Remembered | string {
  if (text.length > MEMORY_LIMIT) return "it is too large";
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return "it is not JSON";
  }
  if (dig(value, "alwaysup") !== 1) return "it is of another version";
  const isOurs = (["daemon", "key", "dialect"] as const)
    .every((name) => dig(value, name) === owner[name]);
  if (!isOurs) return "it is another daemon's";
  const parts = membersOf(text);
  const results = (
    name: "initialize" | "lists",
    isGood: (key: string, result: unknown) => boolean,
  ): Record<string, string> => {
    const found = dig(value, name);
    const good: Record<string, string> = {};
    for (const [key, result] of membersOf(parts.get(name) ?? "")) {
      if (isGood(key, dig(found, key))) good[key] = result;
    }
    return good;
  };
  return {
    initialize: results(
      "initialize",
      (_, result) => typeof dig(result, "protocolVersion") === "string",
    ),
    lists: results("lists", (key, result) => {
      const method = key.split(" ").at(-1)!;
      return Array.isArray(dig(result, listingOf(method) ?? ""));
    }),
    ...discovered(
      value,
      membersOf(parts.get("discover") ?? "").get("result"),
      ageMs,
    ),
    ...keepers(value, ageMs),
  };
}

/** The texts of an object's members by name, of repeated names the last; none of what is no object. */
function membersOf(text: string): Map<string, string> {
  if (!/^\s*\{/.test(text)) return new Map();
  return new Map(
    members(text).map(({ name, value: { start, end } }) => [
      name,
      text.slice(start, end),
    ]),
  );
}

/** The daemons that keep one connection for a client, while that still holds. */
function keepers(value: unknown, ageMs: number): Pick<Remembered, "one"> {
  const one: Record<string, number> = {};
  const found = dig(value, "one");
  for (const server of isRecord(found) ? Object.keys(found) : []) {
    const forMs = dig(found, server);
    if (typeof forMs === "number" && forMs > ageMs) one[server] = forMs - ageMs;
  }
  return Object.keys(one).length === 0 ? {} : { one };
}

function discovered(
  value: unknown,
  result: string | undefined,
  ageMs: number,
): Pick<Remembered, "discover"> {
  const asked = dig(value, "discover", "asked");
  const forMs = dig(value, "discover", "forMs");
  const isGood = typeof asked === "string" && typeof forMs === "number" &&
    forMs > ageMs && isRecord(dig(value, "discover", "result"));
  if (!isGood || result === undefined) return {};
  return { discover: { asked, result, forMs: forMs - ageMs } };
}
