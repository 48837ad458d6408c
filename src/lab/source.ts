/**
 * The text of a scenario as data that still knows where each value stands.
 * Invariant: whatever the bytes are, the answer is data or a list of problems, in bounded time and memory.
 */
import { readFileSync, statSync } from 'node:fs';
import { type Document, isAlias, isMap, isScalar, LineCounter, type Node, parseDocument } from 'yaml';
import { UserError } from '../core/errors.ts';
import type { Path } from './paths.ts';
import { type Place, type Problem, ScenarioError } from './problems.ts';

/** Larger files are refused before they are read: a scenario is a page or two. */
export const SCENARIO_BYTES_MAX = 1024 * 1024;
/** How often an alias may be resolved; stops documents that grow without bound when their aliases are followed. */
const ALIASES_MAX = 100;
/** Brackets and indentation levels; the YAML reader itself recurses. */
const DEPTH_MAX = 60;

/** Data with places. */
export interface Source {
  readonly name: string;
  readonly data: unknown;
  /** The place of the value at `path`, or of the nearest thing around it. */
  locate(path: Path, atKey?: boolean): Place;
}

/** Reads a text file that a person wrote. Every way in which that can fail is a UserError of one line. */
export function readTextFile(file: string, what: string, bytesMax: number): string {
  try {
    const stat = statSync(file);
    if (stat.isDirectory()) throw new UserError(`${file}: is a directory, expected ${what}`);
    if (!stat.isFile()) throw new UserError(`${file}: is not a regular file, expected ${what}`);
    if (stat.size > bytesMax) {
      throw new UserError(`${file}: too large for ${what}: ${stat.size} bytes, at most ${bytesMax} are read`);
    }
    const bytes = readFileSync(file);
    if (bytes.includes(0)) throw new UserError(`${file}: is not a text file, expected ${what}`);
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    if (error instanceof UserError) throw error;
    if (error instanceof TypeError) throw new UserError(`${file}: is not a UTF-8 text file, expected ${what}`);
    throw new UserError(`${file}: ${ioReason(error)}`);
  }
}

/** What the operating system said, in words. */
export function ioReason(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const reasons: Record<string, string> = {
    ENOENT: 'no such file or directory',
    EACCES: 'permission denied',
    EPERM: 'operation not permitted',
    EISDIR: 'is a directory',
    ENOTDIR: 'a part of the path is not a directory',
    ENOSPC: 'no space left on device',
    EROFS: 'read-only file system',
    EEXIST: 'exists already',
    ENAMETOOLONG: 'name too long',
    ELOOP: 'too many symbolic links',
  };
  return reasons[code] ?? (code !== '' ? code : String(error));
}

/** Parses YAML. Throws a ScenarioError with every syntax error. */
export function parseYaml(text: string, name: string): Source {
  const lines = new LineCounter();
  refuseDeepNesting(text, name);
  const doc = parseDocument(text, { lineCounter: lines, uniqueKeys: true, prettyErrors: false, stringKeys: true });
  const problems: Problem[] = [...doc.errors, ...doc.warnings].map((error) => ({
    place: at(name, lines, error.pos[0]),
    path: '',
    message: syntaxMessage(error.code, error.message),
  }));
  if (problems.length > 0) throw new ScenarioError(problems);
  let data: unknown;
  try {
    data = doc.toJS({ maxAliasCount: ALIASES_MAX });
  } catch (error) {
    if (!(error instanceof ReferenceError)) throw error;
    const unknown = /\): (.*)$/.exec(error.message)?.[1];
    const message =
      unknown === undefined
        ? 'its aliases (*name) stand for far more data than a scenario needs'
        : `the alias *${unknown} has no anchor &${unknown} before it`;
    throw new ScenarioError([{ place: { source: name, line: 1, column: 1 }, path: '', message }]);
  }
  return {
    name,
    data,
    locate: (path, atKey = false) => at(name, lines, offsetOf(doc, path, atKey)),
  };
}

/** Data that was made by a program: the place of everything is its name. */
export function dataSource(data: unknown, name: string): Source {
  return { name, data, locate: () => ({ source: name }) };
}

function at(source: string, lines: LineCounter, offset: number): Place {
  const { line, col } = lines.linePos(offset);
  return { source, line: Math.max(1, line), column: Math.max(1, col) };
}

/** Start of the node at `path`; where nothing stands, of the nearest node around it. */
function offsetOf(doc: Document.Parsed, path: Path, atKey: boolean): number {
  let node: Node | null = doc.contents;
  let offset = node?.range?.[0] ?? 0;
  for (const [depth, part] of path.entries()) {
    if (isAlias(node)) node = node.resolve(doc) ?? null;
    let next: unknown;
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(part));
      next = atKey && depth === path.length - 1 ? pair?.key : (pair?.value ?? pair?.key);
    } else if (node !== null && 'items' in node && Array.isArray(node.items)) {
      next = node.items[Number(part)];
    }
    if (!isNode(next)) return offset;
    node = next;
    offset = node.range?.[0] ?? offset;
  }
  return offset;
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'range' in value;
}

/** The reader recurses per level, so the depth is bounded before it starts. */
function refuseDeepNesting(text: string, name: string): void {
  let depth = 0;
  let line = 1;
  for (const char of text) {
    if (char === '\n') line++;
    else if (char === '[' || char === '{') depth++;
    else if (char === ']' || char === '}') depth = Math.max(0, depth - 1);
    if (depth > DEPTH_MAX) throw tooDeep(name, line);
  }
  for (const [index, row] of text.split('\n').entries()) {
    // A row such as "- - - - x" or "? ? x" opens one level per mark; so does each step of indentation.
    const indent = /^[\s?-]*/.exec(row)?.[0].length ?? 0;
    if (indent > 4 * DEPTH_MAX) throw tooDeep(name, index + 1);
  }
}

function tooDeep(name: string, line: number): ScenarioError {
  const message = `nested deeper than ${DEPTH_MAX} levels`;
  return new ScenarioError([{ place: { source: name, line, column: 1 }, path: '', message }]);
}

function syntaxMessage(code: string, message: string): string {
  const known: Record<string, string> = {
    DUPLICATE_KEY: 'this key stands here twice',
    TAB_AS_INDENT: 'a tab is used for indentation; YAML wants spaces',
    MULTIPLE_DOCS: 'a second document starts here; a scenario is one document',
    NON_STRING_KEY: 'a key must be a text',
    TAG_RESOLVE_FAILED: 'tags (!) are not used in scenarios',
  };
  return known[code] ?? message.split('\n')[0] ?? message;
}
