/**
 * Tests the daemon's requests to the client: their ids, and which connection
 * gets the response.
 *
 * @module
 */

import { parseMessages } from "../../../lib/protocol/message_parser.ts";
import { ServerRequests } from "../../../lib/requests/server_requests.ts";
import { assert, assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { request } from "../../helpers/parsed_request.ts";
import { loseAndReconnect } from "../../helpers/session/outage.ts";
import { SessionDriver } from "../../helpers/session/session_driver.ts";

test("Server requests: equal ids from two connections are distinguished", () => {
  const forwarded = new ServerRequests();
  const serverRequest = request(
    "0",
    "roots/list",
    '{"_meta":{"progressToken":0}}',
  );
  const [old, young] = [1, 2].map((connectionId) =>
    JSON.parse(forwarded.forward(connectionId, serverRequest))
  );
  assertEquals(old.id === young.id, false);
  assertEquals(young.params._meta.progressToken, young.id);
  assertEquals(forwarded.onDisconnect(1), [JSON.stringify(old.id)]);
  const answer = (id: unknown): unknown => {
    const text = `{"jsonrpc":"2.0","id":${
      JSON.stringify(id)
    },"result":{"n":1.0}}`;
    const [message] = parseMessages(text);
    return message?.kind === "response" && forwarded.resolve(message.id, text);
  };
  assertEquals(answer(old.id), undefined, "its daemon is gone");
  assertEquals(answer(young.id), {
    connectionId: 2,
    text: '{"jsonrpc":"2.0","id":0,"result":{"n":1.0}}',
  });
  assertEquals(answer(young.id), undefined, "once");
  assertEquals(answer(0), undefined);
});

test("Server requests: get new ids on each connection, and each response goes to the right connection", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.fromDaemon({ id: 0, method: "elicitation/create", params: { n: 1 } });
  const [first] = driver.sentToClient();
  assertEquals(first.params, { n: 1 });
  loseAndReconnect(driver);
  assertEquals(
    driver.sentToClient().map((
      { method, params },
    ) => [method, params?.requestId]),
    [],
  );
  driver.takeEffects();
  driver.fromDaemon({ id: 0, method: "elicitation/create", params: { n: 2 } });
  const [second] = driver.sentToClient();
  assert(first.id !== second.id);
  driver.takeEffects();
  driver.fromClient({ id: first.id, result: { n: "old" } });
  assertEquals(
    driver.sentExceptProbes(),
    [],
    "a response to a daemon that is gone",
  );
  driver.fromClient({ id: second.id, result: { n: "new" } });
  assertEquals(driver.sentExceptProbes(), [{
    jsonrpc: "2.0",
    id: 0,
    result: { n: "new" },
  }]);
});

test("Server requests: cancelled at the client when the connection is lost", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.fromDaemon({ id: 0, method: "sampling/createMessage" });
  const [{ id }] = driver.sentToClient();
  driver.takeEffects();
  driver.close();
  const [{ method, params }] = driver.sentToClient();
  assertEquals([method, params.requestId], ["notifications/cancelled", id]);
});

test("Server requests: a cancellation by the daemon reaches the client with the id that the client got", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.fromDaemon({ id: 0, method: "sampling/createMessage" });
  const [{ id }] = driver.sentToClient();
  driver.takeEffects();
  const cancel = (requestId: unknown): void =>
    driver.fromDaemon({
      method: "notifications/cancelled",
      params: { requestId },
    });
  cancel(0);
  cancel(0);
  cancel("0");
  assertEquals(driver.sentToClient().map(({ params }) => params.requestId), [
    id,
  ]);
});

test("Server requests: the client's progress reaches the daemon with the daemon's token", () => {
  const driver = new SessionDriver();
  driver.connect();
  const params = { _meta: { progressToken: 3 } };
  driver.fromDaemon({ id: 0, method: "sampling/createMessage", params });
  const [forwarded] = driver.sentToClient();
  const { progressToken } = forwarded.params._meta;
  driver.takeEffects();
  driver.fromClient({
    method: "notifications/progress",
    params: { progressToken, progress: 1 },
  });
  assertEquals(driver.sentExceptProbes()[0].params, {
    progressToken: 3,
    progress: 1,
  });
});

test("Server requests: a malformed one is answered with an error", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.fromDaemon({ id: 5, method: 7 });
  assertEquals(driver.sentToClient(), []);
  assertEquals(
    driver.sentExceptProbes().map(({ id, error }) => [id, error.code]),
    [
      [5, -32600],
    ],
  );
});

test("Server requests: at most a thousand are open", () => {
  const driver = new SessionDriver();
  driver.connect();
  for (let id = 0; id <= 1_000; id++) driver.fromDaemon({ id, method: "ping" });
  assertEquals(driver.sentToClient().length, 1_000);
  assertEquals(
    driver.sentExceptProbes().map(({ id, error }) => [id, error.code]),
    [
      [1_000, -31004],
    ],
  );
});

test("Server requests: an invalid response of the client becomes an error for the daemon", () => {
  const driver = new SessionDriver();
  driver.connect();
  driver.fromDaemon({ id: 9, method: "roots/list" });
  const [{ id }] = driver.sentToClient();
  driver.fromClient({ id, error: "no" });
  assertEquals(
    driver.sentExceptProbes().map(({ id, error }) => [id, error.code]),
    [
      [9, -32603],
    ],
  );
});
