/**
 * Sends warnings of the proxy to a client that has set a log level
 * (`--log-to-client`; MCP, server/utilities/logging).
 *
 * @module
 */

import type { Redactor } from "../config/secrets.ts";
import type { LogEffect } from "../events.ts";
import { buildNotification, getMember, type Id } from "../protocol/jsonrpc.ts";
import { META_KEYS } from "../protocol/mcp_types.ts";
import type {
  OpenOperation,
  OperationEnd,
  TelemetrySink,
} from "./message_observer.ts";

/** The levels of MCP, the least severe first (RFC 5424 section 6.2.1). */
const LEVELS = [
  ...["debug", "info", "notice", "warning"],
  ...["error", "critical", "alert", "emergency"],
];
/** The level of a client that has set none. */
const NONE = LEVELS.length;

/** Knows the log level of the client, and builds its notifications. */
export class ClientLog implements TelemetrySink {
  /** The level that `logging/setLevel` has set. */
  #level = NONE;
  /** The levels of the open requests that have one (MCP 2026-07-28). */
  readonly #levelOfRequest = new Map<Id, number>();

  /** Creates a log for a client that has set no level. */
  constructor(private readonly redact: Redactor) {}

  /** Notes the level that a request asks for. */
  onOperationStart({ request }: OpenOperation): void {
    const level = levelOf(
      getMember(request.params, "_meta", META_KEYS.logLevel),
    );
    if (level !== NONE) this.#levelOfRequest.set(request.id, level);
  }

  /** Notes a level that the daemon has accepted. */
  onOperationEnd(
    { request }: OpenOperation,
    { errorType }: OperationEnd,
  ): void {
    this.#levelOfRequest.delete(request.id);
    if (request.method !== "logging/setLevel" || errorType !== undefined) {
      return;
    }
    this.#level = levelOf(getMember(request.params, "level"));
  }

  /**
   * Returns the notification for an entry; undefined if the client does not
   * want it.
   */
  notificationFor(
    { level, message }: Pick<LogEffect, "level" | "message">,
  ): string | undefined {
    if (level !== "warn" && level !== "error") return undefined;
    const name = level === "warn" ? "warning" : "error";
    let wanted = this.#level;
    for (const it of this.#levelOfRequest.values()) {
      wanted = Math.min(wanted, it);
    }
    if (levelOf(name) < wanted) return undefined;
    return buildNotification("notifications/message", {
      level: name,
      logger: "alwaysup",
      data: this.redact(message),
    });
  }
}

function levelOf(name: unknown): number {
  const at = LEVELS.findIndex((level) => level === name);
  return at === -1 ? NONE : at;
}
