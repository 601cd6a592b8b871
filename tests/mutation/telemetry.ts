/**
 * Bugs in what can be seen of a proxy, and in who may see it.
 *
 * @module
 */

import type { Mutant } from "./fit.ts";

export const TELEMETRY: readonly Mutant[] = [
  {
    name: "circuit: after a long outage, a request waits as long as before",
    from: `
      return this.$effects.$now >= this.$longOutageAt
        ? Math.min($queueTimeout, $MS)
        : $queueTimeout;`,
    to: "void $MS; return $queueTimeout;",
  },
  {
    name: "circuit: it does not open when the daemon refuses the connection",
    from: "const $isTripped = this.$links.$isRefused ||",
    to: "const $isTripped =",
  },
  {
    name: "circuit: a waiting request does not make it half-open",
    from: `
      if (!$isTripped) return $closed;
      return this.$isAwaited ? $halfOpen : $open;`,
    to: `
      if (!$isTripped) return $closed;
      void [$halfOpen, this.$isAwaited];
      return $open;`,
  },
  {
    name: "circuit: the log does not show that it opens by itself",
    from: "return $state === $closed ? this.$longOutageAt : Infinity;",
    to: "void $closed; return Infinity;",
  },
  {
    name: "history: a request that a loss cost does not belong to it",
    from: "if ($now - $at <= $MS) $add($outage, $request);",
    to: "void [$at, $request, $MS, $now];",
  },
  {
    name: "history: a sleep counts as downtime",
    from: `
        if (this.$downSince !== undefined) {
          this.$downSince += $fact.$gapMs;
        }`,
    to: `
        void $fact.$gapMs;`,
  },
  {
    name: "history: a first connection counts as a reconnect",
    from: `
      this.$ended += $outage.$ms;
      if ($outage.$cause === $unreachable) return;`,
    to: "this.$ended += $outage.$ms; void $unreachable;",
  },
  {
    name: "history: it grows without limit",
    from: "if (this.$outages.length > $MAX) this.$outages.shift();",
    to: "void $MAX;",
  },
  {
    name: "operations: a cancelled request stays open",
    from: `
      const $mayCancel = $sender === $client
        ? $method !== "initialize"
        : $isSubscription($method);`,
    to: "void $client; const $mayCancel = $sender !== $sender;",
  },
  {
    name: "operations: a request that is sent twice begins with the second",
    from: "if ($operation !== undefined) $operation.$sentAt ??= $now;",
    to: "if ($operation !== undefined) $operation.$sentAt = $now;",
  },
  {
    name: "figures: each tool has figures of its own, without limit",
    from: "if (this.$values.$size >= this.$limit) return $OTHER;",
    to: "void [this.$limit, $OTHER];",
  },
  {
    name: "metrics: a page with a foreign host name may read them",
    from: `
      const $host = $request.$header("host");
      if (!$isOwn($host, $ownHost)) { $$refuse }`,
    to: `
      const $host = $request.$header("host");
      void [$isOwn, $ownHost];`,
  },
  {
    name: "metrics: a page of another origin may read them",
    from: `
      const $isForeign = $origin !== undefined && $$isOther ||
        $site !== $none && $site !== $same;
      if ($isForeign) { $$refuse }`,
    to: "void [$origin, $site, $none, $same];",
  },
  {
    name: "warnings: a client gets them that has set no level",
    from: "if ($levelOf($name) < $wanted) return undefined;",
    to: "void [$levelOf, $name, $wanted];",
  },
];
