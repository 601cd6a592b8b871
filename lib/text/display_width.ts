/**
 * Measures, shortens and wraps text by the columns that it takes on a terminal.
 *
 * @module
 */

/**
 * Matches a character that takes no column of its own: marks and format
 * characters, and the vowels of Korean syllables.
 */
const ZERO_WIDTH = /^[\p{Mn}\p{Me}\p{Cf}\u1160-\u11ff]/u;
/**
 * Matches a character that takes two columns: East Asian wide (UAX #11), and
 * emoji. Half of a flag takes one column.
 */
const DOUBLE_WIDTH =
  /^(?![\u303f\u{1f1e6}-\u{1f1ff}])[\p{Emoji_Presentation}\u1100-\u115f\u2329\u232a\u2e80-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{18dff}\u{1aff0}-\u{1b2ff}\u{1d300}-\u{1d37f}\u{1f200}-\u{1f2ff}\u{20000}-\u{3fffd}]/u;
/** Asks for the form of a symbol as an emoji, which takes one column more. */
const EMOJI_SELECTOR = "\ufe0f";
const CUT_MARK = "\u2026";

/**
 * Returns how many columns a text takes on a terminal. Terminals differ for
 * sequences of several emoji; then this is the largest number.
 */
export function displayWidth(text: string): number {
  let width = 0;
  for (const char of text) width += widthOfChar(char);
  return width;
}

function widthOfChar(char: string): number {
  // The soft hyphen is a format character, but terminals show it.
  if (char < "\u0300") return 1;
  if (char === EMOJI_SELECTOR) return 1;
  if (ZERO_WIDTH.test(char)) return 0;
  return DOUBLE_WIDTH.test(char) ? 2 : 1;
}

/** Adds spaces until a text takes this many columns. */
export function padToWidth(text: string, columns: number): string {
  return text + " ".repeat(Math.max(0, columns - displayWidth(text)));
}

/** Replaces the end of a text that is too wide by an ellipsis. */
export function cutEnd(text: string, columns: number): string {
  if (displayWidth(text) <= columns) return text;
  if (columns < 1) return "";
  return takeColumns([...text], columns - 1).join("") + CUT_MARK;
}

/** Replaces the middle of a text that is too wide by an ellipsis. */
export function cutMiddle(text: string, columns: number): string {
  if (displayWidth(text) <= columns) return text;
  if (columns < 1) return "";
  const tailColumns = Math.floor((columns - 1) / 2);
  const chars = [...text];
  const head = takeColumns(chars, columns - 1 - tailColumns);
  const tail = takeColumns(chars.toReversed(), tailColumns).toReversed();
  return head.join("") + CUT_MARK + tail.join("");
}

/** Returns the first characters, as many as fit. */
function takeColumns(chars: readonly string[], columns: number): string[] {
  let width = 0;
  const end = chars.findIndex((char) => (width += widthOfChar(char)) > columns);
  return chars.slice(0, end === -1 ? undefined : end);
}

/**
 * Breaks a text at spaces into lines. A word that is wider than a line is
 * broken anywhere.
 *
 * @param columns at least 2
 */
export function wrapText(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line === "") line = word;
    else if (displayWidth(line) + 1 + displayWidth(word) > columns) {
      lines.push(line);
      line = word;
    } else line += ` ${word}`;
    while (displayWidth(line) > columns) {
      const start = takeColumns([...line], columns).join("");
      lines.push(start);
      line = line.slice(start.length);
    }
  }
  return [...lines, line];
}
