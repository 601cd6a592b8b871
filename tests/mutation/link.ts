/**
 * Bugs in a connection's life: dialing, handshake, liveness, and sleep.
 *
 * @module
 */

import type { Mutant } from "./fit.ts";

export const LINK: readonly Mutant[] = [
  {
    name: "events of a closed connection count for the current one",
    from: "return this.$byConnectionId.get($connectionId!);",
    to: `
      return $connectionId === undefined
        ? undefined
        : this.$byConnectionId.get($connectionId) ?? [...this.$byConnectionId.values()][0];`,
  },
  {
    name: "the backoff does not grow",
    from: "$base * 2 ** this.$failures++",
    to: "$base * 2 ** (this.$failures * 0)",
  },
  {
    name: "a connection that lasted does not reset the backoff",
    from: "if ($isStable && this.$role !== $standby) this.$backoff.$restart();",
    to: "void $isStable;",
  },
  {
    name: "a connection that hardly lasted resets the backoff",
    from: "if ($isStable && this.$role !== $standby) this.$backoff.$restart();",
    to:
      "if ($isStable !== undefined && this.$role !== $standby) this.$backoff.$restart();",
  },
  {
    name: "a connection that has answered does not reset the backoff",
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
    name: "a request that stays open for ever causes dials",
    from: `
      if ($isStanding(method)) this.$held += $by;
      else this.$transient += $by;`,
    to: "this.$transient += $by;",
  },
  {
    name: "a dial for a waiting request advances the backoff schedule",
    from: "this.$aheadOf = $isAhead ? $scheduledAt : undefined;",
    to: "void $isAhead; this.$aheadOf = undefined;",
  },
  {
    name:
      "after a refusal the next dial comes as soon as after any other failure",
    from: `
      if ($isRefused) {
        const $at = $now + $$pause;
        return { $$moments };
      }`,
    to: "",
  },
  {
    name: "a request waits for a daemon that refuses the connection",
    from: `
      return !$isLongLived($method) &&
        !$refusing.$askAgain(this.$effects.$now);`,
    to: "void [$isLongLived, $method, $refusing]; return false;",
  },
  {
    name:
      "no request causes another dial after the daemon has refused the connection",
    from: `
      return !$isLongLived($method) &&
        !$refusing.$askAgain(this.$effects.$now);`,
    to: `return !$isLongLived($method) && !$refusing.$askAgain(-Infinity);`,
  },
  {
    name: "close code 1008 on a connection that worked counts as a refusal",
    from: `if ($code !== 1008 || $phase === $ready) return { $$plain };`,
    to: `if ($code !== 1008 || $phase !== $phase) return { $$plain };`,
  },
  {
    name: "two clients displace each other for ever",
    from: `
      if ($isRecurring) return { $scheduledAt: Infinity, $$urgent };`,
    to: "",
  },
  {
    name: "a dial and its first message have no timeout",
    from: "$until: $now + $timeout, $shortUntil: $now + $shortTimeout",
    to:
      "$until: $timeout * Infinity, $shortUntil: $now + $shortTimeout * Infinity",
  },
  {
    name: "a hanging dial gets the whole timeout although a request waits",
    from: "return $isUrgent ? $state.$shortUntil : $state.$until;",
    to: "void $isUrgent; return $state.$until;",
  },
  {
    name: "a slow daemon is never given more time",
    from: "Math.max($least, $growing, 2 * $last)",
    to: "Math.min($least, $least + Math.abs($growing) + $last)",
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
      return $mayFailOver && !this.$isSuspect
        ? this.$silentSince + $interval + $timeout
        : Infinity;`,
    to: `
      return $mayFailOver && !this.$isSuspect
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
      const $mayClose = $dialect.$pool !== undefined || !$requests.$isWorking($id) ||
        $main.$liveness.$isDead($requests.$last($id), this.$now);`,
    to: "const $mayClose = $id >= 0;",
  },
  {
    name: "a connection that is known to be dead keeps its calls",
    from: `
      const $mayClose = $dialect.$pool !== undefined || !$requests.$isWorking($id) ||
        $main.$liveness.$isDead($requests.$last($id), this.$now);`,
    to: `
      const $mayClose = $dialect.$pool !== undefined || !$requests.$isWorking($id);`,
  },
  {
    name:
      "an unanswered probe counts as evidence although the daemon has sent something since",
    from: "return this.$probes.find(({ $$unheard }) => !$isHeard);",
    to: "return this.$probes[0];",
  },
  {
    name:
      "a probe sent during an earlier call counts as evidence during a later one",
    from:
      "return this.$overtakenTo > $lastCall && $probe !== undefined && $$silent;",
    to:
      "return this.$overtakenTo > 0 * $lastCall && $probe !== undefined && $$silent;",
  },
  {
    name: "a probe sent before a call counts as evidence during that call",
    from: `
      const $lastCall = $suspicion.$state === $waived
        ? $lastNumber
        : $suspicion.$number;`,
    to: `
      const $lastCall = $suspicion.$state === $waived
        ? 0 * $lastNumber
        : $suspicion.$number;`,
  },
  {
    name: "calls are sent on a suspect connection",
    from: "return !this.$isStale && this.$suspicion.$state !== $suspect;",
    to: "return !this.$isStale;",
  },
  {
    name: "one answer on the standby ends the old connection",
    from: "return $now >= this.$answeredAt + this.$limits.$timeout;",
    to: "return $now >= this.$answeredAt + 0 * this.$limits.$timeout;",
  },
  {
    name: "a call is sent together with the probe before it",
    from: `
      $liveness.$delay(this.$now, $isMany ? Infinity : $DELAY);
      return true;`,
    to: "return $isMany && $DELAY < 0;",
  },
  {
    name: "a call waits for the answer to its probe for ever",
    from: "$liveness.$delay(this.$now, $isMany ? Infinity : $DELAY);",
    to: "$liveness.$delay(this.$now, $isMany ? Infinity : $DELAY * Infinity);",
  },
  {
    name: "requests are sent during the capacity check",
    from: `
      const $isBlocked = $role === $main && this.$links.$capacity.$isChecking &&
        $$request;`,
    to: "const $isBlocked = $role === $main && $role !== $main;",
  },
  {
    name: "the capacity check runs after a call",
    from: "const $isPossible = !this.$sender.$hasCalled && $$rest;",
    to: "const $isPossible = $$rest;",
  },
  {
    name: "a connection that answers nothing after the capacity check is kept",
    from: "if (!$check.$isReady) return this.$conclude($check, false);",
    to:
      "if (!$check.$isReady || $check.$isReady) return this.$conclude($check, false);",
  },
  {
    name: "a daemon that still executes a cancelled call counts as idle",
    from: "return this.$hasCall($id) || this.$late.$isWorking($id);",
    to: "return this.$hasCall($id);",
  },
  {
    name: "requests expire because of a sleep",
    from: `
      for (const $owner of this.$timed) $owner.$shift?.($gap);
      this.$second.$closeStandby();`,
    to: "void $gap; this.$second.$closeStandby();",
  },
  {
    name: "a connection is used after a sleep without a check",
    from: "return !this.$isStale && this.$suspicion.$state !== $suspect;",
    to: "return this.$suspicion.$state !== $suspect;",
  },
  {
    name: "a suspension of the program is not noticed",
    from: `
      const $gap = $late > $LIMIT ? $since : 0;
      const $unseen = $ahead > $LIMIT ? $ahead : 0;`,
    to: `
      const $gap = $late > $LIMIT ? $since * 0 : 0;
      const $unseen = $ahead > $LIMIT ? $ahead : 0;`,
  },
];
