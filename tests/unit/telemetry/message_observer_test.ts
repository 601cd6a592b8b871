/**
 * Tests what looks at every message: the operations, the figures, the log lines
 * and the warnings for the client.
 *
 * @module
 */

import { createRedactor, NO_REDACTION } from "../../../lib/config/secrets.ts";
import type { Effect, LogEffect, SessionEvent } from "../../../lib/events.ts";
import { ClientLog } from "../../../lib/telemetry/client_log.ts";
import {
  bucketOf,
  MessageCounter,
  OTHER,
} from "../../../lib/telemetry/message_figures.ts";
import { MessageLog } from "../../../lib/telemetry/message_log.ts";
import {
  MessageObserver,
  type OpenOperation,
  type OperationEnd,
  type TelemetrySink,
} from "../../../lib/telemetry/message_observer.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

// deno-lint-ignore no-explicit-any
type Json = any;

/** The ends of operations, as short texts. */
class EndedOperations implements TelemetrySink {
  readonly ends: string[] = [];

  onOperationEnd(
    { request, name, startedAt, sentAt, protocolVersion }: OpenOperation,
    { errorType, statusCode }: OperationEnd,
    now: number,
  ): void {
    this.ends.push(
      [
        request.method,
        name,
        errorType,
        statusCode,
        `${now - startedAt} ms`,
        sentAt === undefined ? "not sent" : `${now - sentAt} ms`,
        protocolVersion,
      ].filter((it) => it !== undefined).join(" "),
    );
  }
}

/** Plays events and effects, each at its time. */
class Player {
  readonly ended = new EndedOperations();
  readonly observer: MessageObserver;
  now = 0;

  constructor(...sinks: TelemetrySink[]) {
    this.observer = new MessageObserver([this.ended, ...sinks]);
  }

  line(message: Json, ...effects: Effect[]): this {
    return this.play({ type: "line", text: textOf(message) }, ...effects);
  }

  frame(message: Json, ...effects: Effect[]): this {
    const text = textOf(message);
    return this.play({ type: "frame", connectionId: 7, text }, ...effects);
  }

  tick(...effects: Effect[]): this {
    return this.play({ type: "tick" }, ...effects);
  }

  play(event: SessionEvent, ...effects: Effect[]): this {
    this.observer.observe(event, effects, this.now);
    return this;
  }

  after(ms: number): this {
    this.now += ms;
    return this;
  }
}

function textOf(message: Json): string {
  return typeof message === "string"
    ? message
    : JSON.stringify({ jsonrpc: "2.0", ...message });
}

function toClient(message: Json): Effect {
  return { type: "send-to-client", text: textOf(message) };
}

function toDaemon(message: Json, requestId?: string): Effect {
  const text = textOf(message);
  return { type: "send-to-daemon", connectionId: 7, text, requestId };
}

const CALL = { id: 1, method: "tools/call", params: { name: "write" } };

