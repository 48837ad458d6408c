/**
 * Places in a scenario: `host.scheduler.policy`, `vms[0].workload`, `vms[web].count`, `vms.web.count`.
 * A part that stands for a list element is its index, or the `name` of the element.
 * Invariant: nothing here changes its input; `withValue` returns a changed copy.
 */

export type Path = readonly (string | number)[];

const PART = /^(?:\.?([A-Za-z_$][\w$-]*)|\[([\w.$-]+)\]|\.(\d+))/;

/** Splits the text of a path into parts, or returns undefined when it is not one. */
export function parsePath(text: string): Path | undefined {
  const parts: (string | number)[] = [];
  let rest = text;
  while (rest !== '') {
    const match = PART.exec(rest);
    if (match === null || (parts.length === 0 && !/^[A-Za-z]/.test(rest))) return undefined;
    const part = match[1] ?? match[2] ?? match[3] ?? '';
    parts.push(/^\d+$/.test(part) ? Number(part) : part);
    rest = rest.slice(match[0].length);
  }
  return parts.length > 0 ? parts : undefined;
}

/** `vms[0].workload` from its parts. */
export function formatPath(path: Path): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else text += text === '' ? part : `.${part}`;
  }
  return text;
}

/** Turns names of list elements into indices. Undefined when a list on the way has no such element. */
export function resolvePath(data: unknown, path: Path): Path | undefined {
  const resolved: (string | number)[] = [];
  let here: unknown = data;
  for (const part of path) {
    if (Array.isArray(here)) {
      const index = typeof part === 'number' ? part : here.findIndex((item) => nameOf(item) === part);
      if (index < 0 || index >= here.length) return undefined;
      resolved.push(index);
      here = here[index];
    } else {
      resolved.push(part);
      here = isPlainObject(here) ? here[String(part)] : undefined;
    }
  }
  return resolved;
}

export function valueAt(data: unknown, path: Path): unknown {
  let here: unknown = data;
  for (const part of path) {
    if (Array.isArray(here)) here = typeof part === 'number' ? here[part] : undefined;
    else if (isPlainObject(here) && Object.hasOwn(here, String(part))) here = here[String(part)];
    else return undefined;
  }
  return here;
}

/** A copy of `data` with `value` at a resolved path; objects on the way are created where nothing stands. */
export function withValue(data: unknown, path: Path, value: unknown): unknown {
  const [head, ...rest] = path;
  if (head === undefined) return value;
  if (Array.isArray(data)) {
    const copy: unknown[] = data.slice();
    copy[Number(head)] = withValue(copy[Number(head)], rest, value);
    return copy;
  }
  const object = isPlainObject(data) ? data : {};
  return { ...object, [String(head)]: withValue(object[String(head)], rest, value) };
}

export function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function nameOf(item: unknown): unknown {
  return isPlainObject(item) ? item['name'] : undefined;
}
