/**
 * Acts as a client that a test kills. It starts a program with pipes, prints
 * its process id, and forwards the pipes.
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
  // Clients with a graphical interface set this option.
  windowsHide: true,
});
process.stdout.write(`pid ${program.pid}\n`);
process.stdin.pipe(program.stdin);
program.stdout.pipe(process.stdout);
