/**
 * The base class of the session's parts. It gives each part access to the
 * objects that all parts share. Each of these objects owns its state, and no
 * other object changes that state.
 *
 * @module
 */

import type { Dialect } from "../dialects/dialect.ts";
import type { LinkSet } from "../link/link_set.ts";
import type { ServerRequests } from "../requests/server_requests.ts";
import type { ToolHints } from "../requests/tool_hints.ts";
import type { TimeoutRules } from "../requests/timeouts.ts";
import type { RequestTracker } from "../requests/tracker.ts";
import type { Availability } from "./availability.ts";
import type { CircuitBreaker } from "./circuit_breaker.ts";
import type { ClientIds } from "./client_ids.ts";
import type { DeliveryRules } from "./delivery_rules.ts";
import type { Effects } from "./effects.ts";
import type { SessionConfig } from "./session_config.ts";

/** The objects that all parts of a session share. */
export type SharedObjects = Omit<SessionPart, "now">;

/**
 * What an event can have changed. With `plain`, that is only which calls are in
 * flight, and when requests and probes are due.
 */
export type Change = "plain" | "other";

/** A part of a session, with access to the shared objects. */
export abstract class SessionPart {
  /** The settings of the session. */
  readonly config: SessionConfig;
  /** The effects of the current event. */
  readonly effects: Effects;
  /** The translation between messages and the daemon's frames. */
  readonly dialect: Dialect;
  /** All links to the daemon. */
  readonly links: LinkSet;
  /** The client's unanswered requests and queued notifications. */
  readonly tracker: RequestTracker;
  /** The rules for the timeouts of the client's messages. */
  readonly timeouts: TimeoutRules;
  /** The usable links, and the facts about an outage. */
  readonly availability: Availability;
  /** How long new requests may wait for a daemon that is down. */
  readonly circuit: CircuitBreaker;
  /** The lookup of the client's requests by ids from the daemon. */
  readonly clientIds: ClientIds;
  /** The daemon's hints about which tools are safe to call twice. */
  readonly toolHints: ToolHints;
  /** The daemon's requests that the client has not answered yet. */
  readonly serverRequests: ServerRequests;
  /** The delivery contract: which requests may be sent again. */
  readonly rules: DeliveryRules;

  /** Creates a part that uses these shared objects. */
  constructor(base: SharedObjects) {
    this.config = base.config;
    this.effects = base.effects;
    this.dialect = base.dialect;
    this.links = base.links;
    this.tracker = base.tracker;
    this.timeouts = base.timeouts;
    this.availability = base.availability;
    this.circuit = base.circuit;
    this.clientIds = base.clientIds;
    this.toolHints = base.toolHints;
    this.serverRequests = base.serverRequests;
    this.rules = base.rules;
  }

  /** The time of the current event, in ms on the session's clock. */
  get now(): number {
    return this.effects.now;
  }
}
