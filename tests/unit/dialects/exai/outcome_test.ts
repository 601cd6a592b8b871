/**
 * What becomes of an exai call whose connection is lost while it runs: the next
 * link says which process the daemon is.
 *
 * @module
 */

import type { SessionConfig } from "../../../../lib/session/context.ts";
import { assert, assertEquals, assertMatch } from "../../../helpers/assert.ts";
import { test } from "../../../helpers/no_permissions.ts";
import { ExaiScene } from "../../../helpers/session/exai_driver.ts";
import type { Json } from "../../../helpers/session/session_driver.ts";

/** A call has been running for a while, and every connection is lost. */
function lost(
  ageMs = 10_000,
  config: Partial<SessionConfig> = {},
): { scene: ExaiScene; call: Json } {
  const scene = new ExaiScene(config);
  scene.greet();
  const call = scene.running(1);
  scene.pass(ageMs);
  scene.close(1006, call.epoch);
  scene.close(1006, 1);
  scene.take();
  return { scene, call };
}

/** The main link is there again, and then a link of the pool; gives what is asked on it. */
function back(scene: ExaiScene): Json[] {
  scene.untilDial();
  scene.take();
  assertEquals(scene.greet(), [], "the main link has nothing to ask");
  return scene.greet();
}

test("exai outcome: from the same process, the same request is sent again and polled until there is a result", () => {
  const { scene, call } = lost();
  assertEquals(back(scene).map(({ op }) => op), ["health"]);
  const { epoch } = scene;
  scene.health(epoch, "0:00:11");
  const { epoch: _, ...again } = scene.frames()[0];
  const { epoch: __, ...first } = call;
  assertEquals(again, first);
  const note = "duplicate request; still processing";
  const { request_id } = call;
  for (const pause of [1_000, 2_000, 4_000, 5_000, 5_000]) {
    scene.say({ op: "progress", request_id, note });
    scene.pass(pause - 1);
    assertEquals(scene.frames().filter(({ op }) => op === "call_tool"), []);
    scene.pass(1);
    const polls = scene.frames().filter(({ op }) => op === "call_tool");
    assertEquals(polls.map(({ request_id }) => request_id), [request_id]);
  }
  scene.result({ request_id, epoch }, "done at last");
  assertEquals(scene.answers(), [[1, "done at last"]]);
});

test("exai outcome: from another process, nothing is sent and the outcome is unknown", () => {
  for (const uptime of ["0:00:09", "0:00:00"]) {
    const { scene } = lost();
    back(scene);
    scene.health(scene.epoch, uptime);
    assertEquals(scene.frames(), []);
    assertEquals(scene.answers(), [], "the look has taken them");
  }
  const { scene } = lost();
  back(scene);
  scene.health(scene.epoch, "0:00:02");
  assertEquals(scene.answers(), [[1, -31002]]);
});

test("exai outcome: from another process, --retry always executes the call anew", () => {
  const { scene, call } = lost(10_000, { retry: "always" });
  back(scene);
  scene.health(scene.epoch, "0:00:02");
  const [again] = scene.frames();
  assertEquals(again.name, call.name);
  assert(again.request_id !== call.request_id);
  scene.result(again, "new");
  assertEquals(scene.answers(), [[1, "new"]]);
});

const UNTOLD: [what: string, frame: Json][] = [
  ["no health op", { op: "error", message: "Unknown op: health" }],
  ["a bare error", { error: { code: "INVALID_REQUEST", message: "no" } }],
  ["an uptime that nobody can read", {
    op: "health_res",
    ok: true,
    health: { uptime_human: "ages" },
  }],
  ["no health in it", { op: "health_res", ok: true }],
  ["not ok", {
    op: "health_res",
    ok: false,
    health: { uptime_human: "9:00:00" },
  }],
];

for (const [what, frame] of UNTOLD) {
  test(`exai outcome: unknown where the daemon does not say which process it is: ${what}`, () => {
    const { scene } = lost();
    back(scene);
    scene.say(frame);
    assertEquals(scene.answers(), [[1, -31002]]);
    assertEquals(scene.frames(), []);
  });
}

test("exai outcome: unknown at once with a revision without health", () => {
  const scene = new ExaiScene();
  scene.greet(1, "editor-80000000-1");
  scene.call(1, "chat");
  scene.greet(2, "editor-80000000-2");
  scene.close(1006, 2);
  assertEquals(scene.answers(), [[1, -31002]]);
});

