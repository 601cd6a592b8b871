/**
 * Sends probes, and knows what their answers have shown.
 *
 * @module
 */

import type { Link } from "../link/link.ts";
import { MAX_CALL_DELAY_MS } from "../link/liveness.ts";
import type { Id } from "../protocol/jsonrpc.ts";
import type { PendingRequest } from "../requests/request_state.ts";
import { SessionPart } from "./session_part.ts";

/** The probes of a session. */
export class Probes extends SessionPart {
  #hasAnswered = false;
  #answersDuringCalls: boolean | undefined;

  /** Whether it answers probes during calls; `undefined` until one shows it. */
  get answersDuringCalls(): boolean | undefined {
    return this.#answersDuringCalls;
  }

  /** Sends a probe, unless a response will show the same; returns its id. */
  send(link: Link): Id | undefined {
    const { connectionId, liveness, role } = link;
    const isWithoutCalls = !this.tracker.isBusy(connectionId);
    const frame = this.dialect.buildProbe(connectionId);
    if (frame === undefined && liveness?.isUnverified) {
      const { load } = this.availability.usageOf(link);
      const isCall = role === "pool" && load === "busy";
      liveness.deferProbe(this.now, isCall ? "call" : "no-call");
      return undefined;
    }
    const writeNumber = frame && this.effects.toDaemon(link, frame.text);
    liveness?.onProbeSent(frame?.id, this.now, { isWithoutCalls, writeNumber });
    return frame?.id;
  }

  /**
   * Sends a probe before a call that finds no other call in flight, and delays
   * the call until the answer. If none comes, a second connection shows whether
   * this one is dead, with nothing in flight on it. If no second connection may
   * be opened, the call is delayed by {@linkcode MAX_CALL_DELAY_MS} at most,
   * because the daemon may be busy with something else.
   *
   * @returns whether the call must wait
   */
  delayFirstCall(link: Link): boolean {
    const { liveness, role } = link;
    const isProbed = role === "main" && this.dialect.scheduling === undefined;
    if (!isProbed || liveness === undefined) return false;
    if (liveness.needsPreCallProbe(this.now)) {
      liveness.onPreCallProbe(this.now);
      this.send(link);
    }
    // A daemon that has never answered a probe may not support them.
    if (!this.#hasAnswered || !liveness.hasProbeToAwait(this.now)) return false;
    const isMany = this.availability.connectionCapacity === "many";
    liveness.delayCall(this.now, isMany ? Infinity : MAX_CALL_DELAY_MS);
    return true;
  }

  /** Returns whether it is a probe of this connection since the last sleep. */
  onAnswered(link: Link, id: Id): boolean {
    const { connectionId } = link;
    const writeNumber = link.liveness?.onProbeAnswered(id, this.now);
    if (writeNumber === undefined) return false;
    this.#hasAnswered = true;
    link.onAnswered(writeNumber);
    if (link.isSecondConnection) return true;
    if (this.tracker.onProbeAnswered(connectionId, writeNumber)) {
      this.#answersDuringCalls = true;
    }
    return true;
  }

  /** Records the response to a call that may have taken the daemon long. */
  onCallAnswered({ liveness }: Link, { writeNumber }: PendingRequest): void {
    if (liveness?.hasUnansweredProbeAfter(writeNumber, this.now)) {
      this.#answersDuringCalls ??= false;
    }
  }
}
