/**
 * Bugs in the life of a connection: dialing, handshake, liveness, sleep.
 *
 * @module
 */

import type { Mutant } from "./fit.ts";

export const LINK: readonly Mutant[] = [
  {
    name: "events of a connection that was left count for the one that is used",
    from: `
      return $epoch === undefined ? undefined : this.$byEpoch.get($epoch);`,
    to: `
      return $epoch === undefined
        ? undefined
        : this.$byEpoch.get($epoch) ?? [...this.$byEpoch.values()][0];`,
  },
  {
    name: "the back-off does not grow",
    from: "$limits.$base * 2 ** ($failures - 1)",
    to: "$limits.$base * 2 ** ($failures * 0)",
  },
  {
    name: "the back-off is never reset",
    from:
      "if ($now >= $stableAt && this.$role !== $standby) this.$failures = 0;",
    to: "",
  },
  {
    name: "the back-off is reset by a connection that lasted no time",
    from:
      "if ($now >= $stableAt && this.$role !== $standby) this.$failures = 0;",
    to: "if (this.$role !== $standby) this.$failures = 0;",
  },
  {
    name: "a waiting request does not bring the next dial forward",
    from: "if ($isWanted) return Math.min($state.$soon, $state.$until);",
    to: "if ($isWanted) return $state.$until;",
  },
  {
    name: "a refusal is dialed like any other failure",
    from: `
      if ($loss.$refused) {
        const $until = $now + $$pause;
        return { $$moments };
      }`,
    to: "",
  },
  {
    name: "a request waits for a daemon that refuses the connection",
    from: `
      if ($missing?.$refusal !== undefined && !$isLongLived($request.method)) {
        $$answer
      }`,
    to: "",
  },
  {
    name: "no dial timeout",
    from: "$until: $now + this.$limits.$timeout, $next: $state.$until",
    to: "$until: Infinity, $next: $state.$until",
  },
  {
    name: "no handshake timeout",
    from: "{ $phase: $handshake, $until: $now + this.$limits.$timeout }",
    to: "{ $phase: $handshake, $until: Infinity }",
  },
  {
    name: "a half-open connection is not detected while it is idle",
    from: "return $probed ?? $silent;",
    to: "return $probed ?? Infinity;",
  },
  {
    name: "silence during a call closes the connection",
    from: `
      if ($load !== $busy) return $close;
      return this.$isSuspect ? $failOver : $suspect;`,
    to: "void $load; return $close;",
  },
  {
    name: "a half-open connection is not detected while a call runs",
    from: `
      return this.$probeUntil === undefined
        ? $$first
        : Math.max(this.$probeUntil, $silent + $timeout);`,
    to: "return this.$probeUntil === undefined ? $$first : Infinity;",
  },
  {
    name: "a connection whose daemon is only busy is closed with its calls",
    from:
      "if ($old.$liveness?.$isConcurrent || $all.$dialect.$poolSize > 0) {$$body}",
    to: "if ($old.$liveness !== undefined) {$$body}",
  },
  {
    name: "a connection that is known to be dead keeps its calls",
    from:
      "if ($old.$liveness?.$isConcurrent || $all.$dialect.$poolSize > 0) {$$body}",
    to: "if ($old.$liveness === undefined) {$$body}",
  },
  {
    name: "requests expire because of a sleep",
    from: `
      $all.$requests.$shift($gap);
      $all.$dialect.$slept($unseen);
      $all.$cache?.$aged($unseen);`,
    to: "$all.$dialect.$slept($unseen); $all.$cache?.$aged($unseen);",
  },
  {
    name: "a connection is used after a sleep without a check",
    from: `
      $liveness !== undefined && !$liveness.$isStale &&
      !($liveness.$isSuspect && $liveness.$isConcurrent)`,
    to: `
      $liveness !== undefined &&
      !($liveness.$isSuspect && $liveness.$isConcurrent)`,
  },
  {
    name: "the time for which the program was stopped is not noticed",
    from: `
      const $gap = $late > $LIMIT ? $since : 0;
      const $unseen = $ahead > $LIMIT ? $ahead : 0;`,
    to: `
      const $gap = $late > $LIMIT ? $since * 0 : 0;
      const $unseen = $ahead > $LIMIT ? $ahead : 0;`,
  },
];
