/**
 * Tests each event of the table in `calls.ts` in every phase of an exai call,
 * including the events that have no row there. Also tests the `health` queries.
 *
 * @module
 */

import {
  type ExaiCall,
  ExaiCalls,
} from "../../../../lib/dialects/exai/calls.ts";
import { assert, assertEquals } from "../../../helpers/assert.ts";
import { test } from "../../../helpers/no_permissions.ts";
import { request } from "../../../helpers/parsed_request.ts";
import { EXAI_CONFIG } from "../../../helpers/session/exai_driver.ts";
import type { Json } from "../../../helpers/session/session_driver.ts";

type Phase = ExaiCall["state"]["phase"];

/** A call in a given phase. Its frame is pending on connection 1. */
class CallDriver {
  readonly calls = new ExaiCalls("p:", EXAI_CONFIG);
  readonly request = request("7", "tools/call", '{"name":"chat"}');
  readonly call: ExaiCall;

  constructor(phase: Phase) {
    this.calls.onHello(1, "first");
    this.write();
    const pending = this.calls.pendingOn(1);
    assert(pending?.kind === "call");
    this.call = pending.call;
    if (phase === "polled") this.write();
    if (phase === "unsent") this.calls.reset(this.request);
    assertEquals(this.call.state.phase, phase);
  }

  write(): string {
    return this.calls.encodeCall(1, this.request, 0);
  }

  /** Receives a response to `health` on connection 2. */
  reportHealth(health: Json, now: number): void {
    const pending = { kind: "health", isProbe: false } as const;
    this.calls.onHealth(2, pending, { op: "health_res", health }, now);
  }

  /** Receives a frame on connection 1. Returns the kinds of session events. */
  receive(frame: Json): string[] {
    const { request, call } = this;
    const pending = { kind: "call", request, call } as const;
    const text = JSON.stringify(frame);
    return this.calls.onFrame(1, pending, frame, text)
      .map(({ kind }) => kind);
  }
}

const duplicate = { code: "DUPLICATE", original_request_id: "p:9" };

/** The events. Each function returns the kinds of events for the session. */
const EVENTS: Record<string, (driver: CallDriver) => string[]> = {
  "is written": (driver) => [driver.write()].slice(1),
  "is reset": (driver) => {
    driver.calls.reset(driver.request);
    return [];
  },
  "gets progress": (driver) => driver.receive({ op: "progress" }),
  "gets progress on a duplicate": (driver) =>
    driver.receive({ op: "progress", note: "duplicate request" }),
  "gets an ack": (driver) =>
    driver.receive({ op: "call_tool_ack", timeout: 60 }),
  "gets a chunk": (driver) => driver.receive({ op: "stream_chunk" }),
  "gets DUPLICATE of a call of ours": (driver) =>
    driver.receive({ op: "call_tool_res", error: duplicate }),
  "gets OVER_CAPACITY": (driver) =>
    driver.receive({ op: "call_tool_res", error: { code: "OVER_CAPACITY" } }),
  "gets a result": (driver) => driver.receive({ op: "call_tool_res" }),
  "gets another error": (driver) =>
    driver.receive({ op: "error", message: "no" }),
  "gets a result for another call": (driver) =>
    driver.receive({ op: "call_tool_res", request_id: "p:8" }),
  "gets another frame": (driver) => driver.receive({ op: "news" }),
};

/** The expected effect of an event in a phase. */
interface Row {
  readonly next: Phase;
  /** The kind of the event for the session; `undefined` if there is none. */
  readonly sessionEvent?: string;
  /** How `request_id` changes: `original` is the id that DUPLICATE names. */
  readonly id?: "renewed" | "original";
  /** True if the next frame can be sent on the connection. */
  readonly isFree?: true;
}

const DONE = { sessionEvent: "response", isFree: true } as const;
const LATER = { sessionEvent: "retry-later", isFree: true } as const;

