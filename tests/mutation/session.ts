/**
 * Bugs in what is sent on a new connection, in what the client gets while there
 * is no connection, and in what people are shown.
 *
 * @module
 */

import type { Mutant } from "./fit.ts";

export const SESSION: readonly Mutant[] = [
  {
    name: "initialize is not replayed",
    from: "return { $text: $replay(this.$negotiated, $id) };",
    to: 'return { $text: `{"jsonrpc":"2.0","id":${$id},"method":"ping"}` };',
  },
  {
    name: "initialize is replayed with the version that the client asked for",
    from: `
      if (typeof $version !== "string") return $text;
      const $path = ["params", "protocolVersion"];`,
    to: `
      if (typeof $version === "string") return $text;
      const $path = ["params", "protocolVersion"];`,
  },
  {
    name: "a daemon with another protocol version is accepted",
    from:
      "if ($version === $told) { this.$agreed = { $$agreement }; return { $$ready }; }",
    to:
      "if ($version !== undefined) { this.$agreed = { $$agreement }; return { $$ready }; }",
  },
  {
    name: "notifications/initialized is not replayed",
    from: "return this.$text === undefined ? [] : [this.$text];",
    to: "return [];",
  },
  {
    name: "the log level is not replayed",
    from: 'if ($method === "logging/setLevel") this.$level = $text;',
    to: "",
  },
  {
    name: "resource subscriptions are not replayed",
    from:
      'if ($method === "resources/subscribe") { this.$uris.set($uri, $text); }',
    to: "",
  },
  {
    name: "the client is not notified that a list has changed",
    from: "return { $kind: $isSame ? $same : $changed };",
    to: "return { $kind: $isSame ? $same : $same };",
  },
  {
    name: "the client is not notified when its placeholder is replaced",
    from: `
      if (!this.$offline.$endPlaceholder()) return $$compare;
      for (const $list of $LISTS) { $$notify }`,
    to: "if (!this.$offline.$endPlaceholder()) return $$compare;",
  },
  {
    name: "a list comes from the cache although the daemon may be reachable",
    from: "if (!$isFresh && !this.$availability.$isDown) { $$wait }",
    to: "void $isFresh;",
  },
  {
    name: "another daemon's cache is used",
    from: `
      .every(($name) => $value[$name] === $owner[$name]);
      if (!$isOurs) return $why;`,
    to: ".every(($name) => $value[$name] === $owner[$name]); void $isOurs;",
  },
  {
    name: "a private result is cached for others",
    from: `return ($get($value, "cacheScope") ?? "public") === "public";`,
    to: "return $value !== null;",
  },
  {
    name: "a secret that the daemon quotes is shown",
    from: "return ($text) => $encoded($hide($text), $hide);",
    to: "return ($text) => $encoded($text, $hide);",
  },
  {
    name: "a secret that the daemon has encoded is shown",
    from: "return ($text) => $encoded($hide($text), $hide);",
    to: "return ($text) => $hide($text);",
  },
  {
    name: "a text with a secret is cached",
    from: "return this.$hide($text) === $text;",
    to: "return this.$hide($text) !== null;",
  },
  {
    name: "a secret in an error reaches the client",
    from: "const $value = $mapStrings($text.slice($start, $end), this.$hide);",
    to: "const $value = $text.slice($start, $end);",
  },
  {
    name: "wss:// is accepted although certificates are not checked",
    from: `
      if ($isSecure && $sources.$env.$variable === $zero) {
        $problems.push($why);
      }`,
    to: "",
  },
  {
    name: "a plain word counts as a secret",
    from: "$value.length >= $LENGTH && !$PLAIN.test($decoded($value))",
    to: "$value.length >= $LENGTH",
  },
  {
    name: "an encoded character that was cut off shows a secret",
    from: "const $end = $words.slice(0, $words.length - $left.length);",
    to: "const $end = $words;",
  },
  {
    name: "a value that cannot be parsed is shown",
    from: "try { $parse($text); return $text; } catch { return $hidden; }",
    to: "try { return $text; } catch { return $hidden; }",
  },
  {
    name: "no warning is given when a secret is sent without encryption",
    from: "if ($protocol !== $ws || $HERE.test($host) || !$isTold) return [];",
    to: "return [];",
  },
  {
    name: "a setting may replace a header of the WebSocket handshake",
    from:
      "if ($MESSAGE.test($name)) { throw new $SettingError($$what); } $names.$add",
    to: "$names.$add",
  },
  {
    name: "install: another program's arguments are shown",
    from: ".$test($key) && Array.isArray($value) && $isOurs",
    to: ".$test($key) && Array.isArray($value) && ($isOurs || true)",
  },
  {
    name: "install: an entry of the older shape loses its env",
    from: "$flatten($entry); for (const { $name } of $entry.$object.$members)",
    to: "for (const { $name } of $entry.$object.$members)",
  },
  {
    name:
      "close code 1008 is not recorded as a cause, so doctor does not mention the token",
    from: "if ($event.$code === 1008) return $policy;",
    to: "if ($event.$code === 1009) return $policy;",
  },
  {
    name: "doctor reports a wrong token for an exai daemon that is full",
    from: "|| $cause === $policy && $config.$dialect === $mcp;",
    to: "|| $cause === $policy;",
  },
];
