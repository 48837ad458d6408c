/**
 * Writes WebAssembly binaries: a byte buffer with the operators that the compiler uses, and the sections around it.
 * Invariant: nothing here knows x86; the caller keeps the operand stack balanced, and V8 validates every module.
 * Source: WebAssembly Core Specification 2.0, chapter 5 (binary format).
 */

/** The part of the WebAssembly API used here (the standard library types have it only with the DOM). */
export interface WasmTable {
  readonly length: number;
  get(index: number): unknown;
  set(index: number, value: unknown): void;
}
interface WasmApi {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: Record<string, Record<string, unknown>>,
  ) => { readonly exports: Record<string, unknown> };
  readonly Table: new (descriptor: { element: 'anyfunc'; initial: number; maximum: number }) => WasmTable;
}
export const { Module, Instance, Table } = (globalThis as unknown as { WebAssembly: WasmApi }).WebAssembly;

export const I32 = 0x7f;
export const I64 = 0x7e;
export const VOID = 0x40;

/** Operators without immediates (specification 5.4). */
export const OP = {
  unreachable: 0x00,
  else: 0x05,
  end: 0x0b,
  return: 0x0f,
  drop: 0x1a,
  select: 0x1b,
  i32eqz: 0x45,
  i32eq: 0x46,
  i32ne: 0x47,
  i32ltS: 0x48,
  i32ltU: 0x49,
  i32gtS: 0x4a,
  i32gtU: 0x4b,
  i32leS: 0x4c,
  i32leU: 0x4d,
  i32geS: 0x4e,
  i32geU: 0x4f,
  i64eqz: 0x50,
  i64ne: 0x52,
  i64gtU: 0x56,
  i32clz: 0x67,
  i32ctz: 0x68,
  i32popcnt: 0x69,
  i32add: 0x6a,
  i32sub: 0x6b,
  i32mul: 0x6c,
  i32and: 0x71,
  i32or: 0x72,
  i32xor: 0x73,
  i32shl: 0x74,
  i32shrS: 0x75,
  i32shrU: 0x76,
  i32rotl: 0x77,
  i32rotr: 0x78,
  i64add: 0x7c,
  i64sub: 0x7d,
  i64mul: 0x7e,
  i64divS: 0x7f,
  i64divU: 0x80,
  i64remS: 0x81,
  i64remU: 0x82,
  i64and: 0x83,
  i64or: 0x84,
  i64shl: 0x86,
  i64shrU: 0x88,
  i32wrap: 0xa7,
  i64extendS: 0xac,
  i64extendU: 0xad,
  i32extend8S: 0xc0,
  i32extend16S: 0xc1,
} as const;

/** Loads and stores: operator, and log2 of the natural alignment that is promised (none is: guests may be unaligned). */
export const LOAD32 = 0x28;
export const LOAD64 = 0x29;
export const LOAD8_U = 0x2d;
export const LOAD16_U = 0x2f;
export const STORE32 = 0x36;
export const STORE64 = 0x37;
export const STORE8 = 0x3a;
export const STORE16 = 0x3b;

/** A growing byte buffer with the encodings of the binary format. */
export class Bytes {
  private buffer = new Uint8Array(1024);
  length = 0;

  byte(value: number): void {
    if (this.length === this.buffer.length) {
      const grown = new Uint8Array(2 * this.length);
      grown.set(this.buffer);
      this.buffer = grown;
    }
    this.buffer[this.length++] = value;
  }

  bytes(values: Iterable<number>): void {
    for (const value of values) this.byte(value);
  }

  /** Unsigned LEB128. */
  unsigned(value: number): void {
    let rest = value >>> 0;
    while (rest > 0x7f) {
      this.byte((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    this.byte(rest);
  }

  /** Signed LEB128 of an int32. */
  signed(value: number): void {
    let rest = value | 0;
    for (;;) {
      const low = rest & 0x7f;
      rest >>= 7;
      if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)) {
        this.byte(low);
        return;
      }
      this.byte(low | 0x80);
    }
  }

  /** Signed LEB128 of an int64. */
  signed64(value: bigint): void {
    let rest = BigInt.asIntN(64, value);
    for (;;) {
      const low = Number(rest & 0x7fn);
      rest >>= 7n;
      if ((rest === 0n && (low & 0x40) === 0) || (rest === -1n && (low & 0x40) !== 0)) {
        this.byte(low);
        return;
      }
      this.byte(low | 0x80);
    }
  }

  name(text: string): void {
    const encoded = Buffer.from(text, 'utf8');
    this.unsigned(encoded.length);
    this.bytes(encoded);
  }

  /** Appends another buffer behind its length. */
  sized(part: Bytes): void {
    this.unsigned(part.length);
    this.append(part);
  }

  append(part: Bytes): void {
    for (let i = 0; i < part.length; i++) this.byte(part.buffer[i]!);
  }

  view(): Uint8Array {
    return this.buffer.subarray(0, this.length);
  }

  clear(): void {
    this.length = 0;
  }
}

/** The body of one function. Structured operators return nothing: the caller counts labels. */
export class Body extends Bytes {
  /** Offsets of the branches that are hardly ever taken. */
  readonly unlikely: number[] = [];

  op(operator: number): void {
    this.byte(operator);
  }

  get(local: number): void {
    this.byte(0x20);
    this.unsigned(local);
  }

  set(local: number): void {
    this.byte(0x21);
    this.unsigned(local);
  }

