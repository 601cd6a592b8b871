/**
 * Bugs in a connection's lifecycle: dialing, handshake, liveness, sleep.
 *
 * @module
 */

import type { Mutant } from "./fit.ts";

export const LINK: readonly Mutant[] = [
  {
    name: "events of a closed connection count for the current one",
    from: `
      return $connectionId === undefined ? undefined : this.$byConnectionId.get($connectionId);`,
    to: `
      return $connectionId === undefined
        ? undefined
        : this.$byConnectionId.get($connectionId) ?? [...this.$byConnectionId.values()][0];`,
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
    name: "a dial on demand advances the backoff table",
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
    from: `
      $unanswered === undefined
        ? this.$heardAt + $interval
        : $unanswered.$at + $timeout`,
    to: `
      $unanswered === undefined
        ? this.$heardAt + $interval
        : Infinity`,
  },
  {
    name: "silence during a call closes the connection",
    from: `
      if ($load === $busy) {
        return $now >= this.$suspectAt($work) ? $suspect : $probe;
      }
      if ($now >= this.$probeAt) return $probe;
      if (this.$unanswered === undefined) return $probe;
      return $mayFailOver && this.$isDelaying ? $suspect : $close;`,
    to: `
      if ($load === $busy) {
        return $now >= this.$suspectAt($work) ? $close : $probe;
      }
      if ($now >= this.$probeAt) return $probe;
      if (this.$unanswered === undefined) return $probe;
      return $mayFailOver && this.$isDelaying ? $suspect : $close;`,
  },
  {
    name: "a half-open connection is not detected while a call runs",
    from: `
      return $mayFailOver && this.$suspicion === undefined
        ? this.$silentSince + $interval + $timeout
        : Infinity;`,
    to: `
      return $mayFailOver && this.$suspicion === undefined
        ? Infinity * ($interval + $timeout)
        : Infinity;`,
  },
  {
    name: "a second connection is opened to a daemon that may keep one",
    from: "$mayFailOver: $role === $main && this.$keeps === $many",
    to: "$mayFailOver: $role === $main && this.$keeps !== undefined",
  },
  {
    name: "a connection whose daemon is only busy is closed with its calls",
    from: `
      const $isDead = $dialect.$poolSize > 0 || !$requests.$isWorking($id) ||
        $main.$liveness.$isDead($requests.$last($id), $now);`,
    to: "const $isDead = true;",
  },
  {
    name: "a connection that is known to be dead keeps its calls",
    from: `
      const $isDead = $dialect.$poolSize > 0 || !$requests.$isWorking($id) ||
        $main.$liveness.$isDead($requests.$last($id), $now);`,
    to: `
      const $isDead = $dialect.$poolSize > 0 || !$requests.$isWorking($id);`,
  },
  {
    name: "a probe is evidence although the daemon has sent something since",
    from: `
      $probe.$number > this.$heardTo &&
      $now - $probe.$at >= this.$limits.$timeout && $test($probe)`,
    to: `
      $probe.$number > 0 &&
      $now - $probe.$at >= this.$limits.$timeout && $test($probe)`,
  },
  {
    name: "a probe during an earlier call is evidence during this one",
    from: `
      return this.$overtakenTo > $lastCall && this.$isUnheard($now, () => true);`,
    to: `
      return this.$overtakenTo > 0 * $lastCall &&
        this.$isUnheard($now, () => true);`,
  },
  {
    name: "a probe before a sent call is evidence",
    from:
      "return this.$hasEvidence($isWaived ? $lastCall : $suspicion.$lastCall, $now);",
    to:
      "return this.$hasEvidence($isWaived ? 0 * $lastCall : $suspicion.$lastCall, $now);",
  },
  {
    name: "calls are sent on a suspect connection",
    from: "return !this.$isStale && (this.$suspicion?.$isWaived ?? true);",
    to:
      "return !this.$isStale && (this.$suspicion?.$isWaived !== undefined || true);",
  },
  {
    name: "one answer on the standby ends the old connection",
    from: "return $now >= this.$answeredAt + this.$limits.$timeout;",
    to: "return $now >= this.$answeredAt + 0 * this.$limits.$timeout;",
  },
  {
    name: "a call is sent together with the probe before it",
    from: `
      $liveness.$delay($now, $all.$keeps === $many ? Infinity : $DELAY);
      return true;`,
    to: "return $all.$keeps === $many && $DELAY < 0;",
  },
  {
    name: "a call waits for the answer to its probe for ever",
    from: "$liveness.$delay($now, $all.$keeps === $many ? Infinity : $DELAY);",
    to:
      "$liveness.$delay($now, $all.$keeps === $many ? Infinity : $DELAY * Infinity);",
  },
  {
    name: "requests are sent during the capacity check",
    from: "return !$isTrial || $kind === $notification;",
    to: "return !$isTrial || $kind === $notification || true;",
  },
  {
    name: "the capacity check runs after a call",
    from: "const $isPossible = !$all.$hasCalled && $$rest;",
    to: "const $isPossible = $$rest;",
  },
  {
    name: "a connection without answers after the capacity check is kept",
    from: "if (!$trial.$isGreeted) return $conclude($all, false, $now);",
    to:
      "if (!$trial.$isGreeted || $now > 0) return $conclude($all, false, $now);",
  },
  {
    name: "a daemon that still executes a cancelled call counts as idle",
    from: "return this.$all.$hasCall($id) || this.$late.$isWorking($id);",
    to: "return this.$all.$hasCall($id);",
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
    from: "return !this.$isStale && (this.$suspicion?.$isWaived ?? true);",
    to: "return this.$suspicion?.$isWaived ?? true;",
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
