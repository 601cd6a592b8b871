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
    name: "the back-off is never reset by a connection that lasted",
    from: "if ($isStable && this.$role !== $standby) this.$backoff.$restart();",
    to: "void $isStable;",
  },
  {
    name: "the back-off is reset by a connection that lasted no time",
    from: "if ($isStable && this.$role !== $standby) this.$backoff.$restart();",
    to:
      "if ($isStable !== undefined && this.$role !== $standby) this.$backoff.$restart();",
  },
  {
    name: "the back-off is not reset by a connection that has answered",
    from: "$link.$answered(); if ($link.$phase !== $handshake) return;",
    to: "if ($link.$phase !== $handshake) return;",
  },
  {
    name: "a waiting request does not bring the next dial forward",
    from:
      "if ($isUrgent) return Math.min($state.$demandAt, $state.$scheduledAt);",
    to: "if ($isUrgent) return $state.$scheduledAt;",
  },
  {
    name: "a request that is held for ever has the daemon dialed on demand",
    from: "if (!$isStanding($message.method)) this.$transient += $by;",
    to: "this.$transient += $by;",
  },
  {
    name: "a dial on demand advances the table",
    from: "this.$aheadOf = $isAhead ? $scheduledAt : undefined;",
    to: "void $isAhead; this.$aheadOf = undefined;",
  },
  {
    name: "a refusal is dialed like any other failure",
    from: `
      if ($end === $refused) {
        const $at = $now + $$pause;
        return { $$moments };
      }`,
    to: "",
  },
  {
    name: "a request waits for a daemon that refuses the connection",
    from: `
      if ($refusing !== undefined && !$refusing.$askAgain($now)) { $$answer }`,
    to: "void $refusing;",
  },
  {
    name:
      "no request has a daemon dialed again that has refused the connection",
    from:
      "if ($refusing !== undefined && !$refusing.$askAgain($now)) { $$answer }",
    to: "if ($refusing?.$askAgain(-Infinity) === false) { $$answer }",
  },
  {
    name: "a close code of a conversation that worked counts as a refusal",
    from: `if ($code !== 1008 || $phase === $ready) return { $$plain };`,
    to: `if ($code !== 1008 || $phase !== $phase) return { $$plain };`,
  },
  {
    name: "two clients take the connection from each other for ever",
    from: `
      if ($end === $displaced) return { $scheduledAt: Infinity, $demandAt };`,
    to: "",
  },
  {
    name: "no limit for a dial and its first message",
    from: `
      $until: $now + this.$limits.$timeout,
      $shortUntil: $now + (this.$role === $standby
        ? this.$limits.$timeout
        : this.$known.$limit($step, $hungMs))`,
    to: `
      $until: Infinity,
      $shortUntil: $now + this.$known.$limit($step, $hungMs) * Infinity`,
  },
  {
    name: "a silent dial has the whole limit although a request waits",
    from: "return $isUrgent ? $state.$shortUntil : $state.$until;",
    to: "void $isUrgent; return $state.$until;",
  },
  {
    name: "a slow daemon is never given more time",
    from: "Math.max($least, $hungMs / 2 - $PAUSE, 2 * $last)",
    to: "Math.min($least, $least + $PAUSE + $hungMs + $last)",
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