const OPERATIONS: [
  what: string,
  ends: string[],
  play: (it: Player) => Player,
][] = [
  [
    "a call that waits, is sent, and is answered",
    ["tools/call write 30 ms 10 ms"],
    (it) =>
      it.line(CALL).after(20).tick(toDaemon(CALL, "1")).after(10)
        .frame({ id: 1, result: {} }, toClient({ id: 1, result: {} })),
  ],
  [
    "a call that is sent twice is one operation, from the first write",
    ["tools/call write 100 ms 100 ms"],
    (it) =>
      it.line(CALL, toDaemon(CALL, "1")).after(60)
        .tick(toDaemon(CALL, "1")).after(40)
        .tick(toClient({ id: 1, result: {} })),
  ],
  [
    "a request that the proxy answers itself",
    ["ping 0 ms not sent"],
    (it) =>
      it.line({ id: "p", method: "ping" }, toClient({ id: "p", result: {} })),
  ],
  [
    "an error of the proxy, before the request was sent",
    ["tools/call write -31001 -31001 5 ms not sent"],
    (it) =>
      it.line(CALL).after(5)
        .tick(toClient({ id: 1, error: { code: -31001, message: "m" } })),
  ],
  [
    "a tool that says that it failed",
    ["tools/call write tool_error 1 ms 1 ms"],
    (it) =>
      it.line(CALL, toDaemon(CALL, "1")).after(1).tick(
        toClient('{"jsonrpc":"2.0","id":1,"result":{"isError" : true}}'),
      ),
  ],
  [
    "a tool that quotes such a text has not failed",
    ["tools/call write 1 ms 1 ms"],
    (it) =>
      it.line(CALL, toDaemon(CALL, "1")).after(1).tick(
        toClient({ id: 1, result: { text: { isError: true } } }),
      ),
  ],
  [
    "a large result of a tool that failed",
    ["tools/call write tool_error 1 ms 1 ms"],
    (it) =>
      it.line(CALL, toDaemon(CALL, "1")).after(1).tick(
        toClient({
          id: 1,
          result: { content: ["x".repeat(200_000)], isError: true },
        }),
      ),
  ],
  [
    "a cancelled call, whose late answer does not count",
    ["tools/call write cancelled 3 ms 3 ms"],
    (it) =>
      it.line(CALL, toDaemon(CALL, "1")).after(3)
        .line({ method: "notifications/cancelled", params: { requestId: 1 } })
        .frame({ id: 1, result: {} }),
  ],
  [
    "initialize cannot be cancelled, and its answer has the version",
    ["initialize 2 ms not sent 2025-06-18", "ping 0 ms not sent 2025-06-18"],
    (it) =>
      it.line({ id: 0, method: "initialize", params: {} })
        .line({ method: "notifications/cancelled", params: { requestId: 0 } })
        .after(2)
        .tick(toClient({ id: 0, result: { protocolVersion: "2025-06-18" } }))
        .line({ id: 1, method: "ping" }, toClient({ id: 1, result: {} })),
  ],
  [
    "a request that names its version",
    ["tools/list 0 ms not sent 2026-07-28"],
    (it) =>
      it.line({
        ...{ id: 1, method: "tools/list" },
        params: {
          _meta: { "io.modelcontextprotocol/protocolVersion": "2026-07-28" },
        },
      }, toClient({ id: 1, result: { tools: [] } })),
  ],
  [
    "ids are compared by type; a prompt has a name, a resource has none",
    ["prompts/get p 1 ms not sent", "resources/read 2 ms not sent"],
    (it) =>
      it.line({ id: "1", method: "resources/read", params: { uri: "u" } })
        .line({ id: 1, method: "prompts/get", params: { name: "p" } })
        .after(1).tick(toClient({ id: 1, result: {} }))
        .after(1).tick(toClient({ id: "1", result: {} })),
  ],
  [
    "a second request with an open id is dropped, and does not count",
    ["tools/call write 4 ms not sent"],
    (it) =>
      it.line(CALL).after(4).line({ ...CALL, method: "ping" })
        .tick(toClient({ id: 1, result: {} })),
  ],
  [
    "a batch",
    ["ping 1 ms not sent", "tools/call write 1 ms not sent"],
    (it) =>
      it.line(`[${textOf({ id: 2, method: "ping" })},${textOf(CALL)}]`)
        .after(1).tick(
          toClient({ id: 2, result: {} }),
          toClient({ id: 1, result: {} }),
        ),
  ],
  [
    "a subscription that the daemon cancels; a request of the daemon is none",
    ["subscriptions/listen cancelled 1 ms not sent"],
    (it) =>
      it.line({ id: 1, method: "subscriptions/listen", params: {} })
        .line({ id: 2, method: "tools/list" }).after(1)
        .tick(...[1, 2].map((requestId) =>
          toClient({ method: "notifications/cancelled", params: { requestId } })
        )),
  ],
  [
    "answers to nothing, empty lines and what is no JSON are ignored",
    [],
    (it) =>
      it.tick(toClient({ id: 9, result: {} })).line("").line("{").line("[]")
        .line({ method: "notifications/cancelled", params: {} })
        .play({ type: "line-too-long", bytes: 5, head: "", tail: "" })
        .play({ type: "content-length" } as SessionEvent),
  ],
];

