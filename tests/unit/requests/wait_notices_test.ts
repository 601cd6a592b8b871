/**
 * Wait notices: when they come, and which progress they have.
 *
 * @module
 */

import {
  nextWaitProgress,
  takeNotices,
  takeQueueNotices,
} from "../../../lib/requests/wait_notices.ts";
import { testEntry } from "../../helpers/test_entry.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";

const TOKEN = '{"_meta":{"progressToken":"t"}}';

test("Wait notices: only due requests that wait for a connection have one", () => {
  const due = {
    ...testEntry(1, "x", TOKEN),
    waitNoticeAt: 1_000,
    waitingSince: 0,
  };
  const later = { ...due, waitNoticeAt: 1_001 };
  const sent = { ...due, sentOnConnectionId: 7 };
  const served = { ...due, waitingSince: undefined };
  const { message, progressToken } = due;
  assertEquals(takeQueueNotices([due, later, sent, served], 1_000), [
    { message, progressToken: progressToken!, progress: 1e-6 },
  ]);
  assertEquals([...takeNotices([testEntry(2)], 1_000)], [], "it has no token");
});

test("Wait notices: rise in tiny steps above the daemon's progress", () => {
  const it = testEntry(1, "x", '{"_meta":{"progressToken":"t"}}');
  assertEquals(it.progressToken, '"t"');
  assertEquals([nextWaitProgress(it, 0), it.waitNoticeAt], [1e-6, 5_000]);
  it.daemonProgress = { at: 0, value: 3 };
  it.clientProgress = 3;
  assertEquals(nextWaitProgress(it, 5_000), 3 + 2e-6);
  it.daemonProgress = { at: 0, value: -1 };
  assertEquals(nextWaitProgress(it, 10_000), undefined, "it would not rise");
});
