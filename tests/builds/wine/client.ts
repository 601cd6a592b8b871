/**
 * A client that a test kills: it starts a program with pipes, says which, and
 * passes on what goes through them.
 *
 *     bun client.ts COMMAND [ARGUMENT...]
 *
 * @module
 */

import { spawn } from "node:child_process";
import process from "node:process";

const [command, ...args] = process.argv.slice(2);
const { BUN_BE_BUN: _, ...env } = process.env;
const program = spawn(command!, args, {
  env,
  stdio: ["pipe", "pipe", "ignore"],
  // As clients with windows of their own do it.
  windowsHide: true,
});
process.stdout.write(`pid ${program.pid}\n`);
process.stdin.pipe(program.stdin);
program.stdout.pipe(process.stdout);
