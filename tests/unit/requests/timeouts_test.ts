/**
 * Tests how long a call may take: the table of providers, and which timeout
 * takes precedence.
 *
 * @module
 */

import { parseMessages } from "../../../lib/protocol/message_parser.ts";
import type { Request } from "../../../lib/protocol/jsonrpc.ts";
import {
  type Provider,
  type TimeoutConfig,
  TimeoutRules,
} from "../../../lib/requests/timeouts.ts";
import { assertEquals, assertMatch } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { ExaiDriver } from "../../helpers/session/exai_driver.ts";
import {
  DEFAULT_CONFIG,
  type Json,
  SessionDriver,
} from "../../helpers/session/session_driver.ts";

function call(name: Json, model?: Json, method = "tools/call"): Request {
  const params = { name, arguments: { model } };
  const [message] = parseMessages(JSON.stringify({ id: 1, method, params }));
  return { ...message, kind: "request", id: "1", method, params } as Request;
}

const PROVIDERS: Provider[] = ["GLM", "KIMI", "GPT", "GPT_MINI", "OPEN_AI"]
  .map((name) => ({ name, total: 1, idle: Infinity }));

/** Returns the setting of the total timeout, which names the provider. */
function settingOf(message: Request): string | undefined {
  const limits = { ...DEFAULT_CONFIG, requestTimeout: 2, providers: PROVIDERS };
  return new TimeoutRules(limits).timeoutsOf(message).total?.setting;
}

const PROVIDER_CASES: [
  name: Json,
  model: Json,
  provider: string | undefined,
][] = [
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

for (const [name, model, provider] of PROVIDER_CASES) {
  test(`Providers: ${name} with model ${model} belongs to ${provider}`, () => {
    const expected = provider === undefined
      ? "--request-timeout"
      : `${provider}_STREAM_TIMEOUT`;
    assertEquals(settingOf(call(name, model)), expected);
  });
}

test("Providers: only a tools/call belongs to a provider", () => {
  const prompt = call("glm_prompt", "glm-4.6", "prompts/get");
  assertEquals(settingOf(prompt), "--request-timeout");
});

const glm = (total: number, idle = Infinity): Provider[] => [
  { name: "GLM", total, idle },
];

const PRECEDENCE: [
  what: string,
  config: TimeoutConfig,
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
    "the provider's total timeout applies, although the general one is shorter",
    { requestTimeout: 5, idleTimeout: 600, providers: glm(300) },
    ["GLM_STREAM_TIMEOUT", 300],
    ["--idle-timeout", 600],
  ],
  [
    "the general total timeout applies if the provider's is off",
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
    const found = new TimeoutRules(config).timeoutsOf(call("glm_chat"));
    const pair = found.total && [found.total.setting, found.total.ms];
    assertEquals(pair, total);
    assertEquals([found.idle.setting, found.idle.ms], idle);
  });
}

test("Timeouts: each timeout comes from the longest matching provider name that sets it", () => {
  const providers = [
    { name: "GLM", total: 300, idle: Infinity },
    { name: "GLM_AIR", total: Infinity, idle: 7 },
  ];
  const config = { requestTimeout: Infinity, idleTimeout: 600, providers };
  const { total, idle } = new TimeoutRules(config).timeoutsOf(
    call("glm-air_chat"),
  );
  assertEquals([total?.ms, idle.ms], [300, 7]);
});

test("Timeouts: a provider's timeout applies only to its own calls", () => {
  const providers = [
    { name: "GLM", total: 300, idle: 5 },
    { name: "KIMI", total: Infinity, idle: Infinity },
    { name: "CLAUDE", total: Infinity, idle: 7 },
  ];
  const config = { requestTimeout: Infinity, idleTimeout: 600, providers };
  const kimi = new TimeoutRules(config).timeoutsOf(call("glm_chat", "kimi-k2"));
  assertEquals([kimi.total?.ms, kimi.idle.ms], [undefined, 600]);
  const claude = new TimeoutRules(config).timeoutsOf(
    call("glm_chat", "claude-3"),
  );
  assertEquals([claude.total?.ms, claude.idle.ms], [undefined, 7]);
});

