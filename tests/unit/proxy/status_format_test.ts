/**
 * What `alwaysup status` shows of a proxy, and when the proxy writes it.
 *
 * @module
 */

import { PROXY, SNAPSHOT } from "../../helpers/proxy_status.ts";
import { Presence, runningFolder } from "../../../lib/proxy/status_file.ts";
import {
  type Facts,
  fromText,
  inWords,
  span,
  toText,
} from "../../../lib/proxy/status_format.ts";
import { clientOf } from "../../../lib/session/snapshot.ts";
import type { Snapshot, Standing } from "../../../lib/session/snapshot.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { Disk } from "../../helpers/memory_disk.ts";
import { test } from "../../helpers/no_permissions.ts";
import { type Json, Scene } from "../../helpers/session/session_driver.ts";

const FACTS: Facts = { ...PROXY, sign: "lock" };

/** What a status file need not say. */
const OPTIONAL = ["client", "lastError", "connections", "answersDuringCalls"];

test("Snapshot: follows the states of a connection", () => {
  const scene = new Scene();
  const seen = (): Standing => scene.session.snapshot().standing;
  assertEquals(seen(), { phase: "dialing", attempt: 1 });
  scene.refuse();
  assertEquals(seen(), { phase: "waiting", attempt: 1, nextAt: 250 });
  scene.untilDial();
  scene.open();
  assertEquals(seen(), { phase: "open" });
  scene.ask("init", "initialize", {
    protocolVersion: "2025-06-18",
    clientInfo: { name: "editor", version: "2" },
  });
  assertEquals(seen(), { phase: "greeting", attempt: 2 });
  assertEquals(scene.session.snapshot().owed, 1);
  scene.daemon({ id: "init", result: { protocolVersion: "2025-06-18" } });
  assertEquals(seen(), { phase: "ready", since: 250 });
  const { client, reconnects, lastError } = scene.session.snapshot();
  assertEquals([client, reconnects], ["editor 2", 0]);
  assertEquals(lastError, "nothing listens there");
  scene.do({ type: "resumed", gap: 0, unseen: 60_000 });
  assertEquals(seen().phase, "checking");
  scene.close();
  scene.untilDial();
  scene.take();
  scene.again();
  assertEquals(seen().phase, "ready");
  assertEquals(scene.session.snapshot().reconnects, 1);
});

const CLIENTS: [params: Json, name: string | undefined][] = [
  [{ clientInfo: { name: "a", version: "1" } }, "a 1"],
  [{ clientInfo: { name: "a", version: 1 } }, "a"],
  [{ _meta: { "io.modelcontextprotocol/clientInfo": { name: "b" } } }, "b"],
  [{ clientInfo: { name: "\x1b[2Ja\n\x07b\u009b" } }, " [2Ja b "],
  [{ clientInfo: { name: "x".repeat(99) } }, `${"x".repeat(60)}...`],
  [{ clientInfo: { name: 7 } }, undefined],
  [{ clientInfo: "a" }, undefined],
  [undefined, undefined],
];
for (const [params, name] of CLIENTS) {
  test(`Snapshot: the name of the client: ${JSON.stringify(params)?.slice(0, 80)}`, () => {
    const request = {
      kind: "request",
      id: "1",
      method: "ping",
      text: "",
    } as const;
    assertEquals(clientOf({ ...request, params }), name);
  });
}

test("Status format: writes moments by the wall clock, and reads what it wrote", () => {
  const text = toText(FACTS, SNAPSHOT, 1_000_000);
  const read = fromText(text)!;
  const { standing, client, owed, pid } = read;
  assertEquals(standing, { phase: "ready", since: 1_000_005 });
  assertEquals([client, owed, pid], ["editor 1", 3, 7]);
  assertEquals([read.connections, read.answersDuringCalls], ["one", false]);
  const waiting = { phase: "waiting", attempt: 4, nextAt: 10 } as const;
  const again = fromText(toText(FACTS, { ...SNAPSHOT, standing: waiting }, 5));
  assertEquals(again?.standing, { phase: "waiting", attempt: 4, nextAt: 15 });
  const displaced = { phase: "displaced" } as const;
  const taken = toText(FACTS, { ...SNAPSHOT, standing: displaced }, 5);
  assertEquals(fromText(taken)?.standing, displaced);
});