for (const timeout of [undefined, 67, 300]) {
  test(`exai outcome: 'still processing' is polled up to the daemon's limit and the grace: ${timeout}`, () => {
    const scene = new ExaiScene();
    scene.greet();
    const { request_id } = scene.running(1);
    scene.say({ op: "call_tool_ack", request_id, timeout });
    scene.pass(10_000);
    scene.close(1006, 2);
    scene.untilDial();
    assertEquals(scene.greet().map(({ op }) => op), ["health"]);
    scene.health(scene.epoch, "0:00:11");
    const note = "duplicate request; still processing";
    while (scene.replies().length === 0) {
      const poll = scene.frames().find(({ op }) => op === "call_tool");
      if (poll) scene.say({ op: "progress", request_id, note }, poll.epoch);
      scene.pass(500);
    }
    assertEquals(scene.answers(), [[1, -31003]]);
    const late = scene.now - ((timeout ?? 67) + 120) * 1000;
    assert(late >= 0 && late < 1_000, `${late}`);
    assertEquals(scene.replies()[0].error.data.delivered, "unknown");
  });
}

test("exai outcome: unknown after the queue timeout where the daemon does not come back", () => {
  const { scene } = lost();
  for (let dials = 0; scene.replies().length === 0; scene.pass(500)) {
    if (scene.dials.length > dials) scene.refuse();
    dials = scene.dials.length;
  }
  assertEquals(scene.answers(), [[1, -31002]]);
  assert(scene.now >= 55_000 && scene.now < 57_000, `${scene.now}`);
});

test("exai outcome: refused dials in between do not show another process", () => {
  const { scene, call } = lost();
  for (let i = 0; i < 5; i++) {
    scene.untilDial();
    scene.refuse();
  }
  scene.take();
  assertEquals(back(scene).map(({ op }) => op), ["health"]);
  scene.health(scene.epoch, "1 day, 0:00:01");
  assertEquals(scene.frames()[0].request_id, call.request_id);
});

test("exai outcome: a different start by the daemon's clock shows another process, whatever its uptime", () => {
  for (const [origin, isSame] of [[1_000, true], [1_005, false]] as const) {
    const scene = new ExaiScene();
    scene.greet();
    scene.pass(5_000);
    scene.health(1, "0:01:40", 1_100); // it began at 1000 by its own clock
    const call = scene.running(1);
    scene.pass(1_000);
    scene.close(1006, call.epoch);
    scene.close(1006, 1);
    scene.take();
    back(scene);
    scene.health(scene.epoch, "1:00:00", origin + 3_600);
    const sent = scene.frames().map(({ op }) => op);
    assertEquals(sent, isSame ? ["call_tool"] : []);
  }
});

test("exai outcome: a lost call comes before the queued calls, and does not hold them up", () => {
  const { scene, call } = lost();
  scene.call(2, "second");
  scene.call(3, "third");
  scene.untilDial();
  scene.take();
  scene.greet();
  const third = scene.epoch;
  const asked = scene.greet(third - 2);
  assertEquals(asked.map(({ op }) => op), ["health"]);
  const named = [third - 1, third].flatMap((epoch) => scene.greet(epoch));
  assertEquals(named.map(({ name }) => name), ["second", "third"]);
  scene.health(third - 2, "0:01:00");
  assertEquals(scene.frames()[0].request_id, call.request_id);
});

test("exai outcome: a call that is cancelled while it waits for its outcome is not polled", () => {
  const { scene } = lost(1_000, { pingInterval: Infinity });
  const params = { requestId: 1 };
  scene.client({ method: "notifications/cancelled", params });
  scene.untilDial();
  scene.take();
  assertEquals(scene.greet(), []);
  scene.pass(60_000);
  assertEquals(scene.dials.length, 3);
  assertEquals(scene.answers(), []);
});

test("exai outcome: unknown after a second lost connection", () => {
  const { scene } = lost();
  back(scene);
  scene.health(scene.epoch, "1:00:00");
  assertEquals(scene.frames().map(({ op }) => op), ["call_tool"]);
  scene.close();
  const [reply] = scene.replies();
  assertEquals(reply.error.code, -31002);
  assertMatch(reply.error.message, /2 lost connections/);
});

