/** Lists of physical CPUs as people write them: numbers and texts "first-last". */

/** The ids in ascending order, each once; empty when a range runs backwards. */
export function parsePcpus(list: readonly (number | string)[]): number[] {
  const ids = new Set<number>();
  for (const item of list) {
    const [first, last] = typeof item === 'number' ? [item, item] : item.split('-').map(Number);
    for (let id = first!; id <= last!; id++) ids.add(id);
  }
  return [...ids].sort((a, b) => a - b);
}
