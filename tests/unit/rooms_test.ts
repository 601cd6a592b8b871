import { assert, assertEquals } from "../helpers/assert.ts";
import { Asked } from "../../lib/requests/server_requests.ts";
import { Catalog } from "../../lib/session/known_lists.ts";
import { Hints } from "../../lib/requests/tool_hints.ts";
import { read } from "../../lib/protocol/envelope.ts";
import type { Request } from "../../lib/protocol/jsonrpc.ts";
import { limitsOf } from "../../lib/requests/timeouts.ts";
import { Ledger } from "../../lib/requests/tracker.ts";
import { isSafe } from "../../lib/protocol/methods.ts";
import { DEFAULTS } from "../helpers/session/session_driver.ts";
import { request } from "../helpers/parsed_request.ts";
import { test } from "../helpers/no_permissions.ts";

/** Opens an account under limits that a test may set. */
function add(
  ledger: Ledger,
  message: Request,
  now: number,
  limits = DEFAULTS,
): void {
  ledger.add(message, limitsOf(message, limits), now);
}

const REPEATABLE: [request: Request, safe: boolean][] = [
  [request("1", "ping"), true],
  [request("1", "tools/list"), true],
  [request("1", "resources/read"), true],
  [request("1", "logging/setLevel"), true],
  [request("1", "completion/complete"), true],
  [request("1", "tasks/result"), true],
  [request("1", "tasks/cancel"), false],
  [request("1", "vendor/method"), false],
  [request("1", "tools/call", '{"name":"hinted"}'), true],
  [request("1", "tools/call", '{"name":"plain"}'), false],
  [request("1", "tools/call", '{"name":"hinted","task":{}}'), false],
  [request("1", "tools/call", '{"name":7}'), false],
  [request("1", "tools/call", "[]"), false],
];

for (const [message, safe] of REPEATABLE) {
  test(`Idempotent methods: ${message.method} ${JSON.stringify(message.params)}`, () => {
    assertEquals(isSafe(message, (name) => name === "hinted"), safe);
  });
}

test("Request tracker: distinguishes ids by type and value", () => {
  const ledger = new Ledger(DEFAULTS);
  const ids = ["0", '"0"', "1", '"1"', "-1", '""'];
  for (const id of ids) add(ledger, request(id, "ping"), 0);
  assertEquals(ledger.owed, ids.length);
  for (const id of ids) ledger.sent(id, 1, 0);
  for (const id of ids) assertEquals(ledger.settle(id, 1)?.key, id);
  assertEquals(ledger.owed, 0);
});

test("Request tracker: a response counts only on the connection that its request went to", () => {
  const ledger = new Ledger(DEFAULTS);
  add(ledger, request("1", "ping"), 0);
  assertEquals(ledger.settle("1", 1), undefined, "it was not even sent");
  ledger.sent("1", 1, 0);
  assertEquals(ledger.settle("1", 2), undefined);
  assertEquals(ledger.settle("1", 1)?.key, "1");
  assertEquals(ledger.settle("1", 1), undefined, "once");
});

test("Request tracker: a request that is sent again keeps its place in the order", () => {
  const ledger = new Ledger(DEFAULTS);
  for (const id of ["1", "2", "3"]) add(ledger, request(id, "ping"), 0);
  ledger.sent("1", 7, 0);
  ledger.sent("2", 7, 0);
  assertEquals(ledger.inFlight(7), 2);
  ledger.lost(7, 0, () => "again");
  assertEquals([...ledger.queue()].map(({ key }) => key), ["1", "2", "3"]);
  assertEquals([ledger.inFlight(7), ledger.owed], [0, 3]);
});

test("Request tracker: deadline() is the moment at which something expires", () => {
  const limits = { ...DEFAULTS, requestTimeout: 60_000, idleTimeout: 10_000 };
  const ledger = new Ledger(limits);
  add(ledger, request("1", "ping"), 100, limits);
  ledger.updateWaits(100, () => false);
  assertEquals(ledger.deadline(), 45_100);
  assertEquals(ledger.expire(45_099), []);
  ledger.sent("1", 1, 200);
  assertEquals(ledger.deadline(), 10_200);
  ledger.progress(undefined, 1, 1, 5_000);
  assertEquals(ledger.expire(10_200)[0]?.expiry, "idle");
  assertEquals([ledger.owed, ledger.deadline()], [0, Infinity]);
  add(ledger, request("2", "ping"), 0, limits);
  ledger.sent("2", 1, 55_000);
  assertEquals(ledger.expire(60_000)[0]?.expiry, "total");
});

