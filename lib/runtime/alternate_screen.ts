/**
 * Shows text on the alternate screen of a terminal, which leaves the lines of
 * the shell as they are.
 *
 * @module
 */

import type { Host } from "./host.ts";

/** Enters the alternate screen, and hides the cursor (xterm, DECTCEM). */
const ENTER = "\x1b[?1049h\x1b[?25l";
const LEAVE = "\x1b[?25h\x1b[?1049l";
/** Moves the cursor to the top left (ECMA-48 CUP). */
const TO_TOP = "\x1b[H";
/** Clears the rest of the line (ECMA-48 EL). */
const CLEAR_LINE = "\x1b[K";
/** Clears the rest of the line and the lines below it (ECMA-48 ED). */
const CLEAR_BELOW = "\x1b[J";

/** Replaces what the screen shows. Rejects if stdout cannot be written. */
export type Paint = (lines: readonly string[]) => Promise<void>;

/**
 * Runs a function that paints on the alternate screen. Restores the screen when
 * the function has ended or thrown, even if stdout cannot be written.
 */
export async function withAlternateScreen<T>(
  host: Pick<Host, "writeStdout">,
  run: (paint: Paint) => Promise<T>,
): Promise<T> {
  try {
    await writeText(host, ENTER);
    return await run((lines) => {
      // Clearing after a line could clear the last character of a full line.
      // No line end follows the last line, because it would scroll the screen.
      const text = lines.map((line, i) =>
        (i + 1 < lines.length ? CLEAR_LINE : CLEAR_BELOW) + line
      ).join("\n");
      return writeText(host, TO_TOP + text);
    });
  } finally {
    await writeText(host, LEAVE).catch(() => {});
  }
}

async function writeText(
  host: Pick<Host, "writeStdout">,
  text: string,
): Promise<void> {
  let rest = new TextEncoder().encode(text);
  while (rest.length > 0) {
    rest = rest.subarray(await host.writeStdout(rest));
  }
}
