/** Writes a line to stdout. Exits with 1 if the reader has closed the pipe. */
export function print(line: string): void {
  try {
    Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
  } catch (error) {
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
    Deno.exit(1);
  }
}
