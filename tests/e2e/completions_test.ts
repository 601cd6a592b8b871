/**
 * The completion scripts in the real shells.
 *
 * @module
 */

import { assert, assertEquals } from "../helpers/assert.ts";
import { runToExit } from "../helpers/process.ts";
import { test, withWaitLimit } from "../helpers/time_limit.ts";

/** Words of a command line, and the completions of the last word, sorted. */
const CASES: [words: string[], completions: string[]][] = [
  [["doc"], ["doctor"]],
  [["install", "cl"], ["claude-code", "claude-desktop"]],
  [["install", "cursor", "--wr"], ["--write"]],
  [["uninstall", "ze"], ["zed"]],
  [["doctor", "--js"], ["--json"]],
  [["status", "--w"], ["--watch"]],
  [["status", "--v"], ["--verbose"]],
  [["hist"], ["history"]],
  [["history", "--j"], ["--json"]],
  [["completions", "fi"], ["fish"]],
  [["help", "uni"], ["uninstall"]],
  [["--queue-t"], ["--queue-timeout"]],
  [["--retry", ""], ["always", "never", "safe"]],
  [["doctor", "--dialect", ""], ["exai", "mcp"]],
  [["--cache", "of"], ["off"]],
  [["--ca-file", "LICEN"], ["LICENSE"]],
  [["--url", ""], []],
];

const BASH = `
source "$1"
shift
COMP_WORDS=(alwaysup "$@")
COMP_CWORD=$#
_alwaysup
printf '%s\\n' "\${COMPREPLY[@]}"
`;

const FISH = `
source $argv[1]
complete -C "alwaysup $argv[2..]" | string split -f1 \\t
true
`;

/** Types the line and a tab into an interactive zsh, and reads the new line. */
const ZSH = `
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PROMPT=; autoload -Uz compinit; compinit -u -D; source $1; print READY-\\$((1+1))"
zpty -r -m shell text '*READY-2*'
zpty -w -n shell "alwaysup \${(j: :)@[2,-2]}"$'\\t'
zpty -r -m shell text "*\${@[-1]}*"
print -r -- "\${@[-1]}"
zpty -d shell
`;

async function hasShell(name: string): Promise<boolean> {
  try {
    const command = new Deno.Command(name, { args: ["--version"] });
    return (await command.output()).success;
  } catch {
    return false;
  }
}

/** Runs a script in a shell, and returns the lines that it prints. */
async function runInShell(
  shell: string,
  script: string,
  args: readonly string[],
): Promise<string[]> {
  const flags: Record<string, string[]> = {
    bash: ["--norc", "-c", script, "bash"],
    fish: ["--no-config", "-c", script],
    zsh: ["-f", "-c", script, "zsh"],
  };
  const command = new Deno.Command(shell, {
    args: [...flags[shell]!, ...args],
    cwd: new URL("../..", import.meta.url),
    env: { TERM: "dumb" },
    stdin: "null",
  });
  const output = await withWaitLimit(command.output(), `${shell} ${args}`);
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  assert(output.success, text(output.stderr));
  return text(output.stdout).split("\n").filter((line) => line !== "");
}

/** @param fn gets the path of the completion script */
async function testInShell(
  shell: string,
  fn: (file: string) => Promise<void>,
): Promise<void> {
  const isInstalled = await hasShell(shell);
  const why = isInstalled ? "" : " (skipped: the shell is not installed)";
  test(`Completions: they work in ${shell}${why}`, async () => {
    const { code, stdout, stderr } = await runToExit(["completions", shell]);
    assertEquals([code, stderr], [0, ""]);
    const file = await Deno.makeTempFile();
    await Deno.writeTextFile(file, stdout);
    await fn(file);
    await Deno.remove(file);
  }, { ignore: !isInstalled });
}

await testInShell("bash", async (file) => {
  for (const [words, completions] of CASES) {
    const found = await runInShell("bash", BASH, [file, ...words]);
    assertEquals(found.toSorted(), completions, words.join(" "));
  }
});

await testInShell("fish", async (file) => {
  for (const [words, completions] of CASES) {
    const found = await runInShell("fish", FISH, [file, ...words]);
    assertEquals(found.toSorted(), completions, words.join(" "));
  }
});

await testInShell("zsh", async (file) => {
  for (const [words, completions] of CASES) {
    // zsh completes the line only if there is a single completion.
    if (completions.length !== 1) continue;
    await runInShell("zsh", ZSH, [file, ...words, ...completions]);
  }
});

test("Completions: the script for PowerShell names every command", async () => {
  const { code, stdout } = await runToExit(["completions", "powershell"]);
  assertEquals(code, 0);
  for (const name of ["doctor", "install", "completions", "--queue-timeout"]) {
    assert(stdout.includes(`'${name}'`), name);
  }
});
