/**
 * The client's open subscriptions (MCP 2026-07-28, `subscriptions/listen`),
 * which outlive the connections that carry them.
 *
 * @module
 */

import { LISTS } from "../../protocol/lists.ts";
import {
  dig,
  digId,
  type Id,
  type Notification,
  notification as notify,
  type Request,
} from "../../protocol/jsonrpc.ts";
import {
  META,
  type NameIn,
  type NotificationMethod,
  type Params,
} from "../../protocol/mcp_types.ts";
import { replace } from "../../json/spans.ts";
import { isSubscription } from "../../protocol/methods.ts";

const ACKNOWLEDGED =
  "notifications/subscriptions/acknowledged" satisfies NotificationMethod;
const SUBSCRIPTION_ID = META.subscriptionId;

/** What a client can subscribe to. */
type Filtered = NameIn<Params<"subscriptions/listen">["notifications"]>;

/** A subscription. */
interface Listen {
  /** What the client wants to hear of, or will if less was granted. */
  filter: unknown;
  /** Whether it has seen an acknowledgement. */
  isAcknowledged: boolean;
}

/** The subscriptions by the ids of their requests. */
export class Listens {
  readonly #open = new Map<Id, Listen>();
  /** The client was told something that the daemon has not said on this day. */
  hasMissed = false;

  /** A request goes out, for the first time or again. */
  asked({ id, method, params }: Request): void {
    if (!isSubscription(method) || this.#open.has(id)) return;
    const filter = dig(params, "notifications");
    this.#open.set(id, { filter, isAcknowledged: false });
  }

  /** Whether the daemon has acknowledged a subscription. */
  isAcknowledged(id: Id): boolean {
    return this.#open.get(id)?.isAcknowledged ?? false;
  }

  /** A subscription is over, if there is one of that id. */
  ended(id: Id | undefined): void {
    if (id !== undefined) this.#open.delete(id);
  }

  /**
   * What the client hears of a notification: of a subscription that is over
   * nothing, of an acknowledgement once, and for a later one what it may have
   * missed.
   *
   * @param meant the client's id that may be meant by another one
   */
  heard(
    message: Notification,
    meant: (id: Id) => Id | undefined,
  ): Notification[] {
    const said = digId(message, "_meta", SUBSCRIPTION_ID);
    if (said === undefined) {
      return message.method === ACKNOWLEDGED ? [] : [message];
    }
    const id = this.#open.has(said) ? said : meant(said);
    const listen = id === undefined ? undefined : this.#open.get(id);
    // It is about something that is over.
    if (id === undefined || listen === undefined) return [];
    const spelled = id === said ? message : respelled(message, id);
    if (message.method !== ACKNOWLEDGED) return [spelled];
    if (listen.isAcknowledged) return changes(id, listen);
    listen.isAcknowledged = true;
    listen.filter = dig(message.params, "notifications") ?? listen.filter;
    return this.hasMissed ? [spelled, ...changes(id, listen)] : [spelled];
  }
}

/** A notification with the client's own spelling of the subscription's id. */
function respelled(message: Notification, id: Id): Notification {
  const path = ["params", "_meta", SUBSCRIPTION_ID];
  return { ...message, text: replace(message.text, path, id) };
}

function changes(id: Id, { filter }: Listen): Notification[] {
  const _meta = { [SUBSCRIPTION_ID]: JSON.parse(id) as unknown };
  const uris = dig(filter, "resourceSubscriptions" satisfies Filtered);
  const updated = (Array.isArray(uris) ? uris as string[] : [])
    .map((uri) => ["notifications/resources/updated", { _meta, uri }] as const);
  const lists = LISTS
    .filter((list) =>
      dig(filter, `${list}ListChanged` satisfies Filtered) === true
    )
    .map((list) => [`notifications/${list}/list_changed`, { _meta }] as const);
  return [...lists, ...updated].map(([method, params]) => {
    // An id can be larger than a number can say.
    const path = ["params", "_meta", SUBSCRIPTION_ID];
    const text = replace(notify(method, params), path, id);
    return { kind: "notification", method, params, text };
  });
}
