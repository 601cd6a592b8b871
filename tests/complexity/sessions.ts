/**
 * Sessions with much to do at once, for the measurement of how their time grows.
 *
 * @module
 */

import type { SessionConfig } from "../../lib/session/context.ts";
import type { Reader } from "./measure.ts";
import { ExaiScene } from "../helpers/session/exai_driver.ts";
import { type Json, Scene } from "../helpers/session/session_driver.ts";

/** So many ids. */
function ids(size: number): number[] {
  return Array.from({ length: size }, (_, i) => i + 1);
}

/** A message as a line. */
function line(message: Json): string {
  return JSON.stringify({ jsonrpc: "2.0", ...message });
}

const OFF = { queueLimit: Infinity };

/** A daemon that does not listen. */
function down(config: Partial<SessionConfig> = OFF): Scene {
  const scene = new Scene(config);
  scene.refuse();
  return scene;
}

/** A scene with a client that has said hello, and a daemon that answers probes. */
function up(config: Partial<SessionConfig> = OFF): Scene {
  const scene = new Scene(config);
  scene.start();
  scene.client({ id: "first", method: "resources/list" });
  scene.pong();
  scene.daemon({ id: "first", result: { resources: [] } });
  scene.take();
  return scene;
}

function tools(scene: Scene, hints: Json = { readOnlyHint: true }): void {
  scene.ask("tools", "tools/list");
  const tool = { name: "t", inputSchema: { type: "object" } };
  const result = { tools: [{ ...tool, annotations: hints }] };
  scene.daemon({ id: "tools", result });
  scene.take();
}

/** Calls that the daemon has, all of them. */
function inFlight(scene: Scene, size: number, method = "tools/call"): void {
  for (const id of ids(size)) scene.ask(id, method, { name: "t" });
  scene.pong();
  scene.take();
}

/** What a client with the daemon away writes, and one look a line. */
function writes(
  scene: Scene,
  size: number,
  of: (id: number) => Json,
  ms: number = 1,
): void {
  for (const id of ids(size)) {
    scene.now += ms;
    scene.client(of(id));
    scene.session.deadline();
  }
}

const call = (id: number): Json => ({
  id,
  method: "tools/call",
  params: { name: "t" },
});
const told = (id: number): Json => ({
  method: "notifications/x",
  params: { id },
});
const tracked = (id: number): Json => ({
  id,
  method: "tools/call",
  params: { name: "t", _meta: { progressToken: id } },
});

/** Subscriptions to resources are set again on a new connection. */
function restored(
  size: number,
  inOrder: (asked: readonly Json[]) => readonly Json[],
): () => void {
  const scene = up();
  for (const id of ids(size)) {
    scene.ask(id, "resources/subscribe", { uri: `file:///${id}` });
    scene.daemon({ id, result: {} });
  }
  scene.close();
  scene.pass(1_000);
  scene.take();
  return () => {
    scene.again();
    const asked = scene.sent()
      .filter(({ method }) => method === "resources/subscribe");
    for (const { id } of inOrder(asked)) scene.daemon({ id, result: {} });
  };
}

/** An exai daemon answers calls, each on the link that carries it, until none is left. */
function answered(
  scene: ExaiScene,
  first: readonly Json[],
  answer: (call: Json) => Json,
): void {
  const waiting = [...first];
  for (let call = waiting.shift(); call !== undefined; call = waiting.shift()) {
    if (call.op !== "call_tool") continue;
    scene.say(answer(call), call.epoch);
    waiting.push(...scene.frames());
  }
}

/** Calls wait for an exai daemon, which then answers one after another. */
function pooled(size: number, answer: (call: Json) => Json): () => void {
  const scene = new ExaiScene(OFF);
  scene.refuse();
  writes(scene, size, call);
  scene.pass(1_000);
  scene.take();
  return () => {
    const { epoch } = scene;
    const frames = scene.greet();
    for (let next = epoch + 1; next <= scene.epoch; next++) {
      frames.push(...scene.greet(next));
    }
    answered(scene, frames, answer);
  };
}

const RESULT = { op: "call_tool_res", outputs: [{ type: "text", text: "x" }] };
const OVER = { code: "OVER_CAPACITY", retry_after: 1, message: "full" };