  tee(local: number): void {
    this.byte(0x22);
    this.unsigned(local);
  }

  /** Copies one local to another. */
  copy(to: number, from: number): void {
    this.get(from);
    this.set(to);
  }

  i32(value: number): void {
    this.byte(0x41);
    this.signed(value);
  }

  i64(value: bigint): void {
    this.byte(0x42);
    this.signed64(value);
  }

  global(index: number): void {
    this.byte(0x23);
    this.unsigned(index);
  }

  /** A load or store with a constant offset. */
  memory(operator: number, offset: number): void {
    this.byte(operator);
    this.byte(0);
    this.unsigned(offset);
  }

  block(): void {
    this.byte(0x02);
    this.byte(VOID);
  }

  loop(): void {
    this.byte(0x03);
    this.byte(VOID);
  }

  if(type: number = VOID): void {
    this.byte(0x04);
    this.byte(type);
  }

  /** The next operator is an `if` or a br_if that is hardly ever taken. */
  hintUnlikely(): void {
    this.unlikely.push(this.length);
  }

  else(): void {
    this.byte(OP.else);
  }

  end(): void {
    this.byte(OP.end);
  }

  br(depth: number): void {
    this.byte(0x0c);
    this.unsigned(depth);
  }

  brIf(depth: number): void {
    this.byte(0x0d);
    this.unsigned(depth);
  }

  brTable(depths: readonly number[], otherwise: number): void {
    this.byte(0x0e);
    this.unsigned(depths.length);
    for (const depth of depths) this.unsigned(depth);
    this.unsigned(otherwise);
  }

  call(index: number): void {
    this.byte(0x10);
    this.unsigned(index);
  }

  callIndirect(type: number): void {
    this.byte(0x11);
    this.unsigned(type);
    this.byte(0);
  }

  /** op with a constant right operand. */
  with(value: number, operator: number): void {
    this.i32(value);
    this.op(operator);
  }
}

export interface FunctionType {
  readonly parameters: readonly number[];
  readonly results: readonly number[];
}

/** An import: a function of a type index, a memory, the function table, or an immutable i32 global. */
export type Import = { readonly name: string } & (
  | { readonly kind: 'function'; readonly type: number }
  | { readonly kind: 'memory'; readonly pages: number }
  | { readonly kind: 'table' }
  | { readonly kind: 'global' }
);

export interface FunctionSpec {
  readonly name: string;
  readonly type: number;
  /** Types of the locals behind the parameters, as runs. */
  readonly locals: readonly (readonly [count: number, type: number])[];
  readonly body: Body;
}

const MAGIC = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];

function section(out: Bytes, id: number, content: Bytes): void {
  out.byte(id);
  out.sized(content);
}

/** A module with the given types, imports (all from module "m") and exported functions. */
export function buildModule(
  types: readonly FunctionType[],
  imports: readonly Import[],
  functions: readonly FunctionSpec[],
): Uint8Array {
  const out = new Bytes();
  out.bytes(MAGIC);

  const typeSection = new Bytes();
  typeSection.unsigned(types.length);
  for (const { parameters, results } of types) {
    typeSection.byte(0x60);
    typeSection.unsigned(parameters.length);
    typeSection.bytes(parameters);
    typeSection.unsigned(results.length);
    typeSection.bytes(results);
  }
  section(out, 1, typeSection);

  const importSection = new Bytes();
  importSection.unsigned(imports.length);
  for (const item of imports) {
    importSection.name('m');
    importSection.name(item.name);
    if (item.kind === 'function') {
      importSection.byte(0);
      importSection.unsigned(item.type);
    } else if (item.kind === 'table') importSection.bytes([1, 0x70, 0, 0]);
    else if (item.kind === 'memory') {
      importSection.bytes([2, 0]);
      importSection.unsigned(item.pages);
    } else importSection.bytes([3, I32, 0]);
  }
  section(out, 2, importSection);

  const functionSection = new Bytes();
  functionSection.unsigned(functions.length);
  for (const { type } of functions) functionSection.unsigned(type);
  section(out, 3, functionSection);

  const firstFunction = imports.filter(({ kind }) => kind === 'function').length;
  const exportSection = new Bytes();
  exportSection.unsigned(functions.length);
  functions.forEach(({ name }, index) => {
    exportSection.name(name);
    exportSection.byte(0);
    exportSection.unsigned(firstFunction + index);
  });
  section(out, 7, exportSection);

  const codeSection = new Bytes();
  codeSection.unsigned(functions.length);
  const hinted = functions.filter(({ body }) => body.unlikely.length > 0);
  const hintSection = new Bytes();
  hintSection.name('metadata.code.branch_hint');
  hintSection.unsigned(hinted.length);
  for (const [index, { locals, body }] of functions.entries()) {
    const code = new Bytes();
    code.unsigned(locals.length);
    for (const [count, type] of locals) {
      code.unsigned(count);
      code.byte(type);
    }
    if (body.unlikely.length > 0) {
      hintSection.unsigned(firstFunction + index);
      hintSection.unsigned(body.unlikely.length);
      for (const offset of body.unlikely) {
        hintSection.unsigned(code.length + offset);
        hintSection.bytes([1, 0]);
      }
    }
    code.append(body);
    code.byte(OP.end);
    codeSection.sized(code);
  }
  if (hinted.length > 0) section(out, 0, hintSection);
  section(out, 10, codeSection);
  return out.view().slice();
}