test("Request tracker: progress moves the idle deadline, never the total one", () => {
  const limits = { ...DEFAULTS, requestTimeout: 25_000, idleTimeout: 10_000 };
  const ledger = new Ledger(limits);
  add(ledger, request("1", "x", '{"_meta":{"progressToken":0}}'), 0, limits);
  ledger.sent("1", 1, 0);
  assertEquals(ledger.progress("0", 1, 1, 9_000), true);
  assertEquals(ledger.progress("0", 1, 1, 18_000), true, "a sign of life");
  assertEquals(ledger.progress('"0"', 2, 1, 18_000), false, "another token");
  assertEquals(ledger.progress("0", 2, 2, 18_000), false, "another link");
  assertEquals(ledger.progress("0", "3", 1, 18_000), false, "no number");
  assertEquals(ledger.expire(24_999), []);
  assertEquals(ledger.expire(25_000)[0]?.expiry, "total");
});

test("Request tracker: the queue timeout is the sum of all waits for a connection", () => {
  const ledger = new Ledger(DEFAULTS);
  add(ledger, request("1", "ping"), 0);
  ledger.updateNewWaits(0, () => false);
  ledger.updateWaits(20_000, () => true);
  assertEquals(ledger.expire(45_000), [], "a link is ready");
  ledger.updateWaits(100_000, () => false);
  ledger.updateWaits(105_000, () => true);
  ledger.sent("1", 1, 110_000);
  ledger.lost(1, 200_000, () => "again");
  ledger.updateNewWaits(200_000, () => false);
  assertEquals(ledger.expire(219_999), []);
  assertEquals(ledger.deadline(), 220_000);
  assertEquals(ledger.expire(220_000)[0]?.expiry, "unavailable");
});

test("Request tracker: the request that opens the connection waits until the link is ready", () => {
  const ledger = new Ledger(DEFAULTS);
  add(ledger, request("1", "initialize"), 0);
  ledger.updateWaits(0, () => false);
  ledger.greeted("1", 1, 10_000);
  ledger.lost(1, 20_000, () => "again");
  ledger.updateNewWaits(20_000, () => false);
  ledger.greeted("1", 2, 21_000);
  assertEquals(ledger.expire(44_999), []);
  assertEquals(ledger.expire(45_000)[0]?.expiry, "unavailable");
});

test("Request tracker: time asleep is no wait for a connection", () => {
  const ledger = new Ledger(DEFAULTS);
  add(ledger, request("1", "ping"), 0);
  ledger.updateWaits(0, () => false);
  ledger.shift(1_000_000);
  // Whatever comes, each is looked at anew.
  add(ledger, request("2", "ping"), 1_010_000);
  ledger.updateWaits(1_010_000, () => false);
  assertEquals(ledger.expire(1_044_999), []);
  assertEquals(ledger.expire(1_045_000)[0]?.expiry, "unavailable");
});

test("Request tracker: an id stays in use until its late response came, or its connection is lost", () => {
  const ledger = new Ledger(DEFAULTS);
  const give = (id: string, epoch: number): void =>
    ledger.awaitLateAnswer(
      { message: request(id, "x"), number: 1 },
      epoch,
      0,
      0,
    );
  give("1", 7);
  give("1", 8);
  assertEquals([ledger.late.has("1"), ledger.late.has('"1"')], [
    true,
    false,
  ]);
  ledger.late.came("1", 7);
  assertEquals(ledger.late.has("1"), true, "on the other link");
  ledger.lost(8, 0, () => "again");
  assertEquals(ledger.late.has("1"), false);
  for (let id = 0; id <= 1_000; id++) give(`${id}`, 7);
  assertEquals([ledger.late.has("0"), ledger.late.has("1")], [
    false,
    true,
  ]);
});

