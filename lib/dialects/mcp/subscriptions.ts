/**
 * The client's open subscriptions (MCP 2026-07-28, `subscriptions/listen`),
 * which outlive the connections that carry them.
 *
 * @module
 */

import { LIST_CHANGED_KINDS } from "../../protocol/lists.ts";
import {
  buildNotification,
  getMember,
  getNestedId,
  type Id,
  type Notification,
  type Request,
} from "../../protocol/jsonrpc.ts";
import {
  type MemberNameOf,
  META_KEYS,
  type NotificationMethod,
  type Params,
} from "../../protocol/mcp_types.ts";
import { replaceValue } from "../../json/spans.ts";
import { isSubscriptionMethod } from "../../protocol/methods.ts";

const ACKNOWLEDGED =
  "notifications/subscriptions/acknowledged" satisfies NotificationMethod;
const SUBSCRIPTION_ID = META_KEYS.subscriptionId;

/** The names of what a client can subscribe to. */
type FilterName = MemberNameOf<Params<"subscriptions/listen">["notifications"]>;

/** A subscription. */
interface ListenSubscription {
  /** What the client has subscribed to, or what was granted, if less. */
  filter: unknown;
  /** Whether the client has received an acknowledgement. */
  isAcknowledged: boolean;
}

/** The subscriptions by the ids of their requests. */
export class ListenSubscriptions {
  readonly #open = new Map<Id, ListenSubscription>();
  /**
   * True once the client got a cached result, which may be older than the
   * subscription.
   */
  mayHaveMissedChanges = false;

  /**
   * Records a subscription request that is sent, for the first time or again.
   */
  onRequest({ id, method, params }: Request): void {
    if (!isSubscriptionMethod(method) || this.#open.has(id)) return;
    const filter = getMember(params, "notifications");
    this.#open.set(id, { filter, isAcknowledged: false });
  }

  /** Returns whether the daemon has acknowledged a subscription. */
  isAcknowledged(id: Id): boolean {
    return this.#open.get(id)?.isAcknowledged ?? false;
  }

  /** Removes a subscription that has ended, if there is one with this id. */
  onEnd(id: Id | undefined): void {
    if (id !== undefined) this.#open.delete(id);
  }

  /**
   * Returns what the client gets for a notification: nothing for a subscription
   * that has ended, an acknowledgement once, and for a later acknowledgement
   * the changes that it may have missed.
   *
   * @param guessClientId returns the client's id that an id from the daemon may
   * refer to
   */
  filterNotification(
    message: Notification,
    guessClientId: (id: Id) => Id | undefined,
  ): Notification[] {
    const daemonId = getNestedId(message, "_meta", SUBSCRIPTION_ID);
    if (daemonId === undefined) {
      return message.method === ACKNOWLEDGED ? [] : [message];
    }
    const id = this.#open.has(daemonId) ? daemonId : guessClientId(daemonId);
    const subscription = id === undefined ? undefined : this.#open.get(id);
    // The notification is about a subscription that has ended.
    if (id === undefined || subscription === undefined) return [];
    const translated = id === daemonId
      ? message
      : withSubscriptionId(message, id);
    if (message.method !== ACKNOWLEDGED) return [translated];
    if (subscription.isAcknowledged) {
      return buildChangeNotifications(id, subscription);
    }
    subscription.isAcknowledged = true;
    subscription.filter = getMember(message.params, "notifications") ??
      subscription.filter;
    return this.mayHaveMissedChanges
      ? [translated, ...buildChangeNotifications(id, subscription)]
      : [translated];
  }
}

/**
 * Returns a notification with the client's own spelling of the subscription's
 * id.
 */
function withSubscriptionId(message: Notification, id: Id): Notification {
  const path = ["params", "_meta", SUBSCRIPTION_ID];
  return { ...message, text: replaceValue(message.text, path, id) };
}

function buildChangeNotifications(
  id: Id,
  { filter }: ListenSubscription,
): Notification[] {
  const _meta = { [SUBSCRIPTION_ID]: JSON.parse(id) as unknown };
  const uris = getMember(filter, "resourceSubscriptions" satisfies FilterName);
  const updated = (Array.isArray(uris) ? uris as string[] : [])
    .map((uri) => ["notifications/resources/updated", { _meta, uri }] as const);
  const lists = LIST_CHANGED_KINDS
    .filter((list) =>
      getMember(filter, `${list}ListChanged` satisfies FilterName) === true
    )
    .map((list) => [`notifications/${list}/list_changed`, { _meta }] as const);
  return [...lists, ...updated].map(([method, params]) => {
    // An id may be larger than a number can hold.
    const path = ["params", "_meta", SUBSCRIPTION_ID];
    const text = replaceValue(buildNotification(method, params), path, id);
    return { kind: "notification", method, params, text };
  });
}
