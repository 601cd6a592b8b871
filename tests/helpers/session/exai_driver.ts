/**
 * A session driver with the exai dialect. The test sends the daemon's frames.
 *
 * @module
 */

import type { SessionConfig } from "../../../lib/session/session_config.ts";
import { Exai, type ExaiConfig } from "../../../lib/dialects/exai/exai.ts";
import { type Json, SessionDriver } from "./session_driver.ts";

export const EXAI_CONFIG: ExaiConfig = {
  sessionId: "editor",
  token: "",
  server: { name: "alwaysup", version: "1" },
  ackGrace: 120_000,
  output: "clean",
  maxMessage: 32 * 1024 * 1024,
};

export class ExaiDriver extends SessionDriver {
  constructor(
    config: Partial<SessionConfig> = {},
    exai: Partial<ExaiConfig> = {},
  ) {
    super(config, () => 0, new Exai({ ...EXAI_CONFIG, ...exai }, () => 0.5));
  }

  /**
   * Takes the effects. Returns the frames to the daemon with connection ids.
   */
  takeFrames(): Json[] {
    return this.takeEffects().flatMap((effect) =>
      effect.type === "send-to-daemon"
        ? [{ connectionId: effect.connectionId, ...JSON.parse(effect.text) }]
        : []
    );
  }

  /** Sends a frame as the daemon. */
  frameFromDaemon(frame: Json, connectionId: number = this.connectionId): void {
    this.fromDaemon(JSON.stringify(frame), connectionId);
  }

  /**
   * Opens a connection, and acknowledges its hello. Returns the frames that the
   * session then sends.
   */
  openAndAcknowledgeHello(
    connectionId: number = this.connectionId,
    session_id = "theirs",
  ): Json[] {
    this.open(connectionId);
    this.takeEffects();
    this.frameFromDaemon(
      { op: "hello_ack", ok: true, session_id },
      connectionId,
    );
    return this.takeFrames();
  }

  /**
   * Calls a tool. If the session dials for the call, completes the handshake.
   * Returns the frame of the call.
   */
  startCall(id: Json, name?: string, _meta?: Json): Json {
    const { length } = this.dials;
    this.callTool(id, name ?? "chat", _meta);
    const frames = this.dials.length > length
      ? this.openAndAcknowledgeHello()
      : this.takeFrames();
    return frames.find(({ op }: Json) => op === "call_tool");
  }

  /**
   * Loses the main and the pool connection, and reconnects both. Then the
   * session requests the daemon's health.
   */
  loseBothAndReconnect(call: Json): void {
    this.close(1006, call.connectionId);
    this.close(1006, 1);
    this.advanceToNextDial();
    this.takeEffects();
    this.openAndAcknowledgeHello();
    this.openAndAcknowledgeHello();
  }

  returnResult(call: Json, text: string): void {
    const { request_id, connectionId } = call;
    const outputs = [{ type: "text", text }];
    this.frameFromDaemon(
      { op: "call_tool_res", request_id, outputs, text },
      connectionId,
    );
  }

  returnHealth(connectionId: number, uptime_human: string, t?: number): void {
    const health = { uptime_human, ...(t !== undefined && { t }) };
    this.frameFromDaemon({ op: "health_res", ok: true, health }, connectionId);
  }

  /**
   * Returns the responses since `takeEffects`: the id, and the error's code or
   * the result's text.
   */
  responsesToClient(): Json[] {
    return this.sentToClient().filter(({ method }) => method === undefined)
      .map(({ id, error, result }) => [
        id,
        error?.code ?? result.content?.[0]?.text ?? result,
      ]);
  }
}