test("Request tracker: the queue is limited in number and size, and sending makes room", () => {
  const ledger = new Ledger({ ...DEFAULTS, queueLimit: 2 });
  const message = request("1", "ping");
  add(ledger, message, 0);
  add(ledger, request("2", "ping"), 0);
  assertEquals(ledger.isFull(message), true);
  ledger.sent("1", 1, 0);
  assertEquals(ledger.isFull(message), false);
  const large = new Ledger(DEFAULTS);
  const half = `{"x":"${"x".repeat(32 * 1024 * 1024)}"}`;
  add(large, request("1", "x", half), 0);
  assertEquals(large.isFull(message), false);
  assertEquals(large.isFull(request("2", "x", half)), true);
});

function toolsPage(names: string[], nextCursor?: string): unknown {
  return {
    tools: names.map((name) => ({ name })),
    ...(nextCursor !== undefined && { nextCursor }),
  };
}

const COMPARED: [
  what: string,
  told: unknown[],
  now: unknown[],
  kind: string,
][] = [
  ["the same", [toolsPage(["a", "b"])], [toolsPage(["a", "b"])], "same"],
  ["another order", [toolsPage(["a", "b"])], [toolsPage(["b", "a"])], "same"],
  ["one more", [toolsPage(["a"])], [toolsPage(["a", "b"])], "changed"],
  ["one less", [toolsPage(["a", "b"])], [toolsPage(["a"])], "changed"],
  ["another", [toolsPage(["a"])], [toolsPage(["b"])], "changed"],
  ["none left", [toolsPage(["a"])], [toolsPage([])], "changed"],
  ["other pages", [toolsPage(["a"], "2"), toolsPage(["b"])], [
    toolsPage(["a", "b"]),
  ], "same"],
  [
    "a cursor that is none",
    [{ tools: [1], nextCursor: null }],
    [toolsPage([])],
    "changed",
  ],
  ["half of it seen", [toolsPage(["a"], "2")], [toolsPage(["a", "b"])], "same"],
  [
    "half of it seen, and gone",
    [toolsPage(["a"], "2")],
    [toolsPage(["b"])],
    "changed",
  ],
  ["a result that is none", [toolsPage(["a"])], [null], "changed"],
];

for (const [what, told, now, kind] of COMPARED) {
  test(`Known lists: compared with the new ones: ${what}`, () => {
    const catalog = new Catalog();
    told.forEach((result, i) =>
      catalog.told("tools", i === 0 ? undefined : "2", result)
    );
    const found = now.map((result, i) =>
      catalog.compare("tools", i === 0 ? undefined : "2", result)
    );
    assertEquals(found.at(-1)?.kind, kind);
  });
}

test("Known lists: a list that the client never saw has not changed", () => {
  const catalog = new Catalog();
  assertEquals(
    catalog.compare("tools", undefined, toolsPage(["a"])).kind,
    "same",
  );
  assertEquals(catalog.known(), []);
});

test("Known lists: the comparison stops after 100 pages", () => {
  const catalog = new Catalog();
  catalog.told("tools", undefined, toolsPage(["a"]));
  let pages = 1;
  let found = catalog.compare("tools", undefined, toolsPage(["b"], "0"));
  while (found.kind === "more" && pages < 1000) {
    const { cursor } = found;
    found = catalog.compare("tools", cursor, toolsPage(["b"], `${pages++}`));
  }
  assertEquals(found.kind, "same");
  assert(pages <= 100);
});

/** Cursors that do not advance: what the daemon names as the next for the one it was asked with, and how many pages are asked for. */
const CURSORS: [
  what: string,
  next: (cursor: string | undefined) => string,
  pages: number,
][] = [
  ["always the same", () => "again", 2],
  ["always empty", () => "", 2],
  ["its own, once it has one", (cursor) => cursor ?? "first", 2],
  ["two that take turns", (cursor) => cursor === "x" ? "y" : "x", 3],
  [
    "empty, then one that stays",
    (cursor) => cursor === undefined ? "" : "x",
    3,
  ],
];
for (const [what, next, most] of CURSORS) {
  for (
    const [now, kind] of [[["a"], "same"], [["a", "b"], "changed"]] as const
  ) {
    test(`Known lists: a cursor that does not advance ends the list: ${what}, ${kind}`, () => {
      const catalog = new Catalog();
      catalog.told("tools", undefined, toolsPage(["a"], next(undefined)));
      let pages = 1;
      let found = catalog.compare(
        "tools",
        undefined,
        toolsPage([...now], next(undefined)),
      );
      while (found.kind === "more") {
        const { cursor } = found;
        pages++;
        found = catalog.compare(
          "tools",
          cursor,
          toolsPage([...now], next(cursor)),
        );
      }
      assertEquals([found.kind, pages], [kind, most]);
    });
  }
}

