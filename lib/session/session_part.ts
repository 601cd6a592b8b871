/**
 * What every part of a session works with. Each of these owns its state, and
 * alone changes it.
 *
 * @module
 */

import type { Dialect } from "../dialects/dialect.ts";
import type { LinkSet } from "../link/link_set.ts";
import type { ServerRequests } from "../requests/server_requests.ts";
import type { ToolHints } from "../requests/tool_hints.ts";
import type { RequestTracker } from "../requests/tracker.ts";
import type { Availability } from "./availability.ts";
import type { ClientIds } from "./client_ids.ts";
import type { DeliveryRules } from "./delivery_rules.ts";
import type { Effects } from "./effects.ts";
import type { SessionConfig } from "./session_config.ts";

/** What every part of a session works with. */
export type SessionBase = Omit<SessionPart, "now">;

/** A part of a session. */
export abstract class SessionPart {
  /** The settings. */
  readonly config: SessionConfig;
  /** Collects what is to be done. */
  readonly effects: Effects;
  /** The daemon's protocol. */
  readonly dialect: Dialect;
  /** The links to the daemon. */
  readonly links: LinkSet;
  /** The client's pending messages. */
  readonly tracker: RequestTracker;
  /** Whether messages can be sent. */
  readonly availability: Availability;
  /** The ids of the client's requests. */
  readonly clientIds: ClientIds;
  /** Which tools are safe to call twice. */
  readonly toolHints: ToolHints;
  /** The daemon's requests that the client has not answered yet. */
  readonly serverRequests: ServerRequests;
  /** The delivery contract. */
  readonly rules: DeliveryRules;

  /** Creates a part that works with these. */
  constructor(base: SessionBase) {
    this.config = base.config;
    this.effects = base.effects;
    this.dialect = base.dialect;
    this.links = base.links;
    this.tracker = base.tracker;
    this.availability = base.availability;
    this.clientIds = base.clientIds;
    this.toolHints = base.toolHints;
    this.serverRequests = base.serverRequests;
    this.rules = base.rules;
  }

  /** The moment of the event that is handled, in milliseconds. */
  get now(): number {
    return this.effects.now;
  }
}