test("Timeouts: an error names the setting and its exact value", () => {
  for (
    const [ms, text] of [[1, "0.001 s"], [2_250, "2.25 s"], [
      300,
      "0.3 s",
    ]] as const
  ) {
    const driver = new SessionDriver({ requestTimeout: ms });
    driver.connect();
    driver.callTool(1, "write");
    driver.advance(ms);
    const { error } = driver.sentToClient().at(-1);
    assertMatch(error.message, new RegExp(`--request-timeout is ${text}; `));
  }
});

function startSession(
  config: Partial<typeof DEFAULT_CONFIG> = {},
): SessionDriver {
  const driver = new SessionDriver(config);
  driver.connect();
  return driver;
}

test("Timeouts: a provider's total timeout starts at the arrival of the request, and progress does not postpone it", () => {
  const driver = startSession();
  driver.close();
  driver.callTool(1, "glm_chat", { progressToken: "t" });
  driver.advanceToNextDial();
  const start = driver.now;
  driver.advance(10_000);
  driver.reconnect();
  const { connectionId } = driver;
  for (let n = 1; n < 29; n++) {
    driver.advance(10_000);
    const params = { progressToken: "t", progress: n };
    driver.fromDaemon(
      { method: "notifications/progress", params },
      connectionId,
    );
  }
  driver.takeEffects();
  driver.advance(9_999 - start);
  assertEquals(driver.sentToClient(), []);
  driver.advance(1);
  const [{ error }] = driver.sentToClient();
  assertEquals([driver.now, error.code], [300_000, -31003]);
  assertMatch(
    error.message,
    /timed out after 300\.0 s \(GLM_STREAM_TIMEOUT is 300\.0 s; last progress \(28\) 9\.8 s ago\)/,
  );
  const [cancel] = driver.sentToDaemon().filter(({ method }) =>
    method !== "ping"
  );
  assertEquals(cancel.method, "notifications/cancelled");
  assertEquals(cancel.params.requestId, 1);
  assertMatch(cancel.params.reason, /GLM_STREAM_TIMEOUT/);
  driver.takeEffects();
  driver.fromDaemon({ id: 1, result: { late: true } });
  assertEquals(driver.sentToClient(), [], "a late response is dropped");
});

test("Timeouts: progress postpones a provider's idle timeout", () => {
  const providers = [{ name: "GLM", total: Infinity, idle: 8_000 }];
  const driver = startSession({ providers });
  driver.callTool(1, "chat");
  driver.callTool(2, "glm_chat", { progressToken: 2 });
  driver.advance(7_000);
  const params = { progressToken: 2, progress: 1 };
  driver.fromDaemon({ method: "notifications/progress", params });
  driver.takeEffects();
  driver.advance(7_999);
  assertEquals(driver.sentToClient(), []);
  driver.advance(1);
  const [{ id, error }] = driver.sentToClient();
  assertEquals(id, 2);
  assertMatch(
    error.message,
    /GLM_STREAM_IDLE_TIMEOUT is 8\.0 s; last progress/,
  );
});

test("Timeouts: the timeout of an exai daemon never changes a provider's timeout", () => {
  const driver = new ExaiDriver();
  driver.openAndAcknowledgeHello();
  const { request_id } = driver.startCall(1, "kimi_chat");
  driver.frameFromDaemon({ op: "call_tool_ack", request_id, timeout: 67 });
  for (let s = 0; s < 599; s++) {
    driver.advance(1_000);
    driver.frameFromDaemon({ op: "progress", request_id });
  }
  assertEquals(driver.responsesToClient(), []);
  driver.advance(1_000);
  assertEquals(driver.responsesToClient(), [[1, -31003]]);
  assertMatch(driver.sentToClient()[0].error.message, /KIMI_STREAM_TIMEOUT/);
});
