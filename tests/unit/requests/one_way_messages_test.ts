/**
 * Messages without a response, and when the daemon has received them.
 *
 * @module
 */

import { OneWayMessages } from "../../../lib/requests/one_way_messages.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

const TAKEN: [what: string, events: string, isTaken: boolean][] = [
  ["nothing was sent", "", true],
  ["nothing is answered", "wrote 1", false],
  ["a later request is answered", "wrote 1, answered 2", true],
  ["an earlier request is answered", "wrote 2, answered 1", false],
  [
    "an earlier request is answered after a later one",
    "wrote 2, answered 3, answered 1",
    true,
  ],
  ["something was sent since", "wrote 1, answered 2, wrote 3", false],
  ["the connection is lost", "wrote 1, lost", true],
];
for (const [what, events, isTaken] of TAKEN) {
  test(`One-way messages: ${isTaken ? "taken" : "may not be taken"} where ${what}`, () => {
    const oneWay = new OneWayMessages();
    oneWay.onWrite(2, 9); // another connection
    for (const event of events.split(", ")) {
      const [name, place] = event.split(" ");
      if (name === "wrote") oneWay.onWrite(1, Number(place));
      if (name === "answered") oneWay.onResponse(1, Number(place));
      if (name === "lost") oneWay.onDisconnect(1);
    }
    assertEquals([oneWay.isAllReceived(1), oneWay.isAllReceived(2)], [
      isTaken,
      false,
    ]);
  });
}
