/**
 * How long a call may take: the table of providers, and what comes first.
 *
 * @module
 */

import { read } from "../../../lib/protocol/envelope.ts";
import type { Request } from "../../../lib/protocol/jsonrpc.ts";
import {
  limitsOf,
  type Provider,
  providersOf,
} from "../../../lib/requests/timeouts.ts";
import { assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { ExaiScene } from "../../helpers/session/exai_driver.ts";
import {
  DEFAULTS,
  type Json,
  Scene,
} from "../../helpers/session/session_driver.ts";

function call(name: Json, model?: Json, method = "tools/call"): Request {
  const params = { name, arguments: { model } };
  const [message] = read(JSON.stringify({ id: 1, method, params }));
  return { ...message, kind: "request", id: "1", method, params } as Request;
}

const PROVIDERS: Provider[] = ["GLM", "KIMI", "GPT", "GPT_MINI", "OPEN_AI"]
  .map((name) => ({ name, total: 1, idle: Infinity }));

const BELONGS: [name: Json, model: Json, provider: string | undefined][] = [
  ["glm_web_search", undefined, "GLM"],
  ["glm-chat", undefined, "GLM"],
  ["GLM_CHAT", undefined, "GLM"],
  ["zhipu", undefined, "GLM"],
  ["zhipuai_search", undefined, "GLM"],
  ["kimi_chat_with_tools", undefined, "KIMI"],
  ["moonshot", undefined, "KIMI"],
  ["moonshotai_chat", undefined, "KIMI"],
  ["glmfoo", undefined, undefined],
  ["kimifoo", undefined, undefined],
  ["chat", undefined, undefined],
  ["my_glm_chat", undefined, undefined],
  ["chat", "glm-4.6", "GLM"],
  ["chat", "GLM-4.5-Flash", "GLM"],
  ["chat", "kimi-k2-0905-preview", "KIMI"],
  ["chat", "moonshot-v1-8k", "KIMI"],
  ["kimi_chat_with_tools", "glm-4.6", "GLM"],
  ["kimi_chat_with_tools", "auto", "KIMI"],
  ["glm_chat", 7, "GLM"],
  ["glm_chat", null, "GLM"],
  [7, "kimi", "KIMI"],
  ["chat", "gpt-4o", "GPT"],
  ["chat", "gpt4o", "GPT"],
  ["chat", "gpt-mini-2", "GPT_MINI"],
  ["open-ai_chat", undefined, "OPEN_AI"],
  ["open_ai", undefined, "OPEN_AI"],
];

for (const [name, model, provider] of BELONGS) {
  test(`Providers: ${name} with model ${model} belongs to ${provider}`, () => {
    const [found] = providersOf(call(name, model), PROVIDERS);
    assertEquals(found?.name, provider);
  });
}

test("Providers: only tools/call belongs to one", () => {
  const prompt = call("glm_prompt", "glm-4.6", "prompts/get");
  assertEquals(providersOf(prompt, PROVIDERS), []);
});

const glm = (total: number, idle = Infinity): Provider[] => [
  { name: "GLM", total, idle },
];

const PRECEDENCE: [
  what: string,
  config: Parameters<typeof limitsOf>[1],
  total: [string, number] | undefined,
  idle: [string, number],
][] = [
  [
    "nothing but the general idle limit",
    {
      requestTimeout: Infinity,
      idleTimeout: 600,
      providers: glm(Infinity),
    },
    undefined,
    ["--idle-timeout", 600],
  ],
  [
    "the provider's before the general one, although it is longer",
    { requestTimeout: 5, idleTimeout: 600, providers: glm(300) },
    ["GLM_STREAM_TIMEOUT", 300],
    ["--idle-timeout", 600],
  ],
  [
    "the general one where the provider's is off",
    { requestTimeout: 5, idleTimeout: 600, providers: glm(Infinity) },
    ["--request-timeout", 5],
    ["--idle-timeout", 600],
  ],
  [
    "the provider's idle limit beside the general total",
    { requestTimeout: 5, idleTimeout: 600, providers: glm(Infinity, 7) },
    ["--request-timeout", 5],
    ["GLM_STREAM_IDLE_TIMEOUT", 7],
  ],
];

for (const [what, config, total, idle] of PRECEDENCE) {
  test(`Timeouts: ${what}`, () => {
    const found = limitsOf(call("glm_chat"), config);
    const pair = found.total && [found.total.setting, found.total.ms];
    assertEquals(pair, total);
    assertEquals([found.idle.setting, found.idle.ms], idle);
  });
}

test("Timeouts: each one is that of the longest provider name that sets it", () => {
  const providers = [
    { name: "GLM", total: 300, idle: Infinity },
    { name: "GLM_AIR", total: Infinity, idle: 7 },
  ];
  const config = { requestTimeout: Infinity, idleTimeout: 600, providers };
  const { total, idle } = limitsOf(call("glm-air_chat"), config);
  assertEquals([total?.ms, idle.ms], [300, 7]);
});

test("Timeouts: a provider's timeout holds only for its own calls", () => {
  const providers = [
    { name: "GLM", total: 300, idle: 5 },
    { name: "KIMI", total: Infinity, idle: Infinity },
    { name: "CLAUDE", total: Infinity, idle: 7 },
  ];
  const config = { requestTimeout: Infinity, idleTimeout: 600, providers };
  const kimi = limitsOf(call("glm_chat", "kimi-k2"), config);
  assertEquals([kimi.total?.ms, kimi.idle.ms], [undefined, 600]);
  const claude = limitsOf(call("glm_chat", "claude-3"), config);
  assertEquals([claude.total?.ms, claude.idle.ms], [undefined, 7]);
});

test("Timeouts: an error names the setting and its exact value", () => {
  for (
    const [ms, text] of [[1, "0.001 s"], [2_250, "2.25 s"], [
      300,
      "0.3 s",
    ]] as const
  ) {
    const scene = new Scene({ requestTimeout: ms });
    scene.start();
    scene.call(1, "write");
    scene.pass(ms);
    const { error } = scene.replies().at(-1);
    assertMatch(error.message, new RegExp(`--request-timeout is ${text}; `));
  }
});

/** A daemon that knows who calls, and a client that asked for progress. */
function ready(config: Partial<typeof DEFAULTS> = {}): Scene {
  const scene = new Scene(config);
  scene.start();
  return scene;
}

test("Timeouts: a provider's limit counts from the arrival of the request, and progress does not move it", () => {
  const scene = ready();
  scene.close();
  scene.call(1, "glm_chat", { progressToken: "t" });
  scene.untilDial();
  const start = scene.now;
  scene.pass(10_000);
  scene.again();
  const { epoch } = scene;
  for (let n = 1; n < 29; n++) {
    scene.pass(10_000);
    const params = { progressToken: "t", progress: n };
    scene.daemon({ method: "notifications/progress", params }, epoch);
  }
  scene.take();
  scene.pass(9_999 - start);
  assertEquals(scene.replies(), []);
  scene.pass(1);
  const [{ error }] = scene.replies();
  assertEquals([scene.now, error.code], [300_000, -31003]);
  assertMatch(
    error.message,
    /timed out after 300\.0 s \(GLM_STREAM_TIMEOUT is 300\.0 s; last progress of 28 9\.8 s before\)/,
  );
  const [cancel] = scene.sent().filter(({ method }) => method !== "ping");
  assertEquals(cancel.method, "notifications/cancelled");
  assertEquals(cancel.params.requestId, 1);
  assertMatch(cancel.params.reason, /GLM_STREAM_TIMEOUT/);
  scene.take();
  scene.daemon({ id: 1, result: { late: true } });
  assertEquals(scene.replies(), [], "a late answer is dropped");
});

test("Timeouts: progress moves a provider's idle limit", () => {
  const providers = [{ name: "GLM", total: Infinity, idle: 8_000 }];
  const scene = ready({ providers });
  scene.call(1, "chat");
  scene.call(2, "glm_chat", { progressToken: 2 });
  scene.pass(7_000);
  const params = { progressToken: 2, progress: 1 };
  scene.daemon({ method: "notifications/progress", params });
  scene.take();
  scene.pass(7_999);
  assertEquals(scene.replies(), []);
  scene.pass(1);
  const [{ id, error }] = scene.replies();
  assertEquals(id, 2);
  assertMatch(
    error.message,
    /GLM_STREAM_IDLE_TIMEOUT is 8\.0 s; last progress/,
  );
});

test("Timeouts: the limit of an exai daemon never moves a provider's limit", () => {
  const scene = new ExaiScene();
  scene.greet();
  const { request_id } = scene.running(1, "kimi_chat");
  scene.say({ op: "call_tool_ack", request_id, timeout: 67 });
  for (let s = 0; s < 599; s++) {
    scene.pass(1_000);
    scene.say({ op: "progress", request_id });
  }
  assertEquals(scene.answers(), []);
  scene.pass(1_000);
  assertEquals(scene.answers(), [[1, -31003]]);
  assertMatch(scene.replies()[0].error.message, /KIMI_STREAM_TIMEOUT/);
});
