/**
 * Counts what messages cost in the session, with the default settings, except
 * that the daemon is known to keep many connections.
 *
 * @module
 */

import { EMPTY_CACHED_RESULTS } from "../../lib/cache/cache.ts";
import { Session } from "../../lib/session/session.ts";
import { SessionDriver } from "../helpers/session/session_driver.ts";
import { bytesAllocatedIn, costOf } from "./counters.ts";
import {
  callWithProgress,
  type Exchange,
  exchanges,
  largeCall,
  smallCall,
} from "./messages.ts";

/** How many calls are measured. What each costs is the average. */
const CALLS = 1000;
/** How many calls come before, until the state is steady. */
const WARM_UP_CALLS = 1000;
/** The time between two events, in milliseconds. */
const STEP_MS = 0.01;
/** The size of a large body, in UTF-16 units. */
const LARGE_BODY_CHARS = 1024 * 1024;

/** A session that is connected, with its client and its daemon. */
class MeasuredSession {
  readonly #driver = new SessionDriver({ cachedResults: EMPTY_CACHED_RESULTS });
  #nextId = 1;

  /** @param openCalls how many calls stay without a result */
  constructor(openCalls: number = 0) {
    const driver = this.#driver;
    driver.connect();
    driver.fromClient({ id: "first", method: "resources/list" });
    driver.answerProbe();
    driver.fromDaemon({ id: "first", result: { resources: [] } });
    for (const { line } of this.make(smallCall, openCalls)) {
      driver.now += STEP_MS;
      driver.handle({ type: "line", text: line });
    }
    driver.answerProbe();
    driver.takeEffects();
  }

  /** Returns exchanges with new ids. */
  make(make: (id: number) => Exchange, count: number): Exchange[] {
    this.#nextId += count;
    return exchanges(make, this.#nextId - count, count);
  }

  /** Passes the events of exchanges to the session, one by one. */
  run(all: readonly Exchange[]): void {
    for (const { line, frames } of all) {
      this.#handle(line);
      for (const frame of frames) this.#handle(undefined, frame);
    }
  }

  /** Warms up, and returns what an exchange costs, each with its name. */
  async costsOf(
    name: string,
    make: (id: number) => Exchange,
  ): Promise<Record<string, number>> {
    this.run(this.make(make, WARM_UP_CALLS));
    const bytes = await bytesAllocatedIn(() => {
      const all = this.make(make, CALLS);
      return () => this.run(all);
    });
    const all = this.make(make, CALLS);
    const cost = await costOf(() => this.run(all));
    return {
      [`${name}: functions`]: cost.functions / CALLS,
      [`${name}: look-ups`]: cost.lookups / CALLS,
      [`${name}: JSON texts`]: cost.jsonTexts / CALLS,
      [`${name}: bytes`]: bytes / CALLS,
    };
  }

  /** Passes an event, without the checks of the driver's session. */
  #handle(line: string | undefined, frame: string = ""): void {
    const { session, connectionId } = this.#driver;
    const now = this.#driver.now += STEP_MS;
    Session.prototype.handle.call(
      session,
      line === undefined
        ? { type: "frame", connectionId, text: frame }
        : { type: "line", text: line },
      now,
    );
  }
}

/** Returns the costs of small messages, each with its name. */
export async function sessionCosts(): Promise<Record<string, number>> {
  return {
    ...await new MeasuredSession().costsOf("session, call", smallCall),
    ...await new MeasuredSession().costsOf(
      "session, call with progress",
      callWithProgress,
    ),
    ...await new MeasuredSession(10).costsOf(
      "session, call while 10 are open",
      smallCall,
    ),
    ...await new MeasuredSession(10_000).costsOf(
      "session, call while 10,000 are open",
      smallCall,
    ),
    ...await largeBodyCosts("call", LARGE_BODY_CHARS, 0),
    ...await largeBodyCosts("result", 0, LARGE_BODY_CHARS),
  };
}

/** Returns what a large body costs, in percent of its size. */
async function largeBodyCosts(
  name: string,
  callChars: number,
  resultChars: number,
): Promise<Record<string, number>> {
  const session = new MeasuredSession();
  const make = (id: number): Exchange => largeCall(id, callChars, resultChars);
  session.run(session.make(make, 10));
  const bytes = await bytesAllocatedIn(() => {
    const all = session.make(make, 1);
    return () => session.run(all);
  });
  const all = session.make(make, 1);
  const { parsedChars } = await costOf(() => session.run(all));
  const percent = (count: number): number =>
    Math.round(100 * count / LARGE_BODY_CHARS);
  return {
    [`session, ${name} of 1 MB: percent copied`]: percent(bytes),
    [`session, ${name} of 1 MB: percent parsed`]: percent(parsedChars),
  };
}
