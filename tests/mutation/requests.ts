/**
 * Bugs in how a request ends: exactly one response, nothing unsafe twice, in
 * order, within its timeouts.
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
      `return $retry === "safe" ? this.$isSafe($request) : $retry === "always";`,
    to: "return this.$isSafe($request);",
  },
  {
    name: "a request is sent a third time after two lost connections",
    from: "$entry.$losses < $limit || $isLongLived($message.method)",
    to: "$entry.$losses < $limit + 1 || $isLongLived($message.method)",
  },
  {
    name: "a request in flight on a lost connection gets no response",
    from: "$lost.push($entry as $type); continue;",
    to: "continue;",
  },
  {
    name: "a request lost after it was sent is reported as undelivered",
    from: `return $isSent || $wasSent || $losses > 0 ? "unknown" : "no";`,
    to: `return $isSent ? "unknown" : "no";`,
  },
  {
    name: "a request that may have been executed is reported as retryable",
    from: `return $deliveryOf($request) === "no" || $request.$isSafe;`,
    to: "return true;",
  },
  {
    name: "a late response reaches the client",
    from: `
      const id = $all.$ids.$inFlight($answer.id, $link.$connectionId);
      if (id === undefined) {
        $$drop
      }
      $$middle
      $all.$reply($text);`,
    to: `
      const id = $all.$ids.$inFlight($answer.id, $link.$connectionId);
      if (id === undefined) {
        return $all.$reply('{"jsonrpc":"2.0","id":' + $answer.id + ',"result":{}}');
      }
      $$middle
      $all.$reply($text);`,
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
    from: "if ($all.$requests.$find($request.id) !== undefined) { $$drop }",
    to: "",
  },
  {
    name: "only the first message of a batch counts",
    from: "return $value.map(($element, $i) => $classify($$element));",
    to:
      "return $value.slice(0, 1).map(($element, $i) => $classify($$element));",
  },
  {
    name: "a malformed response leaves its request without an answer",
    from: `
      if ($link.$phase === $ready) return $$wait;
      $all.$requests.$settle(id, $link.$connectionId);
      const $text = $$why;
      $all.$reply($failure(id, $$error));`,
    to: `
      if ($link.$phase === $ready) return $$wait;
      $all.$requests.$settle(id, $link.$connectionId);`,
  },
  {
    name: "a response over --max-message is forwarded",
    from: "if ($text.length > $max) { $text = $errors.$tooLarge($$size); }",
    to: "if ($text.length > Infinity) { $text = $errors.$tooLarge($$size); }",
  },
  {
    name: "a request that meets an error in our own code gets no answer",
    from: "catch ($error) { this.$do($report.$bug($error)); $mend(); }",
    to: "catch ($error) { this.$do($report.$bug($error)); }",
  },
  {
    name: "requests still open at the end get no answer",
    from: `
      if ($message.$kind === $notification) continue;
      const $fate = $all.$fateOf($message, $entry);`,
    to: `
      if ($message.$kind === $notification || $entry !== undefined) continue;
      const $fate = $all.$fateOf($message, $entry);`,
  },
  {
    name: "the queue is sent in reverse order",
    from: "$lane.set($entry, $isReady ? $entry.$order : Infinity);",
    to: "$lane.set($entry, $isReady ? -$entry.$order : Infinity);",
  },
  {
    name:
      "a request that waits for the next connection is sent after later ones",
    from: "$lane.set($entry, $isReady ? $entry.$order : Infinity);",
    to: `
      $lane.set(
        $entry,
        $isReady ? $entry.$order + ($entry.writeCount > 0 ? 1e9 : 0) : Infinity,
      );`,
  },
  {
    name: "the queue has no limit",
    from: "return $size >= this.$limits.$queueLimit * $share || $$bytes;",
    to: "return $$bytes;",
  },
  {
    name: "no queue timeout",
    from: "return $since === undefined ? Infinity : $since + $left;",
    to: "return $since === undefined ? Infinity : Infinity + $left;",
  },
  {
    name: "the queue timeout runs while a connection is ready",
    from: `const $isWaiting = !$hasLink($entry.$message);`,
    to: `const $isWaiting = $hasLink !== undefined;`,
  },
  {
    name: "the queue timeout restarts with every outage",
    from: "$entry.$queueLeft -= $now - $entry.$waitsSince;",
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
      if ($answer === $once) return $giveUp($all, $message, $entry);
      if ($answer === $unknown) return $all.$ledger.$hints.$park($key);`,
    to: "if ($answer === $unknown) return;",
  },
  {
    name: "a call waits for a hint for ever",
    from: "$entry.$hint = { $connectionId, $until: $now + $leftMs, $leftMs };",
    to: "$entry.$hint = { $connectionId, $until: $now * Infinity, $leftMs };",
  },
  {
    name: "an id is reused while its late response may still arrive",
    from: "if ($all.$ids.$isLate($request.id)) return $all.$reply($$refusal);",
    to: "",
  },
  {
    name: "no total timeout",
    from: "$totalUntil: $now + ($limits.$total?.$ms ?? Infinity)",
    to: "$totalUntil: Infinity",
  },
  {
    name: "no idle timeout",
    from: `
      $entry.$number = $written;
      $entry.$idleUntil = $now + $entry.$limits.$idle.$ms;`,
    to: "$entry.$number = $written;",
  },
  {
    name: "progress does not extend the idle timeout",
    from: `
      $entry.$idleUntil = $now + $entry.$limits.$idle.$ms;
      $entry.$said = { $at: $now, $value };`,
    to: "$entry.$said = { $at: $now, $value };",
  },
  {
    name: "a provider's timeout is not applied",
    from: `
      const $slow = $providers.find(({ $total }) => $total < Infinity);
      const $silent = $providers.find(({ $idle }) => $idle < Infinity);`,
    to: `
      const $slow = $providers.find(({ $total }) => $total < 0);
      const $silent = $providers.find(({ $idle }) => $idle < Infinity);`,
  },
  {
    name: "a cancelled request is answered",
    from: `
      $all.$requests.$close(id);
      if ($link === undefined || $open === undefined) return;`,
    to: "if ($link === undefined || $open === undefined) return;",
  },
  {
    name: "a cancel does not reach the daemon",
    from: "const $frame = $isCarried ? $notification.$text : undefined;",
    to: "const $frame = undefined;",
  },
  {
    name: "requests of the daemon keep its ids",
    from: `
      const $id = JSON.stringify(\`e\${$connectionId}:\${++this.$count}\`);
      const $token = $getId($request, $$path);`,
    to: `
      const $id = $request.id; void $connectionId;
      const $token = $getId($request, $$path);`,
  },
  {
    name: "a wrong Content-Length swallows the lines behind it",
    from:
      `if (/^[{[]/.test($text) && $json($text) !== undefined) { $$end } else`,
    to: "",
  },
  {
    name: "a client that frames its messages waits for ever",
    from: "for (const id of $requestsIn($text)) { $$answer }",
    to: "void $requestsIn; void $text;",
  },
];
