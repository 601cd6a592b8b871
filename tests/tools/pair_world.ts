export function livePair(_seed: number): object {
  return {};
}