for (const [what, ends, play] of OPERATIONS) {
  test(`Operations: ${what}`, () => {
    assertEquals(play(new Player()).ended.ends, ends);
  });
}

test("Figures: bytes are those of UTF-8, in all four directions", () => {
  const counter = new MessageCounter(NO_REDACTION);
  const player = new Player(counter);
  player.line('{"a":"\u00e9"}', toDaemon("12345"));
  player.frame("\u20ac", toClient('{"b":1}'));
  player.play({ type: "binary", connectionId: 7, bytes: 10 });
  player.play({ type: "line-too-long", bytes: 100, head: "", tail: "" });
  assertEquals(counter.snapshot().bytes, {
    ...{ fromClient: 110, toDaemon: 5, fromDaemon: 13, toClient: 7 },
  });
});

test("Figures: a duration is in the first bucket whose bound it does not exceed", () => {
  const seconds = [0, 0.01, 0.010_1, 0.02, 1, 299, 300, 300.1, 1e9];
  assertEquals(seconds.map(bucketOf), [0, 0, 1, 1, 6, 13, 13, 14, 14]);
});

test("Figures: operations with the same attributes are counted together, on both sides", () => {
  const counter = new MessageCounter(NO_REDACTION);
  const player = new Player(counter);
  for (const ms of [5, 15]) {
    player.line(CALL).after(1).tick(toDaemon(CALL, "1")).after(ms)
      .tick(toClient({ id: 1, result: {} }));
  }
  player.line({ id: 2, method: "ping" }, toClient({ id: 2, result: {} }));
  const { operations } = counter.snapshot();
  assertEquals(
    operations.map(({ side, method, name, buckets, sum }) => [
      ...[side, method, name, buckets.slice(0, 3)],
      Math.round(1000 * sum),
    ]),
    [
      ["server", "tools/call", "write", [1, 1, 0], 22],
      ["client", "tools/call", "write", [1, 1, 0], 20],
      ["server", "ping", undefined, [1, 0, 0], 0],
    ],
  );
});

test("Figures: after 200 tools, other tools have one name; methods, codes and versions are bounded, too", () => {
  const counter = new MessageCounter(NO_REDACTION);
  const player = new Player(counter);
  for (let i = 0; i < 300; i++) {
    const id = i;
    player.line(
      { id, method: "tools/call", params: { name: `tool-${i}` } },
      toClient({ id, result: {} }),
    );
    player.line({ id, method: `method-${i}` }, toClient({ id, result: {} }));
    player.line(
      { id, method: "ping" },
      toClient({ id, error: { code: i, message: "m" } }),
    );
    player.line({
      ...{ id, method: "ping" },
      params: {
        _meta: { "io.modelcontextprotocol/protocolVersion": `v${i}` },
      },
    }, toClient({ id, result: {} }));
  }
  const { operations } = counter.snapshot();
  const count = (get: (it: typeof operations[number]) => unknown): number =>
    new Set(operations.map(get).filter((it) => it !== undefined)).size;
  assertEquals(count(({ name }) => name), 201);
  assertEquals(count(({ method }) => method), 51);
  assertEquals(count(({ errorType }) => errorType), 51);
  assertEquals(count(({ protocolVersion }) => protocolVersion), 11);
  const total = operations.flatMap(({ buckets }) => buckets)
    .reduce((sum, it) => sum + it, 0);
  assertEquals(total, 1_200, "nothing is lost");
  const others = operations.find(({ name }) => name === OTHER);
  assertEquals(others?.buckets[0], 100);
});

test("Figures: an empty name is none, and half of a surrogate pair is replaced", () => {
  const counter = new MessageCounter(NO_REDACTION);
  const player = new Player(counter);
  for (const name of ["", undefined, "\ud800", "\udfff"]) {
    player.line(
      { id: 1, method: "tools/call", params: { name } },
      toClient({ id: 1, result: {} }),
    );
  }
  assertEquals(
    counter.snapshot().operations.map(({ name, buckets }) => [
      name,
      buckets[0],
    ]),
    [[undefined, 2], ["\ufffd", 2]],
  );
});

