/**
 * Bugs in how unusual forms of a daemon's messages are read, and in what is
 * inferred from them.
 *
 * @module
 */

import type { Mutant } from "./fit.ts";

export const FORMS: readonly Mutant[] = [
  {
    name: "forms: a retyped id is matched although the client uses both types",
    from: `
      const $isSingle = this.$type === $number || this.$type === $text;
      return $isSingle && this.$type !== $typeOf($id)
        ? $other($id) : undefined;`,
    to: "return this.$type !== $typeOf($id) ? $other($id) : undefined;",
  },
  {
    name: "forms: an id of the other type matches no request",
    from: `
      if ($meant !== undefined) this.$sawRetyped();
      return $meant;`,
    to: `void $meant; return undefined;`,
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
      const $meant = this.$requests.$tokens.$find($said);
      if ($meant === undefined || !$isFor($meant)) return undefined;
      return $replace($text, ["params", "progressToken"], $meant);`,
    to: "void $replace; return undefined;",
  },
  {
    name: "forms: a client's id may equal that of one of our pending requests",
    from: `
      if (this.$own.$find($message.$id) !== undefined) return undefined;`,
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
        ...$rest,
      ];`,
    to: `
      return [...$broken.filter($isNamed), ...$rest];`,
  },
  {
    name: "forms: in a frame with other text every message counts",
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
      const $bare = $text.slice($start, $end);
      const $value = $parse($bare);`,
    to: `
      const $bare = $text.slice($start * 0, $end + $text.length);
      const $value = $parse($bare);`,
  },
  {
    name: "forms: a null member of a response is forwarded",
    from: `
      return $name === "method" || $name === "params" || $name === "error" ||
        $value === null && $name !== "id" && $name !== "result";`,
    to: `return $name === "" && $value === null;`,
  },
  {
    name: "forms: a null result is forwarded",
    from: '$replace($carried, ["result"], "{}")',
    to: "$carried",
  },
  {
    name: "forms: a malformed error is forwarded",
    from: '$text: $replace($text, ["error"], $whole)',
    to: '$text: $whole === "" ? $whole : $text',
  },
  {
    name: "forms: escaped keys are left to the runtime's parser",
    from: `
      if ($escaped.length === 0) return { $value: $parsed, $text };`,
    to: `
      void $escaped;
      if ($text !== "") return { $value: $parsed, $text };`,
  },
  {
    name: "forms: progress that does not rise is withheld",
    from: `
      if (this.$writes > 1 && !($value > this.$progress)) return false;`,
    to: "if (!($value > this.$progress)) return false;",
  },
  {
    name: "forms: progress falls after a request was sent again",
    from: `
      if (this.$writes > 1 && !($value > this.$progress)) return false;`,
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
      const $isElse = $phase !== $ready || !$link.$hasTakenAll ||
        this.$requests.$late.$isAnyDue($connectionId);`,
    to: "const $isElse = $phase !== $ready;",
  },
  {
    name: "forms: an unsafe call is repeated after an error without an id",
    from: "this.$rules.$mayRepeat($entry.$message) && !$isRepeated",
    to: "!$isRepeated",
  },
  {
    name: "forms: a request that is not understood is repeated for ever",
    from: "this.$rules.$mayRepeat($entry.$message) && !$isRepeated",
    to: "this.$rules.$mayRepeat($entry.$message)",
  },
  {
    name:
      "forms: after a broken response the request waits until the idle timeout",
    from: `
      if ($entry.$isGreeting) return;
      const $known = this.$unclear.get($id);`,
    to: `
      if ($entry.$isGreeting || $id) return;
      const $known = this.$unclear.get($id);`,
  },
  {
    name: "forms: a large list that is not JSON is read as an empty list",
    from: `
      return $error === undefined && $result === undefined
        ? $invalid($reason, $kind, $id)
        : $response;`,
    to: `
      return $error === undefined && $result === $response
        ? $invalid($reason, $kind, $id)
        : $response;`,
  },
  {
    name: "forms: a member after a large result counts as a part of it",
    from: "const $isPlain = $count($$tail) !== 0 && !$parts.some",
    to: "const $isPlain = $count.name !== '' && !$parts.some",
  },
  {
    name: "forms: an error behind a large result counts as a part of it",
    from: "!($sign.test($body) && $part.test($body) && $count($body) !== 1)",
    to:
      "!($sign.test($body) && $part.test($body) && $count($body) === Infinity)",
  },
  {
    name:
      "forms: of two ids of a large response that is not JSON the last counts",
    from: "if (!$isUnchanged || $isRepeated) return undefined;",
    to: "void $isRepeated; if (!$isUnchanged) return undefined;",
  },
  {
    name: "forms: a message inside an object that is no message counts",
    from: `
      if (!$isMessage($piece.$value)) {
        return { $pieces, $end: $at, $otherEnd: $until, $isBroken: false };
      }`,
    to: `
      if (!$isMessage($piece.$value)) {
        return { $pieces, $end: $at, $otherEnd: $at, $isBroken: false };
      }`,
  },
  {
    name: "forms: a secret in a large error that is not JSON is shown",
    from: "if ($response.$result === undefined) return this.$redact($text);",
    to: "if ($response.$result === undefined) return $text;",
  },
];
