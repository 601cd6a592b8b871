/**
 * The daemon's requests to the client: their ids, and where the responses go.
 *
 * @module
 */

import { read } from "../../../lib/protocol/envelope.ts";
import { Asked } from "../../../lib/requests/server_requests.ts";
import { assert, assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { request } from "../../helpers/parsed_request.ts";
import { restart } from "../../helpers/session/outage.ts";
import { Scene } from "../../helpers/session/session_driver.ts";

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

test("Server requests: have an id for each connection, and the response goes to the right one", () => {
  const scene = new Scene();
  scene.start();
  scene.daemon({ id: 0, method: "elicitation/create", params: { n: 1 } });
  const [first] = scene.replies();
  assertEquals(first.params, { n: 1 });
  restart(scene);
  assertEquals(
    scene.replies().map(({ method, params }) => [method, params?.requestId]),
    [],
  );
  scene.take();
  scene.daemon({ id: 0, method: "elicitation/create", params: { n: 2 } });
  const [second] = scene.replies();
  assert(first.id !== second.id);
  scene.take();
  scene.client({ id: first.id, result: { n: "old" } });
  assertEquals(scene.written(), [], "an answer to a daemon that is gone");
  scene.client({ id: second.id, result: { n: "new" } });
  assertEquals(scene.written(), [{
    jsonrpc: "2.0",
    id: 0,
    result: { n: "new" },
  }]);
});

test("Server requests: cancelled at the client when the connection is lost", () => {
  const scene = new Scene();
  scene.start();
  scene.daemon({ id: 0, method: "sampling/createMessage" });
  const [{ id }] = scene.replies();
  scene.take();
  scene.close();
  const [{ method, params }] = scene.replies();
  assertEquals([method, params.requestId], ["notifications/cancelled", id]);
});

test("Server requests: a cancellation by the daemon reaches the client under the id that it knows", () => {
  const scene = new Scene();
  scene.start();
  scene.daemon({ id: 0, method: "sampling/createMessage" });
  const [{ id }] = scene.replies();
  scene.take();
  const cancel = (requestId: unknown): void =>
    scene.daemon({ method: "notifications/cancelled", params: { requestId } });
  cancel(0);
  cancel(0);
  cancel("0");
  assertEquals(scene.replies().map(({ params }) => params.requestId), [id]);
});

test("Server requests: the client's progress reaches the daemon with its own token", () => {
  const scene = new Scene();
  scene.start();
  const params = { _meta: { progressToken: 3 } };
  scene.daemon({ id: 0, method: "sampling/createMessage", params });
  const [asked] = scene.replies();
  const { progressToken } = asked.params._meta;
  scene.take();
  scene.client({
    method: "notifications/progress",
    params: { progressToken, progress: 1 },
  });
  assertEquals(scene.written()[0].params, { progressToken: 3, progress: 1 });
});

test("Server requests: a malformed one is answered with an error", () => {
  const scene = new Scene();
  scene.start();
  scene.daemon({ id: 5, method: 7 });
  assertEquals(scene.replies(), []);
  assertEquals(scene.written().map(({ id, error }) => [id, error.code]), [
    [5, -32600],
  ]);
});

test("Server requests: at most a thousand are open", () => {
  const scene = new Scene();
  scene.start();
  for (let id = 0; id <= 1_000; id++) scene.daemon({ id, method: "ping" });
  assertEquals(scene.replies().length, 1_000);
  assertEquals(scene.written().map(({ id, error }) => [id, error.code]), [
    [1_000, -31004],
  ]);
});

test("Server requests: an invalid response of the client becomes an error for the daemon", () => {
  const scene = new Scene();
  scene.start();
  scene.daemon({ id: 9, method: "roots/list" });
  const [{ id }] = scene.replies();
  scene.client({ id, error: "no" });
  assertEquals(scene.written().map(({ id, error }) => [id, error.code]), [
    [9, -32603],
  ]);
});