test("Figures: long methods and versions are cut, like long names", () => {
  const counter = new MessageCounter(NO_REDACTION);
  const long = "x".repeat(1_000_000);
  new Player(counter).line({
    ...{ id: 1, method: long },
    params: { _meta: { "io.modelcontextprotocol/protocolVersion": long } },
  }, toClient({ id: 1, result: {} })).line(
    { id: 1, method: "tools/call", params: { name: long } },
    toClient({ id: 1, result: {} }),
  );
  assertEquals(JSON.stringify(counter.snapshot()).length < 1_000, true);
});

test("Figures: above the limit of combinations, a success is no error", () => {
  const counter = new MessageCounter(NO_REDACTION);
  const player = new Player(counter);
  for (let i = 0; i < 60; i++) {
    for (let code = 0; code < 20; code++) {
      player.line(
        { id: 1, method: "tools/call", params: { name: `tool-${i}` } },
        toClient({ id: 1, error: { code, message: "m" } }),
      );
    }
  }
  player.line({ id: 1, method: "ping" }, toClient({ id: 1, result: {} }));
  const ok = counter.snapshot().operations
    .filter(({ errorType }) => errorType === undefined);
  assertEquals(ok.map(({ method, buckets }) => [method, buckets[0]]), [
    [OTHER, 1],
  ]);
});

test("Figures: combinations of attributes are bounded, and nothing is lost", () => {
  const counter = new MessageCounter(NO_REDACTION);
  const player = new Player(counter);
  for (let i = 0; i < 150; i++) {
    for (let code = 0; code < 20; code++) {
      player.line(
        { id: 1, method: "tools/call", params: { name: `tool-${i}` } },
        toClient({ id: 1, error: { code, message: "m" } }),
      );
    }
  }
  const { operations } = counter.snapshot();
  assertEquals(operations.length, 1_001);
  const last = operations.at(-1)!;
  assertEquals([last.method, last.buckets[0]], [OTHER, 2_000]);
  assertEquals(JSON.stringify(counter.snapshot()).length < 400_000, true);
});

/** Returns the log lines of messages, in order. */
function linesOf(play: (player: Player) => Player): string[] {
  const lines: LogEffect[] = [];
  play(new Player(new MessageLog((line) => lines.push(line), NO_REDACTION)));
  assertEquals(
    lines.every(({ level, event }) => level === "debug" && event === "message"),
    true,
  );
  return lines.map(({ message }) => message);
}

test("Message log: shows direction, kind, method, id, size and time of every message, and no body", () => {
  const secret = { arguments: { password: "hunter2" }, name: "write" };
  const call = { ...CALL, params: secret };
  const lines = linesOf((it) =>
    it.line(call, toDaemon(call, "1")).after(12)
      .frame(
        { id: 1, result: { text: "hunter2" } },
        toClient({ id: 1, result: { text: "hunter2" } }),
      )
      .frame({ method: "notifications/progress", params: { a: "hunter2" } })
      .frame({ id: 1, method: "sampling/createMessage", params: "hunter2" })
      .line({ id: 1, result: "hunter2" })
      .tick(toClient({ id: 8, error: { code: -31001, message: "hunter2" } }))
      .play({ type: "binary", connectionId: 7, bytes: 10 })
      .frame({ op: "list_tools", x: "hunter2" })
      .frame("no JSON: hunter2")
  );
  assertEquals(lines, [
    "From the client: request tools/call, id 1, 107 bytes.",
    "To the daemon: request tools/call, id 1, 107 bytes, connection 7.",
    "From the daemon: response tools/call, id 1, 52 bytes, after 12 ms, connection 7.",
    "To the client: response tools/call, id 1, 52 bytes, after 12 ms.",
    "From the daemon: notification notifications/progress, 76 bytes, connection 7.",
    "From the daemon: request sampling/createMessage, id 1, 77 bytes, connection 7.",
    "From the client: response, id 1, 43 bytes.",
    "To the client: response, id 8, error -31001, 68 bytes.",
    "From the daemon: message, 10 bytes, not read, connection 7.",
    "From the daemon: frame list_tools, 49 bytes, connection 7.",
    "From the daemon: invalid message, 16 bytes, connection 7.",
  ]);
});

