/**
 * Sends probes, and records what the answers to them show about the daemon.
 *
 * @module
 */

import type { Link } from "../link/link.ts";
import { MAX_CALL_DELAY_MS } from "../link/liveness.ts";
import type { Id } from "../protocol/jsonrpc.ts";
import type { PendingRequest } from "../requests/request_state.ts";
import { SessionPart } from "./session_part.ts";

/** The probes that a session sends on its links. */
export class Probes extends SessionPart {
  #hasAnswered = false;
  #answersDuringCalls: boolean | undefined;

  /** True if the daemon answers probes during calls; `undefined` if unknown. */
  get answersDuringCalls(): boolean | undefined {
    return this.#answersDuringCalls;
  }

  /**
   * Sends a probe and returns its id. Sends none and returns `undefined` if a
   * response is pending that shows as much as the answer to a probe. In that
   * case, if the link is unverified after a sleep, the probe is deferred until
   * the link is free.
   */
  send(link: Link): Id | undefined {
    const { connectionId, liveness, role } = link;
    const wasSentWithoutCalls = !this.tracker.isBusy(connectionId);
    const frame = this.dialect.buildProbe(connectionId);
    if (frame === undefined && liveness?.isUnverified) {
      const { load } = this.availability.usageOf(link);
      const isCall = role === "pool" && load === "busy";
      liveness.deferProbe(this.now, isCall ? "call" : "no-call");
      return undefined;
    }
    const writeNumber = frame && this.effects.toDaemon(link, frame.text);
    liveness?.onProbeSent(frame?.id, this.now, {
      wasSentWithoutCalls,
      writeNumber,
    });
    return frame?.id;
  }

  /**
   * Sends a probe before a call on a main link without other calls, and delays
   * the call until the answer. Without an answer, a second connection shows
   * whether this one is dead, and no call is lost with it. If no second one may
   * be opened, the delay is at most {@linkcode MAX_CALL_DELAY_MS}, because the
   * daemon may be alive but busy.
   *
   * @returns whether the call must wait
   */
  probeBeforeCall(link: Link): boolean {
    const { liveness, role } = link;
    const isProbed = role === "main" && this.dialect.scheduling === undefined;
    if (!isProbed || liveness === undefined) return false;
    if (liveness.needsPreCallProbe(this.now)) {
      liveness.onPreCallProbe(this.now);
      this.send(link);
    }
    // A daemon that has never answered a probe may not support probes.
    if (!this.#hasAnswered || !liveness.mustCallsWait(this.now)) return false;
    const isMany = this.availability.connectionCapacity === "many";
    liveness.delayCall(this.now, isMany ? Infinity : MAX_CALL_DELAY_MS);
    return true;
  }

  /** Records an answer; returns false if a sleep has invalidated the probe. */
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

  /**
   * Records that the daemon answers no probes during calls, if a probe that was
   * sent after this call is unanswered for a second.
   */
  onCallAnswered({ liveness }: Link, { writeNumber }: PendingRequest): void {
    if (liveness?.hasUnansweredProbeAfter(writeNumber, this.now)) {
      this.#answersDuringCalls ??= false;
    }
  }
}