/** Returns the rows of a call that was sent once or polled. */
function rowsOf(phase: "sent" | "polled"): Record<string, Row> {
  const working = { next: phase, sessionEvent: "in-progress" } as const;
  return {
    "is written": { next: "polled" },
    "is reset": { next: "unsent", id: "renewed" },
    "gets progress": working,
    "gets progress on a duplicate": phase === "sent"
      ? working
      : { next: phase, ...LATER },
    "gets an ack": working,
    "gets a chunk": working,
    "gets DUPLICATE of a call of ours": {
      next: phase,
      ...LATER,
      id: "original",
    },
    "gets OVER_CAPACITY": { next: "unsent", ...LATER, id: "renewed" },
    "gets a result": { next: phase, ...DONE },
    "gets another error": { next: phase, ...DONE },
  };
}

const ROWS: Record<Phase, Record<string, Row>> = {
  unsent: {
    "is written": { next: "sent" },
    "is reset": { next: "unsent", id: "renewed" },
  },
  sent: rowsOf("sent"),
  polled: rowsOf("polled"),
};

for (const phase of ["unsent", "sent", "polled"] as const) {
  for (const [event, apply] of Object.entries(EVENTS)) {
    const row = ROWS[phase][event];
    const { next = phase, sessionEvent } = row ??
      { sessionEvent: "unexpected" };
    test(`exai call: ${phase}, ${event}: next ${next}, event ${sessionEvent ?? "none"}`, () => {
      const driver = new CallDriver(phase);
      const { requestId } = driver.call;
      assertEquals(
        apply(driver),
        sessionEvent === undefined ? [] : [sessionEvent],
      );
      assertEquals(driver.call.state.phase, next);
      const ids = {
        renewed: phase === "unsent" ? "p:3" : "p:2",
        original: "p:9",
      };
      const id = row?.id === undefined ? requestId : ids[row.id];
      assertEquals(driver.call.requestId, id);
      assertEquals(driver.calls.canSend(1), row?.isFree ?? false);
    });
  }
}

test("exai call: a reset forgets the daemon's timeout for a sent call", () => {
  const driver = new CallDriver("sent");
  const windowMs = (): number | undefined =>
    driver.calls.pollWindowMs(driver.request, 0);
  driver.receive({ op: "call_tool_ack", timeout: 300 });
  assertEquals(windowMs(), 300_000 + EXAI_CONFIG.ackGrace);
  driver.calls.reset(driver.request);
  assertEquals(windowMs(), undefined);
  driver.write();
  assertEquals(windowMs(), 67_000 + EXAI_CONFIG.ackGrace);
});

test("exai outcome: before a call is sent again, one health query is sent on one connection", () => {
  const driver = new CallDriver("sent");
  const { calls, request } = driver;
  calls.endExchange(1);
  const stepOn = (connectionId: number): string =>
    calls.nextStep(connectionId, request).kind;
  assertEquals(stepOn(2), "query");
  assertEquals(calls.canSend(2), false);
  assertEquals(stepOn(3), "wait");
  const health = { uptime_human: "0:00:10" };
  driver.reportHealth(health, 5_000);
  assertEquals(stepOn(2), "ready");
  driver.reportHealth(health, 15_000);
  assertEquals(stepOn(2), "lost");
  driver.reportHealth({}, 5_000);
  assertEquals(stepOn(2), "lost", "nothing is known of the process");
  calls.reset(request);
  assertEquals(stepOn(2), "ready", "it was never sent");
});

test("exai outcome: time asleep counts towards the daemon's uptime, and a pending probe becomes a query", () => {
  const driver = new CallDriver("sent");
  const { calls, request } = driver;
  calls.beginExchange(3, { kind: "health", isProbe: true });
  calls.onSuspended(60_000);
  const health = { uptime_human: "0:01:00" };
  driver.reportHealth(health, 0);
  assertEquals(calls.nextStep(2, request).kind, "ready");
  assertEquals(calls.pendingOn(3), { kind: "health", isProbe: false });
  assertEquals(calls.pendingOn(1)?.kind, "call");
});
