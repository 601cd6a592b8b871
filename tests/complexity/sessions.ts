/**
 * Sessions with much to do at once, to measure how their time grows.
 *
 * @module
 */

import type { SessionConfig } from "../../lib/session/session_config.ts";
import type { MeasuredCase } from "./measure.ts";
import { ExaiDriver } from "../helpers/session/exai_driver.ts";
import { type Json, SessionDriver } from "../helpers/session/session_driver.ts";

/** Returns the ids from 1 to `size`. */
function idsUpTo(size: number): number[] {
  return Array.from({ length: size }, (_, i) => i + 1);
}

/** Returns a message as a line. */
function asLine(message: Json): string {
  return JSON.stringify({ jsonrpc: "2.0", ...message });
}

const NO_QUEUE_LIMIT = { queueLimit: Infinity };

/** Returns a session whose daemon does not listen. */
function daemonAway(
  config: Partial<SessionConfig> = NO_QUEUE_LIMIT,
): SessionDriver {
  const driver = new SessionDriver(config);
  driver.failDial();
  return driver;
}

/** Returns a session that has initialized, and whose daemon answers probes. */
function connected(): SessionDriver {
  const driver = new SessionDriver(NO_QUEUE_LIMIT);
  driver.connect();
  driver.fromClient({ id: "first", method: "resources/list" });
  driver.answerProbe();
  driver.fromDaemon({ id: "first", result: { resources: [] } });
  driver.takeEffects();
  return driver;
}

function listTools(driver: SessionDriver): void {
  driver.request("tools", "tools/list");
  const tool = { name: "t", inputSchema: { type: "object" } };
  const result = { tools: [{ ...tool, annotations: { readOnlyHint: true } }] };
  driver.fromDaemon({ id: "tools", result });
  driver.takeEffects();
}

/** Sends calls, all of which reach the daemon. */
function startCalls(driver: SessionDriver, size: number): void {
  for (const id of idsUpTo(size)) driver.callTool(id, "t");
  driver.answerProbe();
  driver.takeEffects();
}

/**
 * Lets the client write lines, and reads the session's deadline after each of
 * them.
 */
function writeLines(
  driver: SessionDriver,
  size: number,
  message: (id: number) => Json,
  ms: number = 1,
): void {
  for (const id of idsUpTo(size)) {
    driver.now += ms;
    driver.fromClient(message(id));
    driver.session.deadline();
  }
}

const callMessage = (id: number): Json => ({
  id,
  method: "tools/call",
  params: { name: "t" },
});
const notificationMessage = (id: number): Json => ({
  method: "notifications/x",
  params: { id },
});
const callWithToken = (id: number): Json => ({
  id,
  method: "tools/call",
  params: { name: "t", _meta: { progressToken: id } },
});

/** Prepares the restoring of resource subscriptions on a new connection. */
function restoreSubscriptions(
  size: number,
  inOrder: (requests: readonly Json[]) => readonly Json[],
): () => void {
  const driver = connected();
  for (const id of idsUpTo(size)) {
    driver.request(id, "resources/subscribe", { uri: `file:///${id}` });
    driver.fromDaemon({ id, result: {} });
  }
  driver.close();
  driver.advance(1_000);
  driver.takeEffects();
  return () => {
    driver.reconnect();
    const requests = driver.sentToDaemon()
      .filter(({ method }) => method === "resources/subscribe");
    for (const { id } of inOrder(requests)) {
      driver.fromDaemon({ id, result: {} });
    }
  };
}

/** Answers calls as an exai daemon, one by one, until none is left. */
function answerCalls(
  driver: ExaiDriver,
  first: readonly Json[],
  answer: (call: Json) => Json,
): void {
  const waiting = [...first];
  for (let call = waiting.shift(); call !== undefined; call = waiting.shift()) {
    if (call.op !== "call_tool") continue;
    driver.frameFromDaemon(answer(call), call.connectionId);
    waiting.push(...driver.takeFrames());
  }
}

/** Prepares calls that wait for an exai daemon. The run lets it answer them. */
function answerPooledCalls(
  size: number,
  answer: (call: Json) => Json,
): () => void {
  const driver = new ExaiDriver(NO_QUEUE_LIMIT);
  driver.failDial();
  writeLines(driver, size, callMessage);
  driver.advance(1_000);
  driver.takeEffects();
  return () => {
    const { connectionId } = driver;
    const frames = driver.openAndAcknowledgeHello();
    for (let next = connectionId + 1; next <= driver.connectionId; next++) {
      frames.push(...driver.openAndAcknowledgeHello(next));
    }
    answerCalls(driver, frames, answer);
  };
}

