/**
 * The rules of style and architecture that a machine can check, as functions over sources: text in, complaints out.
 * Invariant: a complaint says file, line, what is wrong, and what to write instead.
 */

export interface Source {
  /** Relative to the project, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

/** Layers of src/, lowest first; a file imports its own layer and lower ones. */
const LAYERS: readonly string[] = ['core', 'machine', 'guest', 'vmm', 'host', 'cluster', 'lab', 'report'];
/** The commands, the command line and the library index stand on top of everything. */
const TOP_LAYER = LAYERS.length;

/** Layers below this one are simulation: they must be deterministic and synchronous. */
const EXPERIMENT_LAYER = LAYERS.indexOf('lab');

interface Ban {
  readonly pattern: RegExp;
  readonly what: string;
  readonly instead: string;
  /** Applies to layers below this one; everywhere in src without it. */
  readonly below?: number;
}

const BANS: readonly Ban[] = [
  { pattern: /\bMath\.random\b/, what: 'Math.random', instead: 'a named stream of core/rng.ts' },
  { pattern: /\bDate\b/, what: 'Date', instead: 'engine.now' },
  { pattern: /\bperformance\b/, what: 'performance', instead: 'engine.now', below: TOP_LAYER },
  { pattern: /\bprocess\.hrtime\b/, what: 'process.hrtime', instead: 'engine.now', below: TOP_LAYER },
  {
    pattern: /\bMath\.(?:exp|log|log2|log10|log1p|expm1|pow|sin|cos|tan|cbrt|sinh|tanh|atan2|hypot)\b/,
    what: 'a Math function that differs between engines',
    instead: 'integer arithmetic',
    below: EXPERIMENT_LAYER,
  },
  { pattern: /\bset(?:Timeout|Interval|Immediate)\b/, what: 'a timer', instead: 'engine.at', below: EXPERIMENT_LAYER },
  { pattern: /\b(?:async|await)\b/, what: 'async', instead: 'engine.at', below: EXPERIMENT_LAYER },
  { pattern: /\bconsole\s*\./, what: 'console', instead: 'trace.emit, or commands/terminal.ts' },
  { pattern: /(?:^|\s)(?:const\s+)?enum\s+\w/, what: 'enum', instead: 'a union of literals, or integer constants' },
  { pattern: /(?::|<|\bas)\s*any\b/, what: 'any', instead: 'unknown, or the real type' },
  { pattern: /\bexport\s+default\b/, what: 'a default export', instead: 'a named export' },
  { pattern: /\bnamespace\s+\w+\s*\{/, what: 'a namespace', instead: 'a module' },
  {
    pattern: /(?<!\b\w+\d+Array\.from\([^)]*\))\.sort\(\s*\)/,
    what: 'sort without a comparator',
    instead: 'sort((a, b) => ...) with a total order',
  },
  { pattern: /^(?:export\s+)?let\s/, what: 'module-level mutable state', instead: 'a field of an object made per run' },
  {
    pattern: /constructor\s*\([^)]*\b(?:private|public|protected|readonly)\s+\w+\s*[:?]/,
    what: 'a parameter property',
    instead: 'a field and an assignment',
  },
  {
    pattern: /\b(?:TODO|FIXME|XXX|HACK)\b/,
    what: 'a leftover mark',
    instead: 'a row in docs/validation.md, or the work itself',
  },
];

/** Every file says in its head what it is. */
export function checkHeaders(sources: readonly Source[]): string[] {
  return sources.flatMap(({ path, text }) => {
    const head = /^(?:#![^\n]*\n)?\/\*\*([\s\S]*?)\*\//.exec(text);
    if (head === null)
      return [`${path}:1: no header comment; begin the file with /** what it is, its invariants, its source */`];
    const words = (head[1] ?? '').replace(/[*\s]+/g, ' ').trim();
    return words.length < 20 ? [`${path}:1: the header comment says nothing; say what the file is`] : [];
  });
}

/** No file imports a higher layer. */
export function checkLayers(sources: readonly Source[]): string[] {
  return sources.flatMap((source) => {
    const own = layerOf(source.path);
    return own === undefined
      ? []
      : importsOf(source).flatMap(({ target, line }) => {
          const other = layerOf(target);
          if (other === undefined || other <= own) return [];
          return [`${source.path}:${line}: imports ${target} of a higher layer; turn the dependency round`];
        });
  });
}

/** Relative imports name the file as it is. */
export function checkSpecifiers(sources: readonly Source[]): string[] {
  return sources.flatMap((source) =>
    importsOf(source)
      .filter(({ specifier }) => specifier.startsWith('.') && !/\.(?:ts|json)$/.test(specifier))
      .map(
        ({ specifier, line }) => `${source.path}:${line}: '${specifier}' has no ending; write the file's name with .ts`,
      ),
  );
}

/** No two files import each other, directly or by way of others; imports of types alone do not count. */
export function checkCycles(sources: readonly Source[]): string[] {
  const known = new Set(sources.map(({ path }) => path));
  const edges = new Map(
    sources.map((source) => [
      source.path,
      importsOf(source)
        .filter(({ typeOnly, target }) => !typeOnly && known.has(target))
        .map(({ target }) => target),
    ]),
  );
  const done = new Set<string>();
  const complaints: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path);
    if (start >= 0) {
      complaints.push(
        `import cycle: ${[...trail.slice(start), path].join(' -> ')}; move what both need to a third file`,
      );
      return;
    }
    if (done.has(path)) return;
    for (const target of edges.get(path) ?? []) visit(target, [...trail, path]);
    done.add(path);
  };
  for (const { path } of sources) visit(path, []);
  return complaints;
}

