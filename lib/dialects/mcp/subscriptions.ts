/**
 * Tracks the client's open subscriptions (MCP 2026-07-28,
 * `subscriptions/listen`). They outlive the connections that carry them.
 *
 * @module
 */

import type { ClientIdAccess } from "../dialect.ts";
import {
  isSubscriptionMethod,
  LIST_CHANGED_KINDS,
} from "../../protocol/methods.ts";
import {
  buildNotification,
  getMember,
  getNestedId,
  type Id,
  type Notification,
  type Request,
} from "../../protocol/jsonrpc.ts";
import {
  META_KEYS,
  type NotificationMethod,
} from "../../protocol/mcp_types.ts";
import { replaceValue } from "../../json/spans.ts";

const ACKNOWLEDGED =
  "notifications/subscriptions/acknowledged" satisfies NotificationMethod;
const SUBSCRIPTION_ID = META_KEYS.subscriptionId;

interface ListenSubscription {
  /** The requested notifications, or the granted ones once they are known. */
  filter: unknown;
  isAcknowledged: boolean;
}

/** The open subscriptions, by the ids of their requests. */
export class ListenSubscriptions {
  readonly #open = new Map<Id, ListenSubscription>();
  /** True once the client got a cached result, which may be out of date. */
  mayHaveMissedChanges = false;

  /** Records a subscription when it is sent. Sending it again has no effect. */
  onRequest({ id, method, params }: Request): void {
    if (!isSubscriptionMethod(method) || this.#open.has(id)) return;
    const filter = getMember(params, "notifications");
    this.#open.set(id, { filter, isAcknowledged: false });
  }

  /** Returns true once the daemon has acknowledged a subscription. */
  isAcknowledged(id: Id): boolean {
    return this.#open.get(id)?.isAcknowledged ?? false;
  }

  /** Removes the subscription with this id, if there is one. */
  onEnd(id: Id | undefined): void {
    if (id !== undefined) this.#open.delete(id);
  }

  /**
   * Returns the notifications that the client gets when the daemon has sent
   * `message`. The client gets an acknowledgement only once. A later one turns
   * into notifications of the changes that the client may have missed.
   */
  filterNotification(
    message: Notification,
    clientIds: ClientIdAccess | undefined,
  ): Notification[] {
    const daemonId = getNestedId(message, "_meta", SUBSCRIPTION_ID);
    if (daemonId === undefined) {
      return message.method === ACKNOWLEDGED ? [] : [message];
    }
    const id = this.#open.has(daemonId)
      ? daemonId
      : clientIds?.guessClientId(daemonId);
    const subscription = id === undefined ? undefined : this.#open.get(id);
    // The notification belongs to a subscription that has ended.
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

function withSubscriptionId(message: Notification, id: Id): Notification {
  const path = ["params", "_meta", SUBSCRIPTION_ID];
  return { ...message, text: replaceValue(message.text, path, id) };
}

function buildChangeNotifications(
  id: Id,
  { filter }: ListenSubscription,
): Notification[] {
  const _meta = { [SUBSCRIPTION_ID]: JSON.parse(id) as unknown };
  const lists = LIST_CHANGED_KINDS
    .filter((list) => getMember(filter, `${list}ListChanged`) === true)
    .map((list) => [`notifications/${list}/list_changed`, { _meta }] as const);
  const uris = getMember(filter, "resourceSubscriptions");
  const updated = (Array.isArray(uris) ? uris as string[] : [])
    .map((uri) => ["notifications/resources/updated", { _meta, uri }] as const);
  return [...lists, ...updated].map(([method, params]) => {
    const text = buildNotification(method, params);
    const kind = "notification";
    // An id may be an integer that a JavaScript number cannot hold.
    return withSubscriptionId({ kind, method, params, text }, id);
  });
}