test("Status format: a file of an older version has no facts about the daemon", () => {
  const { connections: _, answersDuringCalls: __, ...older } = SNAPSHOT;
  const read = fromText(toText(FACTS, older as Snapshot, 0))!;
  assertEquals([read.client, read.connections], ["editor 1", "unknown"]);
  assertEquals(read.answersDuringCalls, undefined);
});

test("Status format: refuses a file that is not ours, or incomplete", () => {
  const whole = JSON.parse(toText(FACTS, SNAPSHOT, 0));
  const without = (name: string): Json => ({ ...whole, [name]: undefined });
  const bad: Json[] = [
    ...Object.keys(whole)
      .filter((name) => !OPTIONAL.includes(name))
      .map(without),
    ...[null, 1, "x", [], {}, { ...whole, alwaysup: 2 }],
    ...[{ ...whole, pid: "7" }, { ...whole, url: 1 }, { ...whole, client: 1 }],
    ...[{ ...whole, sign: "smoke" }, { ...whole, standing: "ready" }],
    ...[{ ...whole, connections: "two" }, { ...whole, connections: 1 }],
    ...[{ ...whole, answersDuringCalls: "yes" }],
    { ...whole, standing: { phase: "ready" } },
    { ...whole, standing: { phase: "waiting", attempt: 1 } },
    { ...whole, standing: { phase: "dialing" } },
    { ...whole, standing: { phase: "dancing", attempt: 1, since: 1 } },
  ];
  for (const it of bad) assertEquals(fromText(JSON.stringify(it)), undefined);
  const text = JSON.stringify(whole);
  for (let i = 0; i < text.length; i++) {
    assertEquals(fromText(text.slice(0, i)), undefined);
  }
});

const WORDS: [standing: Standing, words: string][] = [
  [{ phase: "ready", since: 0 }, "ready 2 h"],
  [{ phase: "checking", since: 0 }, "silent, being checked"],
  [
    { phase: "displaced" },
    "another client has the connection, dialed with the next request",
  ],
  [
    { phase: "waiting", attempt: 14, nextAt: 7_212_900 },
    "waiting, attempt 14, next in 12 s",
  ],
  [
    { phase: "waiting", attempt: 1, nextAt: 0 },
    "waiting, attempt 1, next in 0 s",
  ],
  [{ phase: "dialing", attempt: 2 }, "dialing, attempt 2"],
  [{ phase: "greeting", attempt: 2 }, "greeting, attempt 2"],
  [{ phase: "open" }, "open, the client has not spoken"],
];
for (const [standing, words] of WORDS) {
  test(`Status format: a connection's state in words: ${words}`, () => {
    assertEquals(inWords(standing, 7_200_000), words);
  });
}

test("Status format: a duration is given in its largest unit", () => {
  const spans = [999, 59_999, 60_000, 3_599_999, 3_600_000, 86_400_000, -5];
  assertEquals(spans.map(span), [
    ...["0 s", "59 s", "1 min", "59 min", "1 h", "1 d", "0 s"],
  ]);
});

test("Status file: written soon, a second after a change, and every 20 s; removed at the end", () => {
  const disk = new Disk();
  const host = disk.host();
  const folder = runningFolder(host)!;
  const file = `${folder}/7-rs.json`;
  const written = (): number =>
    disk.done.filter((step) => step === `rename ${file}`).length;
  const presence = new Presence(host, folder, PROXY, 1_000);
  assertEquals(presence.dueAt, 1_200);
  presence.touch(1_050);
  assertEquals(presence.dueAt, 1_200, "the client comes first");
  presence.show(SNAPSHOT, 1_200, 0);
  assertEquals([written(), disk.names(folder)], [1, ["7-rs.json"]]);
  assertEquals(fromText(disk.text(file)!)?.sign, "heartbeat");
  assertEquals(presence.dueAt, 21_200);
  presence.touch(1_300);
  assertEquals(presence.dueAt, 2_200, "once a second");
  presence.show({ ...SNAPSHOT }, 2_200, 0);
  assertEquals([written(), presence.dueAt], [1, 21_200], "nothing is new");
  presence.show({ ...SNAPSHOT, owed: 4 }, 5_000, 0);
  assertEquals([written(), presence.dueAt], [2, 25_000]);
  presence.show({ ...SNAPSHOT, owed: 4 }, 25_000, 0);
  assertEquals(written(), 3, "a beat");
  presence.leave();
  assertEquals(disk.names(folder), []);
});
