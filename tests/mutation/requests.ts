/**
 * Bugs in how requests end. Each must get exactly one response, in order and in
 * time, and nothing unsafe may be executed twice.
 *
 * @module
 */

import type { Mutant } from "./fit.ts";

export const REQUESTS: readonly Mutant[] = [
  {
    name: "a tools/call that is not safe is sent again",
    from: "return $params.task === undefined && $hinted($params.name);",
    to: "return $params.task === undefined;",
  },
  {
    name: "a tools/call that makes a task is sent again",
    from: "return $params.task === undefined && $hinted($params.name);",
    to: "return $hinted($params.name);",
  },
  {
    name: "--retry never and --retry always change nothing",
    from:
      `return this.$retry === "safe" ? this.$isSafe($request) : this.$retry === "always";`,
    to: "return this.$isSafe($request);",
  },
  {
    name: "a request is sent a third time after two lost connections",
    from: "this.$losses < $limit || $isLongLived($request.method)",
    to: "this.$losses < $limit + 1 || $isLongLived($request.method)",
  },
  {
    name: "a request in flight on a lost connection gets no response",
    from: `
      this.$apply($key, $now, ($it) => $it.$onLost($now, $recoveryFor)) ===
        $failed`,
    to: `
      (void $failed,
        void this.$apply($key, $now, ($it) => $it.$onLost($now, $recoveryFor)),
        false)`,
  },
  {
    name: "a request lost after it was sent is reported as undelivered",
    from: "const $was = $isSent || $writes > 0 || $losses > 0;",
    to: "const $was = $isSent || $writes + $losses < 0;",
  },
  {
    name: "a request that may have been executed is reported as retryable",
    from: `return $delivered === "no" || $isSafe;`,
    to: "return $delivered !== undefined || $isSafe;",
  },
  {
    name: "a late response reaches the client",
    from: `
      this.$ids.$late($answer.id, $connectionId);
      this.$effects.$log.$stray($$words);`,
    to: `
      this.$ids.$late($answer.id, $connectionId);
      this.$effects.toClient($answer.text);`,
  },
  {
    name: 'ids 1 and "1" are the same',
    from: `if (typeof $id === "string") return JSON.stringify($id);`,
    to: `if (typeof $id === "string") {
      return Number.isInteger(Number($id)) ? $id : JSON.stringify($id);
    }`,
  },
  {
    name: "a request whose id is in flight is sent to the daemon",
    from: `
      if (this.$requests.$find(id) !== undefined) {
        this.$effects.$log.$twice($request);
        return $other;
      }`,
    to: "",
  },
  {
    name: "only the first message of a batch is read",
    from: "return $value.map(($element, $i) => $classify($$element));",
    to:
      "return $value.slice(0, 1).map(($element, $i) => $classify($$element));",
  },
  {
    name: "a malformed response leaves its request without an answer",
    from: `
      if ($link.$phase === $ready) return $$wait;
      this.$requests.$settle($entry.$key, $connectionId);
      const $text = $$why;
      this.$effects.$fail($entry.$key, $$error);`,
    to: `
      if ($link.$phase === $ready) return $$wait;
      this.$requests.$settle($entry.$key, $connectionId);`,
  },
  {
    name: "a response over --max-message is forwarded",
    from: `
      const $isTooLarge = $text.length > this.$config.$max;
      if (!$isTooLarge && $$listed) { $$record }`,
    to: `
      const $isTooLarge = $text.length > this.$config.$max * Infinity;
      if (!$isTooLarge && $$listed) { $$record }`,
  },
  {
    name: "a request gets no response after an exception in our own code",
    from: `
      this.$requests.$cancel(id);
      const $text = $$why;
      this.$effects.$fail(id, $$error);`,
    to: "this.$requests.$cancel(id);",
  },
  {
    name: "requests still open at the end get no answer",
    from: `
      const $request = $entry as $Request;
      this.$effects.$reply(this.$lastError($request));`,
    to: `
      const $request = $entry as $Request;
      this.$lastError($request);`,
  },
  {
    name: "the queue is sent in reverse order",
    from: "$lane.set($entry, $entry.$isReady ? $entry.$order : Infinity);",
    to: "$lane.set($entry, $entry.$isReady ? -$entry.$order : Infinity);",
  },
  {
    name:
      "a request that waits for the next connection is sent after later ones",
    from: "$lane.set($entry, $entry.$isReady ? $entry.$order : Infinity);",
    to: `
      $lane.set(
        $entry,
        $entry.$isReady
          ? $entry.$order + ($entry.writeCount > 0 ? 1e9 : 0)
          : Infinity,
      );`,
  },
  {
    name: "a timeout that is far away never comes",
    from: "if ($now >= this.$farAt) this.$updateAll($now);",
    to: "void this.$updateAll;",
  },
  {
    name: "nothing is due after a call, whatever else is going on",
    from:
      `if ($change === $plain && this.$isCalm && $now < this.$at) { $$skip }`,
    to: `if ($change === $plain && $now < this.$at) { $$skip }`,
  },
  {
    name: "the queue has no limit",
    from: "return $size >= this.$limit * $share || $$bytes;",
    to: "return $$bytes;",
  },
  {
    name: "no queue timeout",
    from: "return $since === undefined ? Infinity : $since + this.$left;",
    to: "return $since === undefined ? Infinity : Infinity + this.$left;",
  },
  {
    name: "the queue timeout runs while a connection is ready",
    from: `
      if (this.$hasLink($entry.$message)) $entry.$stop($now);
      else $entry.$start($now);`,
    to: "$entry.$start($now);",
  },
  {
    name: "the queue timeout restarts with every outage",
    from: "this.$queueLeft -= $now - this.$waitsSince;",
    to: "void $now;",
  },
  {
    name: "a hint of the old daemon is enough to send a call again",
    from: "return this.$needsHint($request) ? $confirm : $again;",
    to: "return this.$needsHint($request) ? $again : $again;",
  },
  {
    name:
      "a call is sent again although the new daemon does not confirm its hint",
    from: `
      if ($answer === $once) return this.$giveUp($entry);
      if ($answer === $unknown) { $$park }`,
    to: "if ($answer === $unknown) { $$park }",
  },
  {
    name: "a call waits for a hint for ever",
    from: "const $until = $now + this.$leftMs!;",
    to: "const $until = $now * Infinity;",
  },
  {
    name: "an id is reused while its late response may still arrive",
    from: "return $late.has(id) || $other !== undefined && $late.has($other);",
    to: "return $other !== undefined && $late.has($other);",
  },
  {
    name: "no total timeout",
    from: "this.$endsAt = $now + ($limits.$total?.$ms ?? Infinity);",
    to: "this.$endsAt = Infinity;",
  },
  {
    name: "no idle timeout",
    from: "$until: $isOpening ? Infinity : $now + this.$limits.$idle.$ms",
    to: "$until: Infinity",
  },
  {
    name: "progress does not extend the idle timeout",
    from: "$state.$idleUntil = $now + this.$limits.$idle.$ms;",
    to: "",
  },
  {
    name: "a provider's timeout is not applied",
    from: `
      if (typeof $text !== "string") return undefined;
      let $isFound = false;`,
    to: `
      if (typeof $text !== "string" || $text !== "") return undefined;
      let $isFound = false;`,
  },
  {
    name: "a cancelled request is answered",
    from: `
      if (this.$requests.$find(id)?.$message.method === "initialize") return;
      const $isCarried = $$told;
      const $entry = this.$requests.$cancel(id);`,
    to: `
      if (this.$requests.$find(id)?.$message.method === "initialize") return;
      const $isCarried = $$told;
      const $entry = this.$requests.$find(id);`,
  },
  {
    name: "a cancel does not reach the daemon",
    from: "const $frame = $isCarried ? $notification.$text : undefined;",
    to: "const $frame = undefined;",
  },
  {
    name: "the daemon's requests reach the client with the daemon's own ids",
    from: `
      const $id = JSON.stringify(\`e\${$connectionId}:\${++this.$count}\`);
      const $token = $getId($request, $$path);`,
    to: `
      const $id = $request.id; void $connectionId;
      const $token = $getId($request, $$path);`,
  },
  {
    name: "a body after a Content-Length header is read as a line",
    from:
      "if ($isValid) this.$remaining = $length; this.$declared = undefined;",
    to: "void $isValid; this.$declared = undefined;",
  },
  {
    name: "a client that sends Content-Length headers gets no error",
    from: `
      const id = $requestIn($message, $body);
      this.$reject(id, $$why);`,
    to: "void $requestIn($message, $body);",
  },
];
