/**
 * The stage with an exai daemon, which the test plays frame by frame.
 *
 * @module
 */

import type { SessionConfig } from "../../../lib/session/context.ts";
import { Exai, type ExaiConfig } from "../../../lib/dialects/exai/exai.ts";
import { type Json, Scene } from "./session_driver.ts";

export const EXAI: ExaiConfig = {
  sessionId: "editor",
  token: "",
  server: { name: "alwaysup", version: "1" },
  ackGrace: 120_000,
  output: "clean",
  maxMessage: 32 * 1024 * 1024,
};

export class ExaiScene extends Scene {
  constructor(
    config: Partial<SessionConfig> = {},
    exai: Partial<ExaiConfig> = {},
  ) {
    super(config, () => 0, new Exai({ ...EXAI, ...exai }, () => 0.5));
  }

  /** The frames that went to the daemon since the last look, and on which link. */
  frames(): Json[] {
    return this.take().flatMap((effect) =>
      effect.type === "send"
        ? [{ epoch: effect.epoch, ...JSON.parse(effect.text) }]
        : []
    );
  }

  /** The daemon says something. */
  say(frame: Json, epoch: number = this.epoch): void {
    this.daemon(JSON.stringify(frame), epoch);
  }

  /** A socket opens and the daemon takes our hello; gives what follows on it. */
  greet(epoch: number = this.epoch, session_id = "theirs"): Json[] {
    this.open(epoch);
    this.take();
    this.say({ op: "hello_ack", ok: true, session_id }, epoch);
    return this.frames();
  }

  /** A call on a link of its own; gives its frame. */
  running(id: Json, name?: string, _meta?: Json): Json {
    const { length } = this.dials;
    this.call(id, name ?? "chat", _meta);
    const frames = this.dials.length > length ? this.greet() : this.frames();
    return frames.find(({ op }: Json) => op === "call_tool");
  }

  result(call: Json, text: string): void {
    const { request_id, epoch } = call;
    const outputs = [{ type: "text", text }];
    this.say({ op: "call_tool_res", request_id, outputs, text }, epoch);
  }

  health(epoch: number, uptime_human: string, t?: number): void {
    const health = { uptime_human, ...(t !== undefined && { t }) };
    this.say({ op: "health_res", ok: true, health }, epoch);
  }

  /** The ids that were answered since the last look, with the error's code or the result's text. */
  answers(): Json[] {
    return this.replies().filter(({ method }) => method === undefined)
      .map(({ id, error, result }) => [
        id,
        error?.code ?? result.content?.[0]?.text ?? result,
      ]);
  }
}
