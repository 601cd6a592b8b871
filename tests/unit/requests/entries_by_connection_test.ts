/**
 * Requests by the connection on which they are in flight.
 *
 * @module
 */

import {
  EntriesByConnection,
  sortByArrival,
} from "../../../lib/requests/entries_by_connection.ts";
import { testEntry } from "../../helpers/test_entry.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

test("By link: counts requests and calls of each connection", () => {
  const links = new EntriesByConnection();
  const [call, ping, other] = [
    testEntry(1, "tools/call"),
    testEntry(2, "ping"),
    testEntry(3, "ping"),
  ];
  links.add(7, call!);
  links.add(7, ping!);
  links.add(8, other!);
  links.add(7, call!); // twice
  assertEquals([links.size, links.count(7), links.count(8)], [3, 2, 1]);
  assertEquals([7, 8, 9].map((it) => links.hasCall(it)), [true, false, false]);
  links.delete(8, call!); // not there
  links.delete(7, call!);
  links.delete(7, call!);
  assertEquals([links.count(7), links.hasCall(7)], [1, false]);
});

test("By link: gives the places of calls only", () => {
  const links = new EntriesByConnection();
  const methods = ["tools/call", "ping", "x", "server/discover"];
  for (const [i, method] of methods.entries()) {
    links.add(7, { ...testEntry(i, method), writeNumber: 10 + i });
  }
  assertEquals([...links.callWriteNumbers(7)], [10, 12]);
  assertEquals([...links.callWriteNumbers(8)], []);
});

test("By link: gives requests in the order in which they came, not in which they were sent", () => {
  const links = new EntriesByConnection();
  const all = [testEntry(3), testEntry(1), testEntry(2)];
  for (const it of all) links.add(7, it);
  assertEquals(
    [...links.entriesOn(7)].map(({ arrivalNumber }) => arrivalNumber),
    [3, 1, 2],
  );
  assertEquals(
    links.sortedEntriesOn(7).map(({ arrivalNumber }) => arrivalNumber),
    [1, 2, 3],
  );
  assertEquals(sortByArrival(all).map(({ arrivalNumber }) => arrivalNumber), [
    1,
    2,
    3,
  ]);
});