const RESULT = { op: "call_tool_res", outputs: [{ type: "text", text: "x" }] };
const OVER_CAPACITY = {
  code: "OVER_CAPACITY",
  retry_after: 1,
  message: "full",
};

export const SESSION_CASES: readonly MeasuredCase[] = [
  {
    name: "session, daemon away: new calls",
    size: 1000,
    prepareRun: (size) => {
      const driver = daemonAway();
      return () => writeLines(driver, size, callMessage);
    },
  },
  {
    name: "session, connection open: notifications before the handshake",
    size: 500,
    prepareRun: (size) => {
      const driver = new SessionDriver(NO_QUEUE_LIMIT);
      driver.open();
      return () => writeLines(driver, size, notificationMessage);
    },
  },
  {
    name:
      "session, daemon away: progress of waiting calls, each at its own moment",
    size: 300,
    prepareRun: (size) => {
      const driver = daemonAway({
        ...NO_QUEUE_LIMIT,
        queueTimeout: 10_000_000,
      });
      // When all calls have had a notice, the first one is due for its next.
      const ms = 4_000 / size;
      writeLines(driver, size, callWithToken, ms);
      driver.takeEffects();
      return () => {
        for (let i = 0; i < size; i++) {
          driver.now += ms;
          driver.handle({ type: "tick" });
        }
      };
    },
  },
  {
    name: "session, daemon away: calls time out, each at its own moment",
    size: 500,
    prepareRun: (size) => {
      const driver = daemonAway({
        ...NO_QUEUE_LIMIT,
        queueTimeout: 10_000_000,
      });
      writeLines(driver, size, callMessage);
      driver.now = 10_000_000;
      driver.takeEffects();
      return () => {
        for (let i = 0; i < size; i++) {
          driver.now += 1;
          driver.handle({ type: "tick" });
        }
      };
    },
  },
  {
    name: "session, a full queue: notifications and calls are refused",
    size: 500,
    prepareRun: (size) => {
      // The limit grows, too, because the cost of a line must not depend on it.
      const driver = daemonAway({ queueLimit: size });
      writeLines(driver, size, callMessage);
      driver.takeEffects();
      return () => {
        writeLines(driver, size, notificationMessage);
        writeLines(driver, size, (id) => callMessage(id + size));
      };
    },
  },
  {
    name: "session, daemon away: one batch of calls",
    size: 500,
    prepareRun: (size) => {
      const driver = daemonAway();
      const text = `[${
        idsUpTo(size).map((id) => asLine(callMessage(id))).join(",")
      }]`;
      return () => driver.fromClient(text);
    },
  },
  {
    name:
      "session, daemon back: queued calls are sent, and answered one by one",
    size: 500,
    prepareRun: (size) => {
      const driver = connected();
      driver.close();
      writeLines(
        driver,
        size,
        (id) => id % 2 ? callMessage(id) : notificationMessage(id),
      );
      driver.advance(1_000);
      return () => {
        driver.reconnect();
        driver.answerProbe();
        for (const id of idsUpTo(size)) {
          if (id % 2) driver.fromDaemon({ id, result: {} });
        }
      };
    },
  },
  {
    name: "session, exai daemon away: new calls",
    size: 500,
    prepareRun: (size) => {
      const driver = new ExaiDriver(NO_QUEUE_LIMIT);
      driver.failDial();
      return () => writeLines(driver, size, callMessage);
    },
  },
  {
    name: "session, exai daemon back: calls are answered one by one",
    size: 500,
    prepareRun: (size) =>
      answerPooledCalls(size, ({ request_id }) => ({ ...RESULT, request_id })),
  },
  {
    name: "session, exai daemon back: all calls get OVER_CAPACITY",
    size: 300,
    prepareRun: (size) =>
      answerPooledCalls(
        size,
        ({ request_id }) => ({
          op: "call_tool_res",
          request_id,
          error: OVER_CAPACITY,
        }),
      ),
  },
  {
    name: "session: calls in flight are answered in one batch",
    size: 500,
    prepareRun: (size) => {
      const driver = connected();
      startCalls(driver, size);
      const answers = idsUpTo(size).map((id) => asLine({ id, result: {} }));
      const text = `[${answers.toReversed().join(",")}]`;
      return () => driver.fromDaemon(text);
    },
  },
  {
    name: "session: a connection with calls in flight is lost, and they fail",
    size: 500,
    prepareRun: (size) => {
      const driver = connected();
      startCalls(driver, size);
      return () => driver.close();
    },
  },
  {
    name:
      "session: a connection with calls in flight is lost, and these and new calls wait for the list of tools",
    size: 300,
    prepareRun: (size) => {
      const driver = connected();
      listTools(driver);
      startCalls(driver, size);
      return () => {
        driver.close();
        driver.advance(1_000);
        driver.reconnect();
        driver.answerProbe();
        writeLines(driver, size, (id) => callMessage(id + size));
        for (const id of idsUpTo(size)) {
          driver.fromDaemon({ id: id + size, result: {} });
        }
      };
    },
  },
  {
    name: "session: calls in flight report progress",
    size: 500,
    prepareRun: (size) => {
      const driver = connected();
      for (const id of idsUpTo(size)) driver.fromClient(callWithToken(id));
      driver.answerProbe();
      driver.takeEffects();
      return () => {
        for (const progressToken of idsUpTo(size)) {
          driver.now += 1;
          const params = { progressToken, progress: 1 };
          driver.fromDaemon({ method: "notifications/progress", params });
        }
      };
    },
  },
  {
    name: "session: calls in flight are cancelled one by one",
    size: 1000,
    prepareRun: (size) => {
      const driver = connected();
      startCalls(driver, size);
      return () => {
        for (const requestId of idsUpTo(size)) {
          const params = { requestId };
          driver.fromClient({ method: "notifications/cancelled", params });
        }
      };
    },
  },
  {
    name: "session: the client's pings in flight are answered one by one",
    size: 800,
    prepareRun: (size) => {
      const driver = connected();
      for (const id of idsUpTo(size)) driver.request(id, "ping");
      driver.takeEffects();
      return () => {
        for (const id of idsUpTo(size)) driver.fromDaemon({ id, result: {} });
      };
    },
  },
  {
    name:
      "session: the client leaves, and calls in flight are answered one by one",
    size: 500,
    prepareRun: (size) => {
      const driver = connected();
      startCalls(driver, size);
      driver.end();
      return () => {
        for (const id of idsUpTo(size)) driver.fromDaemon({ id, result: {} });
      };
    },
  },
  {
    name: "session: subscriptions end one by one",
    size: 600,
    prepareRun: (size) => {
      const driver = connected();
      return () => {
        for (const id of idsUpTo(size)) {
          driver.request(id, "subscriptions/listen", { notifications: {} });
        }
        for (const id of idsUpTo(size)) driver.fromDaemon({ id, result: {} });
        driver.advance(2_000);
      };
    },
  },
  {
    name: "session: the daemon ends subscriptions, each at its own moment",
    size: 300,
    prepareRun: (size) => {
      const driver = connected();
      for (const id of idsUpTo(size)) {
        driver.request(id, "subscriptions/listen", { notifications: {} });
      }
      driver.takeEffects();
      return () => {
        for (const requestId of idsUpTo(size)) {
          driver.now += 1 / 16;
          const params = { requestId };
          driver.fromDaemon({ method: "notifications/cancelled", params });
        }
        driver.advance(2_000);
      };
    },
  },
  {
    name:
      "session: subscriptions to resources are restored, and the daemon answers one by one",
    size: 600,
    prepareRun: (size) => restoreSubscriptions(size, (answers) => answers),
  },
  {
    name:
      "session: subscriptions to resources are restored, and the daemon answers from the last to the first",
    size: 600,
    prepareRun: (size) =>
      restoreSubscriptions(size, (answers) => answers.toReversed()),
  },
  {
    name: "session: lists that the cache can answer wait for the daemon",
    size: 500,
    prepareRun: (size) => {
      const cachedResults = {
        initialize: {},
        lists: { "tools/list": '{"tools":[{"name":"t"}]}' },
      };
      const driver = new SessionDriver({ ...NO_QUEUE_LIMIT, cachedResults });
      return () => {
        writeLines(driver, size, (id) => ({ id, method: "tools/list" }));
        driver.advance(10_000);
      };
    },
  },
  {
    name: "session: invalid responses",
    size: 300,
    prepareRun: (size) => {
      const driver = connected();
      listTools(driver);
      startCalls(driver, size);
      return () => {
        for (const id of idsUpTo(size)) {
          driver.now += 1 / 16;
          driver.fromDaemon(`{"jsonrpc":"1.0","id":${id},"result":{}}`);
        }
        driver.advance(10_000);
      };
    },
  },
  {
    name: "session: errors without an id while calls are in flight",
    size: 500,
    prepareRun: (size) => {
      const driver = connected();
      startCalls(driver, size);
      const error = { code: -32600, message: "no" };
      return () => {
        for (let i = 0; i < size; i++) driver.fromDaemon({ id: null, error });
      };
    },
  },
  {
    name: "session: requests of the daemon, and their cancellation",
    size: 500,
    prepareRun: (size) => {
      const driver = connected();
      return () => {
        for (const id of idsUpTo(size)) {
          driver.fromDaemon({ id, method: "roots/list" });
          const params = { requestId: id };
          driver.fromDaemon({ method: "notifications/cancelled", params });
        }
      };
    },
  },
];
