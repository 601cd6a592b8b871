/**
 * Bugs in how a daemon's message forms are understood, and in what is inferred
 * from them.
 *
 * @module
 */

import type { Mutant } from "./fit.ts";

export const FORMS: readonly Mutant[] = [
  {
    name: "forms: an id of the other type is matched where the client has both",
    from: `
      const $isSingle = this.$type === $number || this.$type === $text;
      return $isSingle && this.$type !== $typeOf($id)
        ? $other($id) : undefined;`,
    to: "return this.$type !== $typeOf($id) ? $other($id) : undefined;",
  },
  {
    name: "forms: an id of the other type matches no request",
    from: `
      this.$sawRetyped();
      return $meant;`,
    to: `return undefined;`,
  },
  {
    name: "forms: the client gets the daemon's spelling of its id",
    from: `
      const $answer = $id === $said.$id
        ? $said
        : { ...$said, $id, $text: $replace($said.$text, ["id"], $id) };`,
    to: "const $answer = { ...$said, $id };",
  },
  {
    name: "forms: a progress token of the other type matches no request",
    from: `
      const $meant = $context.$tokens.$find($said);
      if ($meant === undefined || !$isFor($meant)) return undefined;
      return $replace($text, ["params", "progressToken"], $meant);`,
    to: "void $replace; return undefined;",
  },
  {
    name: "forms: a client's id may equal that of an open request of ours",
    from: `
      if (this.$ownId($message.$id) !== undefined) return { $kind: $wait };`,
    to: "",
  },
  {
    name: "forms: our own ids are texts",
    from: `
      $id = \`\${$least + ($chance + this.$count++) % $most}\`;`,
    to: `
      $id = JSON.stringify(\`\${$least + ($chance + this.$count++) % $most}\`);`,
  },
  {
    name: "forms: a response beside other text is lost",
    from: `
      return [
        ...$messages.filter($isAnswer),
        ...$broken.filter($isNamed),
        $$rest
      ];`,
    to: `
      return [...$broken.filter($isNamed), $$rest];`,
  },
  {
    name: "forms: beside other text every message counts",
    from: `
      const $isAnswer = ($it: $Message): $boolean =>
        $it.$kind === $answer ||
        $it.$kind === $invalid && $it.$like === $answer;`,
    to: `
      const $isAnswer = ($it: $Message): $boolean => $it !== undefined;`,
  },
  {
    name: "forms: text around a JSON text is not removed",
    from: `
      const $bare = $text.slice($skip($blank, $text, 0), $end($text));`,
    to: `
      const $bare = $text;`,
  },
  {
    name: "forms: a null member of a response is forwarded",
    from: `
      if ($name === "method" || $name === "params") return true;
      if ($name === ($isError ? "result" : "error")) return true;
      return $name !== "result" && $value[$name] === null;`,
    to: `
      return $isError && $name === "" && $value[$name] === null;`,
  },
  {
    name: "forms: a null result is forwarded",
    from: '$replace($carried, ["result"], "{}")',
    to: "$carried",
  },
  {
    name: "forms: a malformed error is forwarded",
    from: `
      return $replace($text, ["error"], $whole);`,
    to: "void $whole; return $text;",
  },
  {
    name: "forms: keys with escapes are read by the runtime",
    from: `
      if (!$mayEscape) return { $value: $parsed, $text };`,
    to: `
      void $mayEscape;
      if ($text !== "") return { $value: $parsed, $text };`,
  },
  {
    name: "forms: progress that does not rise is withheld",
    from: `
      if ($account.$writes > 1 && !($value > $account.$progress)) return false;`,
    to: "if (!($value > $account.$progress)) return false;",
  },
  {
    name: "forms: progress falls after a request was sent again",
    from: `
      if ($account.$writes > 1 && !($value > $account.$progress)) return false;`,
    to: "",
  },
  {
    name: "forms: a cursor that does not advance is followed",
    from: `
      const $isNew = $next !== undefined && !$now.$byCursor.has($next);`,
    to: "const $isNew = $next !== undefined;",
  },
  {
    name: "forms: an error without an id is assigned to the first request",
    from: "if ($only !== undefined) return undefined; $only = $owed;",
    to: "$only ??= $owed;",
  },
  {
    name:
      "forms: an error without an id never concerns a one-way message or a cancelled request",
    from: `
      const $isElse = $phase !== $ready || $ledger.$late.$isAnyDue($connectionId) ||
        !$context.$told.$isTaken($connectionId);`,
    to: "const $isElse = $phase !== $ready;",
  },
  {
    name: "forms: an unsafe call is repeated after an error without an id",
    from: "$context.$mayRepeat($message) && !$context.$repeated.has($message)",
    to: "!$context.$repeated.has($message)",
  },
  {
    name: "forms: a request that is not understood is repeated for ever",
    from: "$context.$mayRepeat($message) && !$context.$repeated.has($message)",
    to: "$context.$mayRepeat($message)",
  },
  {
    name:
      "forms: after a broken response the request waits until the idle timeout",
    from: `
      if ($isGreeting) return;
      const $known = $context.$unclear.get($id);`,
    to: `
      if ($isGreeting || $id) return;
      const $known = $context.$unclear.get($id);`,
  },
];