test("exai outcome: at the end of stdin a call that waits for its outcome fails with an unknown one", () => {
  const { scene } = lost();
  scene.end();
  scene.pass(1_500);
  assertEquals(scene.answers(), [[1, -31002]]);
});

test("exai outcome: unknown at once where the daemon refuses us now", () => {
  const { scene } = lost();
  scene.untilDial();
  scene.open();
  scene.say({ op: "hello_ack", ok: false, error: "unauthorized" });
  assertEquals(scene.answers(), [[1, -31002]]);
});

/** Both links are lost; the main one is back and the pool link has been greeted: health is asked. */
function relink(scene: ExaiScene, call: Json): void {
  scene.close(1006, call.epoch);
  scene.close(1006, 1);
  scene.untilDial();
  scene.take();
  scene.greet();
  scene.greet();
}

test("exai outcome: the stored result of a blocking call older than 187 s is fetched", () => {
  const scene = new ExaiScene();
  scene.greet();
  const call = scene.running(1); // blocking: neither progress nor ack
  scene.pass(190_000);
  relink(scene, call);
  scene.health(scene.epoch, "0:10:00");
  const [poll] = scene.frames();
  scene.pass(5); // a round trip
  scene.result(poll, "cached");
  assertEquals(scene.answers(), [[1, "cached"]]);
});

for (const pingInterval of [5_000, Infinity]) {
  test(`exai outcome: where health is never answered, the call ends by its own limit (ping ${pingInterval})`, () => {
    const scene = new ExaiScene({ pingInterval });
    scene.greet();
    const call = scene.running(1);
    scene.pass(1_000);
    scene.close(1006, call.epoch); // only this link; the main one stays
    const replies: Json[] = [];
    while (scene.now < 3_600_000) {
      for (const effect of scene.take()) {
        if (effect.type === "reply") replies.push(JSON.parse(effect.text));
        if (effect.type === "send" && effect.epoch === 1) {
          scene.health(1, "1:00:00");
        }
        if (effect.type !== "dial") continue;
        scene.open(effect.epoch);
        scene.say(
          { op: "hello_ack", ok: true, session_id: "theirs" },
          effect.epoch,
        );
      }
      scene.pass(250);
    }
    assertEquals(replies.length, 1);
  });
}

test("exai outcome: a call that is executed anew has the limit of its new ack", () => {
  const scene = new ExaiScene({ retry: "always" });
  scene.greet();
  const call = scene.running(1);
  scene.say({ op: "call_tool_ack", request_id: call.request_id, timeout: 67 });
  scene.pass(180_000);
  relink(scene, call);
  scene.health(scene.epoch, "0:00:01");
  const [{ request_id }] = scene.frames();
  scene.pass(70_000);
  scene.say({ op: "call_tool_ack", request_id, timeout: 67 });
  scene.pass(186_000);
  assertEquals(scene.answers(), []);
});

test("exai outcome: progress of a call that is executed anew goes on rising", () => {
  const scene = new ExaiScene({ retry: "always" });
  scene.greet();
  const call = scene.running(1, "chat", { progressToken: "t" });
  for (let t = 0; t < 3; t++) {
    scene.say({ op: "progress", request_id: call.request_id, t });
  }
  scene.pass(10_000);
  relink(scene, call);
  scene.health(scene.epoch, "0:00:01");
  const [{ request_id }] = scene.frames();
  scene.say({ op: "progress", request_id, t: 9 });
  assertEquals(scene.replies().map(({ params }) => params.progress), [4]);
});

test("exai outcome: a poll that gets OVER_CAPACITY was not executed, and is sent again under a new id", () => {
  const scene = new ExaiScene();
  scene.greet();
  const call = scene.running(1);
  relink(scene, call);
  scene.pass(1_000);
  scene.health(scene.epoch, "1:00:00");
  const [{ request_id }] = scene.frames();
  const error = { code: "OVER_CAPACITY", message: "full", retry_after: 1 };
  scene.say({ op: "call_tool_res", request_id, error });
  scene.pass(1_000);
  const again = scene.frames().filter(({ op }: Json) => op === "call_tool").at(
    -1,
  );
  assert(again.request_id !== request_id);
});