test("Message log: a batch has a line for each message; long words are cut", () => {
  const long = "x".repeat(500);
  const lines = linesOf((it) =>
    it.line(
      `[${textOf({ id: 1, method: "ping" })},${textOf({ method: long })}]`,
    )
  );
  assertEquals(lines.length, 2);
  assertEquals(
    lines[0],
    "From the client: request ping, id 1, part of 572 bytes.",
  );
  assertEquals(lines[1]!.length < 150, true);
});

const ERROR_LEVELS = [
  "debug",
  "info",
  "notice",
  "warning",
  "error",
  "critical",
];

test("Warnings for the client: by the level that it has set and the daemon has accepted", () => {
  const wanted = ERROR_LEVELS.map((level) => {
    const log = new ClientLog(NO_REDACTION);
    const player = new Player(log);
    assertEquals(
      log.notificationFor({ level: "error", message: "m" }),
      undefined,
    );
    const set = { id: 1, method: "logging/setLevel", params: { level } };
    player.line({ ...set, id: 2 }).line(set, toClient({ id: 1, result: {} }));
    return (["debug", "info", "warn", "error"] as const).map((own) =>
      log.notificationFor({ level: own, message: "m" }) !== undefined
    );
  });
  const both = [false, false, true, true];
  assertEquals(wanted, [
    ...[both, both, both, both],
    [false, false, false, true],
    [false, false, false, false],
  ]);
});

test("Warnings for the client: many open requests have a level", () => {
  const log = new ClientLog(NO_REDACTION);
  const player = new Player(log);
  const _meta = { "io.modelcontextprotocol/logLevel": "info" };
  for (let id = 0; id < 200_000; id++) {
    player.line({ id, method: "tools/call", params: { _meta } });
  }
  assertEquals(
    typeof log.notificationFor({ level: "warn", message: "m" }),
    "string",
  );
});

test("Warnings for the client: a level that the daemon refuses does not count", () => {
  const log = new ClientLog(NO_REDACTION);
  const error = { code: -32601, message: "no such method" };
  new Player(log).line(
    { id: 1, method: "logging/setLevel", params: { level: "debug" } },
    toClient({ id: 1, error }),
  ).line(
    { id: 2, method: "logging/setLevel", params: { level: "loud" } },
    toClient({ id: 2, result: {} }),
  );
  assertEquals(
    log.notificationFor({ level: "error", message: "m" }),
    undefined,
  );
});

test("Warnings for the client: while a request is open that names a level (MCP 2026-07-28)", () => {
  const log = new ClientLog(NO_REDACTION);
  const player = new Player(log);
  player.line({
    ...{ id: 1, method: "tools/call" },
    params: { _meta: { "io.modelcontextprotocol/logLevel": "info" } },
  });
  assertEquals(
    JSON.parse(log.notificationFor({ level: "warn", message: "m" })!),
    {
      jsonrpc: "2.0",
      method: "notifications/message",
      params: { level: "warning", logger: "alwaysup", data: "m" },
    },
  );
  player.tick(toClient({ id: 1, result: {} }));
  assertEquals(log.notificationFor({ level: "warn", message: "m" }), undefined);
});

test("Telemetry: a secret in a word of a peer is removed before the word is cut", () => {
  const secret = "s3cret-token-of-some-length";
  const redact = createRedactor([secret]);
  const counter = new MessageCounter(redact);
  const lines: string[] = [];
  const log = new MessageLog(({ message }) => lines.push(message), redact);
  const clientLog = new ClientLog(redact);
  const word = "x".repeat(70) + secret;
  new Player(counter, log, clientLog).line({
    ...{ id: word, method: "tools/call" },
    params: {
      name: word,
      _meta: {
        "io.modelcontextprotocol/protocolVersion": secret,
        "io.modelcontextprotocol/logLevel": "info",
      },
    },
  }).line({ id: 2, method: word }, toClient({ id: 2, result: {} }));
  const warning = clientLog.notificationFor({ level: "warn", message: word });
  const all = [JSON.stringify(counter.snapshot()), ...lines, warning].join();
  assertEquals(/s3c/.test(all), false, all);
});
