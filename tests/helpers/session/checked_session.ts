/**
 * A session that checks its deadline after each event.
 *
 * @module
 */

import type { Effect, SessionEvent } from "../../../lib/events.ts";
import { Session } from "../../../lib/session/session.ts";

/**
 * A session that throws if something is due before its deadline. It does not
 * compute the deadline anew after each event.
 */
export class CheckedSession extends Session {
  override handle(event: SessionEvent, now: number): Effect[] {
    const effects = super.handle(event, now);
    const [deadline, due] = [this.deadline(), this.earliestDeadline()];
    if (deadline > due) {
      throw new Error(
        `After ${event.type}, the deadline is ${deadline}, but ${due} is due`,
      );
    }
    return effects;
  }
}
