/**
 * The frame of the pictures in `.github/`.
 *
 * @module
 */

/** The width of each picture. */
const WIDTH = 800;

/** What a picture has besides its parts. */
export interface PictureFrame {
  readonly title: string;
  readonly height: number;
  /** What is drawn. A test draws the picture again from it. */
  readonly data: unknown;
  /** The rules of the style sheet. */
  readonly style: string;
}

/** Returns a picture as SVG, with these parts in front of a background. */
export function svgText(
  { title, height, data, style }: PictureFrame,
  parts: readonly string[],
): string {
  return [
    '<svg xmlns="http://www.w3.org/2000/svg" ' +
    `viewBox="0 0 ${WIDTH} ${height}" role="img" ` +
    `aria-label="${title}">`,
    `<title>${title}</title>`,
    `<metadata>${JSON.stringify(data)}</metadata>`,
    `<style>${style}</style>`,
    `<rect class="back" width="${WIDTH}" height="${height}"/>`,
    ...parts,
    "</svg>",
    "",
  ].join("\n");
}
