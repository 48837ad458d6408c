/**
 * Gives each of a few tasks a place of its own: a bipartite matching by augmenting paths.
 * Invariants: nobody gets a place it may not have, no place is given twice; earlier tasks and earlier places go first where
 * there is a choice; answers null only if there really is no way. Source: textbook (Kuhn's method).
 */

/**
 * The place of each task, as an index into the places; null if they do not all fit.
 * @param tasks number of tasks
 * @param places number of places
 * @param fits may that task have that place?
 */
export function matchPlaces(
  tasks: number,
  places: number,
  fits: (task: number, place: number) => boolean,
): number[] | null {
  const { owner, matched } = matching(tasks, places, fits, true);
  return matched < tasks ? null : Array.from({ length: tasks }, (_, task) => owner.indexOf(task));
}

/** How many tasks can have a place at the same time. */
export function largestMatching(tasks: number, places: number, fits: (task: number, place: number) => boolean): number {
  return matching(tasks, places, fits, false).matched;
}

/** Seats one task after the other; gives up at the first without a place, if `all` must have one. */
function matching(
  tasks: number,
  places: number,
  fits: (task: number, place: number) => boolean,
  all: boolean,
): { readonly owner: readonly number[]; readonly matched: number } {
  const owner: number[] = Array.from<number>({ length: places }).fill(-1);
  const seat = (task: number, tried: Set<number>): boolean => {
    // A free place first, so that nobody is moved without need.
    for (const onlyFree of [true, false]) {
      for (let place = 0; place < places; place++) {
        if (tried.has(place) || !fits(task, place) || (onlyFree && owner[place] !== -1)) continue;
        tried.add(place);
        if (owner[place] !== -1 && !seat(owner[place], tried)) continue;
        owner[place] = task;
        return true;
      }
    }
    return false;
  };
  let matched = 0;
  for (let task = 0; task < tasks; task++) {
    if (seat(task, new Set())) matched++;
    else if (all) break;
  }
  return { owner, matched };
}