test("Known lists: a page that the client requested twice counts once", () => {
  const catalog = new Catalog();
  catalog.told("tools", undefined, toolsPage(["a"], "2"));
  catalog.told("tools", "2", toolsPage(["b"]));
  catalog.told("tools", "2", toolsPage(["b"]));
  const found = catalog.compare("tools", undefined, toolsPage(["a", "b"]));
  assertEquals(found.kind, "same");
});

test("Tool hints: only annotations make a tool repeatable, and the newest ones count", () => {
  const hints = new Hints();
  const told = (annotations: unknown): boolean => {
    hints.learn(1, undefined, { tools: [{ name: "t", annotations }] });
    return hints.isRepeatable("t");
  };
  assertEquals(told({ readOnlyHint: true }), true);
  assertEquals(told({ idempotentHint: true }), true);
  assertEquals(told({ readOnlyHint: "true" }), false);
  assertEquals(told({ destructiveHint: false }), false);
  assertEquals(told(undefined), false);
  assertEquals(hints.isRepeatable("unknown"), false);
});

const READ_ONLY = { readOnlyHint: true };

test("Tool hints: each connection has its own list", () => {
  const hints = new Hints();
  const list = (epoch: number, annotations: unknown): void =>
    hints.learn(epoch, undefined, { tools: [{ name: "t", annotations }] });
  list(1, READ_ONLY);
  assertEquals([1, 2].map((epoch) => hints.answer(epoch, "t")), [
    "repeatable",
    "unknown",
  ]);
  list(2, {});
  assertEquals([1, 2].map((epoch) => hints.answer(epoch, "t")), [
    "repeatable",
    "once",
  ]);
  assertEquals(hints.isRepeatable("t"), false, "the newest");
  hints.lost(1);
  assertEquals(hints.answer(1, "t"), "unknown");
});

test("Tool hints: a tool that is not in the complete list is not repeatable", () => {
  const hints = new Hints();
  const annotations = READ_ONLY;
  const page = (names: string[], nextCursor?: string): unknown => ({
    tools: names.map((name) => ({ name, annotations })),
    ...(nextCursor !== undefined && { nextCursor }),
  });
  hints.learn(1, "late", page(["a"]));
  assertEquals(hints.answer(1, "t"), "unknown", "the first page is missing");
  hints.learn(1, undefined, page(["a"], "2"));
  assertEquals(hints.answer(1, "t"), "unknown");
  hints.learn(1, "2", page(["b"]));
  assertEquals([hints.answer(1, "t"), hints.answer(1, "b")], [
    "once",
    "repeatable",
  ]);
  for (const junk of [null, {}, { tools: 7 }, { tools: [7, { name: 7 }] }]) {
    hints.learn(2, undefined, junk);
  }
  assertEquals(hints.answer(2, "t"), "once", "there is none");
});

test("Server requests: equal ids from two connections stay apart", () => {
  const asked = new Asked();
  const question = request("0", "roots/list", '{"_meta":{"progressToken":0}}');
  const [old, young] = [1, 2].map((epoch) =>
    JSON.parse(asked.ask(epoch, question))
  );
  assertEquals(old.id === young.id, false);
  assertEquals(young.params._meta.progressToken, young.id);
  assertEquals(asked.lost(1), [JSON.stringify(old.id)]);
  const answer = (id: unknown): unknown => {
    const text = `{"jsonrpc":"2.0","id":${
      JSON.stringify(id)
    },"result":{"n":1.0}}`;
    const [message] = read(text);
    return message?.kind === "answer" && asked.answer(message.id, text);
  };
  assertEquals(answer(old.id), undefined, "its daemon is gone");
  assertEquals(answer(young.id), {
    epoch: 2,
    text: '{"jsonrpc":"2.0","id":0,"result":{"n":1.0}}',
  });
  assertEquals(answer(young.id), undefined, "once");
  assertEquals(answer(0), undefined);
});