/** The sessions. */
export const SESSIONS: readonly Reader[] = [
  {
    name: "session, daemon away: new calls",
    size: 1000,
    prepare: (size) => {
      const scene = down();
      return () => writes(scene, size, call);
    },
  },
  {
    name: "session, daemon away: notifications before the handshake",
    size: 500,
    prepare: (size) => {
      const scene = new Scene(OFF);
      scene.open();
      return () => writes(scene, size, told);
    },
  },
  {
    name:
      "session, daemon away: wait progress of calls, each at its own moment",
    size: 300,
    prepare: (size) => {
      const scene = down({ ...OFF, queueTimeout: 10_000_000 });
      // The first is told again when all were told.
      const ms = 4_000 / size;
      writes(scene, size, tracked, ms);
      scene.take();
      return () => {
        for (let i = 0; i < size; i++) {
          scene.now += ms;
          scene.do({ type: "tick" });
        }
      };
    },
  },
  {
    name: "session, daemon away: calls time out, each at its own moment",
    size: 500,
    prepare: (size) => {
      const scene = down({ ...OFF, queueTimeout: 10_000_000 });
      writes(scene, size, call);
      scene.now = 10_000_000;
      scene.take();
      return () => {
        for (let i = 0; i < size; i++) {
          scene.now += 1;
          scene.do({ type: "tick" });
        }
      };
    },
  },
  {
    name: "session, a full queue: notifications and calls are refused",
    size: 500,
    prepare: (size) => {
      // The limit grows, too: what a line costs must not depend on it.
      const scene = down({ queueLimit: size });
      writes(scene, size, call);
      scene.take();
      return () => {
        writes(scene, size, told);
        writes(scene, size, (id) => call(id + size));
      };
    },
  },
  {
    name: "session, daemon away: one batch of calls",
    size: 500,
    prepare: (size) => {
      const scene = down();
      const text = `[${ids(size).map((id) => line(call(id))).join(",")}]`;
      return () => scene.client(text);
    },
  },
  {
    name:
      "session, daemon back: queued calls are sent, and answered one by one",
    size: 500,
    prepare: (size) => {
      const scene = up();
      scene.close();
      writes(scene, size, (id) => id % 2 ? call(id) : told(id));
      scene.pass(1_000);
      return () => {
        scene.again();
        scene.pong();
        for (const id of ids(size)) {
          if (id % 2) scene.daemon({ id, result: {} });
        }
      };
    },
  },
  {
    name: "session, exai daemon away: new calls",
    size: 500,
    prepare: (size) => {
      const scene = new ExaiScene(OFF);
      scene.refuse();
      return () => writes(scene, size, call);
    },
  },
  {
    name: "session, exai daemon back: calls are answered one by one",
    size: 500,
    prepare: (size) =>
      pooled(size, ({ request_id }) => ({ ...RESULT, request_id })),
  },
  {
    name: "session, exai daemon back: all calls get OVER_CAPACITY",
    size: 300,
    prepare: (size) =>
      pooled(
        size,
        ({ request_id }) => ({ op: "call_tool_res", request_id, error: OVER }),
      ),
  },
  {
    name: "session: calls in flight are answered in one batch",
    size: 500,
    prepare: (size) => {
      const scene = up();
      inFlight(scene, size);
      const answers = ids(size).map((id) => line({ id, result: {} }));
      const text = `[${answers.toReversed().join(",")}]`;
      return () => scene.daemon(text);
    },
  },
  {
    name: "session: a connection with calls in flight is lost, and they fail",
    size: 500,
    prepare: (size) => {
      const scene = up();
      inFlight(scene, size);
      return () => scene.close();
    },
  },
  {
    name:
      "session: a connection with calls in flight is lost, and they wait for the list of tools beside new ones",
    size: 300,
    prepare: (size) => {
      const scene = up();
      tools(scene);
      inFlight(scene, size);
      return () => {
        scene.close();
        scene.pass(1_000);
        scene.again();
        scene.pong();
        writes(scene, size, (id) => call(id + size));
        for (const id of ids(size)) {
          scene.daemon({ id: id + size, result: {} });
        }
      };
    },
  },
  {
    name: "session: calls in flight report progress",
    size: 500,
    prepare: (size) => {
      const scene = up();
      for (const id of ids(size)) scene.client(tracked(id));
      scene.pong();
      scene.take();
      return () => {
        for (const progressToken of ids(size)) {
          scene.now += 1;
          const params = { progressToken, progress: 1 };
          scene.daemon({ method: "notifications/progress", params });
        }
      };
    },
  },
  {
    name: "session: calls in flight are cancelled one by one",
    size: 1000,
    prepare: (size) => {
      const scene = up();
      inFlight(scene, size);
      return () => {
        for (const requestId of ids(size)) {
          const params = { requestId };
          scene.client({ method: "notifications/cancelled", params });
        }
      };
    },
  },
  {
    name: "session: the client's pings in flight are answered one by one",
    size: 800,
    prepare: (size) => {
      const scene = up();
      for (const id of ids(size)) scene.ask(id, "ping");
      scene.take();
      return () => {
        for (const id of ids(size)) scene.daemon({ id, result: {} });
      };
    },
  },
  {
    name:
      "session: the client leaves, and calls in flight are answered one by one",
    size: 500,
    prepare: (size) => {
      const scene = up();
      inFlight(scene, size);
      scene.end();
      return () => {
        for (const id of ids(size)) scene.daemon({ id, result: {} });
      };
    },
  },
  {
    name: "session: subscriptions end one by one",
    size: 600,
    prepare: (size) => {
      const scene = up();
      return () => {
        for (const id of ids(size)) {
          scene.ask(id, "subscriptions/listen", { notifications: {} });
        }
        for (const id of ids(size)) scene.daemon({ id, result: {} });
        scene.pass(2_000);
      };
    },
  },
  {
    name: "session: held ends of subscriptions, each at its own moment",
    size: 300,
    prepare: (size) => {
      const scene = up();
      for (const id of ids(size)) {
        scene.ask(id, "subscriptions/listen", { notifications: {} });
      }
      scene.take();
      return () => {
        for (const requestId of ids(size)) {
          scene.now += 1 / 16;
          const params = { requestId };
          scene.daemon({ method: "notifications/cancelled", params });
        }
        scene.pass(2_000);
      };
    },
  },
  {
    name:
      "session: subscriptions to resources are restored, and the daemon answers one by one",
    size: 600,
    prepare: (size) => restored(size, (answers) => answers),
  },
  {
    name:
      "session: subscriptions to resources are restored, and the daemon answers from the last to the first",
    size: 600,
    prepare: (size) => restored(size, (answers) => answers.toReversed()),
  },
  {
    name: "session: lists that the cache can answer wait for the daemon",
    size: 500,
    prepare: (size) => {
      const remembered = {
        initialize: {},
        lists: { "tools/list": '{"tools":[{"name":"t"}]}' },
      };
      const scene = new Scene({ ...OFF, remembered });
      return () => {
        writes(scene, size, (id) => ({ id, method: "tools/list" }));
        scene.pass(10_000);
      };
    },
  },
  {
    name: "session: invalid responses",
    size: 300,
    prepare: (size) => {
      const scene = up();
      tools(scene);
      inFlight(scene, size);
      return () => {
        for (const id of ids(size)) {
          scene.now += 1 / 16;
          scene.daemon(`{"jsonrpc":"1.0","id":${id},"result":{}}`);
        }
        scene.pass(10_000);
      };
    },
  },
  {
    name: "session: errors without an id while calls are in flight",
    size: 500,
    prepare: (size) => {
      const scene = up();
      inFlight(scene, size);
      const error = { code: -32600, message: "no" };
      return () => {
        for (let i = 0; i < size; i++) scene.daemon({ id: null, error });
      };
    },
  },
  {
    name: "session: requests of the daemon, and their cancellation",
    size: 500,
    prepare: (size) => {
      const scene = up();
      return () => {
        for (const id of ids(size)) {
          scene.daemon({ id, method: "roots/list" });
          const params = { requestId: id };
          scene.daemon({ method: "notifications/cancelled", params });
        }
      };
    },
  },
];
