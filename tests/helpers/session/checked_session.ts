/**
 * A session that checks its deadline after each event, and what telemetry shows
 * of it.
 *
 * @module
 */

import type { Effect, SessionEvent } from "../../../lib/events.ts";
import { ErrorCode } from "../../../lib/protocol/jsonrpc.ts";
import { Session } from "../../../lib/session/session.ts";
import { HistoryRecorder } from "../../../lib/telemetry/history.ts";
import {
  MessageObserver,
  type OpenOperation,
  type OperationEnd,
} from "../../../lib/telemetry/message_observer.ts";
import { isConnected } from "../../../lib/telemetry/metric_families.ts";

/**
 * A session that throws if something is due before its deadline. It does not
 * compute the deadline anew after each event. Also throws if the history or the
 * observed operations are not what the session itself knows.
 */
export class CheckedSession extends Session {
  /** The history of this session. */
  readonly history: HistoryRecorder = new HistoryRecorder();
  readonly #observer = new MessageObserver([this]);
  #unknownOutcomes = 0;

  override handle(event: SessionEvent, now: number): Effect[] {
    const effects = super.handle(event, now);
    const [deadline, due] = [this.deadline(), this.earliestDeadline()];
    if (deadline > due) {
      throw new Error(
        `After ${event.type}, the deadline is ${deadline}, but ${due} is due`,
      );
    }
    this.#observer.observe(event, effects, now);
    let isQuiet = true;
    for (const effect of effects) {
      if (effect.type !== "log" && effect.type !== "dial") continue;
      this.history.record(effect, now, 1_000_000 + now);
      isQuiet = false;
    }
    this.#checkOperations(event);
    if (!isQuiet) this.#checkHistory(event);
    return effects;
  }

  /** Counts the operations that ended with an unknown outcome. */
  onOperationEnd(_: OpenOperation, { statusCode }: OperationEnd): void {
    if (statusCode === ErrorCode.outcomeUnknown) this.#unknownOutcomes++;
  }

  #checkOperations(event: SessionEvent): void {
    if (this.isOver) return;
    const [open, pending] = [
      this.#observer.openCount,
      this.pendingRequestCount,
    ];
    if (open === pending) return;
    throw new Error(
      `After ${event.type}, ${open} operations are open, but ${pending} ` +
        "requests are pending",
    );
  }

  #checkHistory(event: SessionEvent): void {
    const snapshot = this.snapshot();
    const history = this.history.snapshot();
    const reconnects = Object.values(history.reconnects)
      .reduce((sum, count) => sum + count, 0);
    const isDown = history.downSince !== undefined;
    const problems = [
      ...reconnects === snapshot.reconnects ? [] : [
        `${reconnects} reconnects, but the session had ${snapshot.reconnects}`,
      ],
      ...isDown && isConnected(snapshot)
        ? ["an outage, but the daemon is up"]
        : [],
      ...history.unknownOutcomes === this.#unknownOutcomes ? [] : [
        `${history.unknownOutcomes} unknown outcomes, but the client got ` +
        this.#unknownOutcomes,
      ],
    ];
    if (problems.length === 0) return;
    throw new Error(`After ${event.type}, the history has ${problems.join()}`);
  }
}
