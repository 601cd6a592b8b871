/**
 * Tests every event of the table in `shutdown.ts` in every state.
 *
 * @module
 */

import { SHUTDOWN_GRACE_MS } from "../../../lib/session/shutdown.ts";
import { assertEquals } from "../../helpers/assert.ts";
import { test } from "../../helpers/no_permissions.ts";
import { SessionDriver } from "../../helpers/session/session_driver.ts";

const GIVE_UP_MS = 1_000;

type State = "running" | "leaving" | "leaving by a signal" | "over";
/** The state after an event; a number is the exit code of the program. */
type Outcome = "running" | "leaving" | number | "ignored";

const TO_STATE: Record<State, (driver: SessionDriver) => void> = {
  "running": () => {},
  "leaving": (driver) => driver.end("stdin"),
  "leaving by a signal": (driver) => driver.end("signal"),
  "over": (driver) => {
    driver.end("signal");
    driver.end("signal");
  },
};

interface Event {
  readonly name: string;
  /** True if the daemon is never connected, so `--give-up-after` can pass. */
  readonly isWithoutDaemon?: true;
  readonly happen: (driver: SessionDriver) => void;
  readonly outcomes: Record<State, Outcome>;
}

const EVENTS: readonly Event[] = [
  {
    name: "stdin ends",
    happen: (driver) => driver.end("stdin"),
    outcomes: {
      "running": "leaving",
      "leaving": "leaving",
      "leaving by a signal": "leaving",
      "over": "ignored",
    },
  },
  {
    name: "a signal arrives",
    happen: (driver) => driver.end("signal"),
    outcomes: {
      "running": "leaving",
      "leaving": "leaving",
      "leaving by a signal": 0,
      "over": "ignored",
    },
  },
  {
    name: "the last response arrives",
    happen: (driver) => driver.fromDaemon({ id: "last", result: {} }),
    outcomes: {
      "running": "running",
      "leaving": 0,
      "leaving by a signal": 0,
      "over": "ignored",
    },
  },
  {
    name: "the time for responses passes",
    happen: (driver) => driver.advance(SHUTDOWN_GRACE_MS),
    outcomes: {
      "running": "running",
      "leaving": 0,
      "leaving by a signal": 0,
      "over": "ignored",
    },
  },
  {
    name: "--give-up-after passes",
    isWithoutDaemon: true,
    happen: (driver) => driver.advance(GIVE_UP_MS),
    outcomes: {
      "running": 1,
      "leaving": 1,
      "leaving by a signal": 1,
      "over": "ignored",
    },
  },
  {
    name: "stdout breaks",
    happen: (driver) => driver.handle({ type: "stdout-broken" }),
    outcomes: {
      "running": 0,
      "leaving": 0,
      "leaving by a signal": 0,
      "over": "ignored",
    },
  },
];

function startSession(isWithoutDaemon: boolean): SessionDriver {
  const driver = new SessionDriver({ giveUpAfter: GIVE_UP_MS });
  if (!isWithoutDaemon) driver.connect();
  driver.request("last", "x");
  return driver;
}

function outcomeOf(driver: SessionDriver): Outcome {
  const effects = driver.takeEffects();
  const exit = effects.find((effect) => effect.type === "exit");
  if (exit?.type === "exit") return exit.code;
  if (driver.session.isOver) return effects.length === 0 ? "ignored" : -1;
  const isLeaving = driver.session.deadline() <= driver.now + SHUTDOWN_GRACE_MS;
  return isLeaving ? "leaving" : "running";
}

for (const { name, isWithoutDaemon = false, happen, outcomes } of EVENTS) {
  for (const state of Object.keys(TO_STATE) as State[]) {
    test(`Shutdown: ${state}, ${name}`, () => {
      const driver = startSession(isWithoutDaemon);
      TO_STATE[state](driver);
      driver.takeEffects();
      happen(driver);
      assertEquals(outcomeOf(driver), outcomes[state]);
    });
  }
}

test("Shutdown: a signal after the end of stdin does not change the deadline", () => {
  const driver = startSession(false);
  driver.end("stdin");
  driver.advance(SHUTDOWN_GRACE_MS - 1);
  driver.end("signal");
  driver.takeEffects();
  driver.advance(1);
  assertEquals(outcomeOf(driver), 0);
});
