/** What was built, and is what users run: a loader of TypeScript would add its own cost to every function. */

/** A module of the program, by its path below dist/, without the ending. */
export async function built<T>(path: string): Promise<T> {
  return (await import(new URL(`../dist/${path}.js`, import.meta.url).href)) as T;
}
