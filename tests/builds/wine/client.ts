/**
 * A client that a test kills: it starts a program with pipes, prints its
 * process id, and forwards the pipes.
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
  // As clients with a graphical interface do.
  windowsHide: true,
});
process.stdout.write(`pid ${program.pid}\n`);
process.stdin.pipe(program.stdin);
program.stdout.pipe(process.stdout);