/** Words that have no place in src/, each with what to write instead. */
export function checkBans(sources: readonly Source[]): string[] {
  return sources.flatMap(({ path, text }) => {
    const layer = layerOf(path);
    if (layer === undefined) return [];
    const lines = codeOnly(text).split('\n');
    return lines.flatMap((line, index) =>
      BANS.filter(({ pattern, below }) => (below === undefined || layer < below) && pattern.test(line)).map(
        ({ what, instead }) => `${path}:${index + 1}: ${what} is banned here; use ${instead}`,
      ),
    );
  });
}

/** Places of one person's machine. */
export function checkPlaces(sources: readonly Source[]): string[] {
  const place = /(?<![\w.])\/(?:home|root|work|Users)\/\w/;
  return sources.flatMap(({ path, text }) =>
    text
      .split('\n')
      .flatMap((line, index) =>
        place.test(line) ? [`${path}:${index + 1}: a path of one machine; use a path relative to the project`] : [],
      ),
  );
}

/** Files that are longer than one story usually needs, longest first: to be read, not obeyed. */
export function longFiles(sources: readonly Source[], linesMax: number): string[] {
  return sources
    .map(({ path, text }) => ({ path, lines: text.split('\n').length }))
    .filter(({ lines }) => lines > linesMax)
    .sort((a, b) => b.lines - a.lines || (a.path < b.path ? -1 : 1))
    .map(({ path, lines }) => `${path}: ${lines} lines`);
}

interface Import {
  readonly specifier: string;
  /** The file meant, relative to the project; the specifier itself for a package. */
  readonly target: string;
  readonly line: number;
  readonly typeOnly: boolean;
}

const IMPORT =
  /(?:^|\n)\s*(?:import|export)\s+(type\s+)?(?:[\w*{}\s,$]+?\s+from\s+)?'([^']+)'|\bimport\(\s*'([^']+)'\s*\)/g;

function importsOf({ path, text }: Source): Import[] {
  return [...text.matchAll(IMPORT)].map((match) => {
    const specifier = match[2] ?? match[3] ?? '';
    const line = text.slice(0, match.index + match[0].length).split('\n').length;
    // A dynamic import is not a dependency at load time.
    const typeOnly = match[1] !== undefined || match[3] !== undefined;
    return { specifier, target: resolveTarget(path, specifier), line, typeOnly };
  });
}

function resolveTarget(path: string, specifier: string): string {
  if (!specifier.startsWith('.')) return specifier;
  const parts = path.split('/').slice(0, -1);
  for (const part of specifier.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '.') parts.push(part);
  }
  return parts.join('/');
}

/** Everything outside the project that is loaded with a file, by its imports and theirs: packages and parts of Node. */
export function loadedWith(path: string, sources: readonly Source[]): string[] {
  const files = new Map(sources.map((source) => [source.path, source]));
  const outside = new Set<string>();
  const seen = new Set([path]);
  for (const here of seen) {
    const source = files.get(here);
    for (const { target, typeOnly } of source === undefined ? [] : importsOf(source)) {
      if (typeOnly) continue;
      if (files.has(target)) seen.add(target);
      else outside.add(target);
    }
  }
  return [...outside].sort((a, b) => (a < b ? -1 : 1));
}

function layerOf(path: string): number | undefined {
  const match = /^src\/(?:([\w-]+)\/)?/.exec(path);
  if (match === null) return undefined;
  const layer = LAYERS.indexOf(match[1] ?? '');
  return layer < 0 ? TOP_LAYER : layer;
}

/** The text with comments, strings and regular expressions blanked, line by line in place. */
function codeOnly(text: string): string {
  const blank = (match: string): string => match.replace(/[^\n]/g, ' ');
  const pattern =
    /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`|(?<=[(,=:[!&|?{};]\s*)\/(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/g;
  return text.replace(pattern, (match) => (match.startsWith('`') ? blankTemplate(match) : blank(match)));
}

/** A template keeps the code inside its ${}. */
function blankTemplate(template: string): string {
  return template.replace(/\$\{[^{}]*\}|[^\n]/g, (match) => (match.startsWith('${') ? match : ' '));
}
