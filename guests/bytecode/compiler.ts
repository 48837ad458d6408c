/**
 * Compiler from a small part of C to bytecode, in one pass: no preprocessor; int, unsigned, unsigned char; global
 * variables and arrays; pointers that are indexed and passed on; functions that return int or unsigned; if, while, do,
 * for, return; expressions without comma, sizeof and address-of. Assignments are statements; ++ and -- also expressions.
 * Invariants: what it does not know is an error with its line, never other code; between statements the stack is empty.
 * Use: node --import tsx guests/bytecode/compiler.ts IN.c OUT.bc
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { FUNCTION_BYTES, HEADER_BYTES, HOST_FUNCTIONS, MAGIC, OPERAND_BYTES, operation, VERSION } from './format.ts';

type Type = 'int' | 'unsigned' | 'byte' | 'words' | 'bytes';

interface Token {
  readonly kind: 'name' | 'number' | 'string' | 'punctuator' | 'end';
  readonly text: string;
  readonly value: number;
  readonly line: number;
}

interface Global {
  readonly type: Type;
  readonly address: number;
  /** An array is its address; another variable is what is there. */
  readonly isArray: boolean;
}

interface Local {
  readonly type: Type;
  readonly slot: number;
}

interface FunctionEntry {
  readonly index: number;
  readonly type: Type;
  readonly args: number;
  body: { readonly code: number[]; readonly locals: number } | null;
}

/** Where the memory of a program begins: address 0 belongs to nobody. */
const MEMORY_START = 16;
const LOCALS_MAX = 255;

const TOKEN =
  /\s+|\/\*[\s\S]*?\*\/|([A-Za-z_]\w*)|(0x[0-9a-fA-F]+|\d+)u?|'(\\.|[^'\\])'|"((?:\\.|[^"\\])*)"|(<<=|>>=|&&|\|\||[-+*/%&|^<>=!]=|<<|>>|\+\+|--|[-+*/%&|^~!<>=?:;,(){}[\]])/y;

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', '0': '\0', '\\': '\\', "'": "'", '"': '"' };

export class CompileError extends Error {}

function tokens(source: string): Token[] {
  const found: Token[] = [];
  let line = 1;
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < source.length) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(source);
    if (match === null) throw new CompileError(`line ${line}: found ${JSON.stringify(source.slice(at, at + 10))}`);
    const [text, name, number, character, string, punctuator] = match;
    if (name !== undefined) found.push({ kind: 'name', text: name, value: 0, line });
    else if (number !== undefined) found.push({ kind: 'number', text: number, value: Number(number) | 0, line });
    else if (character !== undefined) {
      found.push({ kind: 'number', text, value: unescaped(character).charCodeAt(0), line });
    } else if (string !== undefined) found.push({ kind: 'string', text: unescaped(string), value: 0, line });
    else if (punctuator !== undefined) found.push({ kind: 'punctuator', text: punctuator, value: 0, line });
    line += text.split('\n').length - 1;
  }
  return [...found, { kind: 'end', text: 'end of file', value: 0, line }];
}

function unescaped(text: string): string {
  return text.replace(/\\(.)/g, (_, letter: string) => ESCAPES[letter] ?? letter);
}

/** Binary operators by how tightly they bind; for int and for unsigned. */
const BINARY: readonly Readonly<Record<string, readonly [string, string]>>[] = [
  { '|': ['or', 'or'] },
  { '^': ['xor', 'xor'] },
  { '&': ['and', 'and'] },
  { '==': ['equal', 'equal'], '!=': ['not_equal', 'not_equal'] },
  {
    '<': ['less', 'less_unsigned'],
    '>': ['greater', 'greater_unsigned'],
    '<=': ['less_equal', 'less_equal_unsigned'],
    '>=': ['greater_equal', 'greater_equal_unsigned'],
  },
  { '<<': ['shl', 'shl'], '>>': ['sar', 'shr'] },
  { '+': ['add', 'add'], '-': ['sub', 'sub'] },
  { '*': ['mul', 'mul'], '/': ['div', 'div_unsigned'], '%': ['rem', 'rem_unsigned'] },
];
const COMPARISONS = new Set(['==', '!=', '<', '>', '<=', '>=']);
const SHIFTS = new Set(['<<', '>>']);

class Compiler {
  private readonly tokens: readonly Token[];
  private at = 0;
  private readonly globals = new Map<string, Global>();
  private readonly functions = new Map<string, FunctionEntry>();
  private scopes: Map<string, Local>[] = [];
  private slots = 0;
  private code: number[] = [];
  private readonly strings: number[] = [];
  private readonly stringUses: { readonly body: number[]; readonly at: number }[] = [];
  private zeros = 0;
  private data: number[] = [];

  constructor(source: string) {
    this.tokens = tokens(source);
  }

  /** Compiles everything. @param first name of the function to run */
  program(first: string): Uint8Array {
    while (this.token.kind !== 'end') this.declaration();
    const entries = [...this.functions].filter(([name]) => !HOST_FUNCTIONS.includes(name));
    for (const [name, { body }] of entries) if (body === null) throw new CompileError(`${name} has no body`);
    const main = this.functions.get(first);
    if (main === undefined || main.args !== 0) throw new CompileError(`there is no function ${first}()`);
    this.placeStrings();
    return this.file(
      entries.map(([, entry]) => entry),
      main.index,
    );
  }

  // ------------------------------------------------------------------ tokens

  private get token(): Token {
    return this.tokens[this.at]!;
  }

  private fault(message: string): CompileError {
    return new CompileError(`line ${this.token.line}: ${message}, found ${JSON.stringify(this.token.text)}`);
  }

  private is(text: string): boolean {
    return this.token.text === text && this.token.kind !== 'string' && this.token.kind !== 'number';
  }

  private take(text: string): boolean {
    if (!this.is(text)) return false;
    this.at++;
    return true;
  }

  private expect(text: string): void {
    if (!this.take(text)) throw this.fault(`expected ${text}`);
  }

  private name(): string {
    if (this.token.kind !== 'name') throw this.fault('expected a name');
    return this.tokens[this.at++]!.text;
  }

  private number(): number {
    if (this.token.kind !== 'number') throw this.fault('expected a number');
    return this.tokens[this.at++]!.value;
  }

  // ------------------------------------------------------------------ declarations

  private type(): Type | null {
    let type: Type;
    if (this.take('int')) type = 'int';
    else if (this.take('unsigned')) type = this.take('char') ? 'byte' : 'unsigned';
    else return null;
    if (!this.take('*')) return type;
    return type === 'byte' ? 'bytes' : 'words';
  }

  private declaration(): void {
    const type = this.type();
    if (type === null) throw this.fault('expected a declaration');
    const name = this.name();
    if (this.take('(')) this.function(type, name);
    else this.global(type, name);
  }

  private global(type: Type, name: string): void {
    if (this.globals.has(name)) throw this.fault(`${name} is declared twice`);
    const isArray = this.take('[');
    const count = isArray ? this.number() : 1;
    if (isArray) this.expect(']');
    this.expect(';');
    const isByte = type === 'byte';
    if (!isByte) this.zeros = (this.zeros + 3) & ~3;
    const element: Type = isByte ? 'bytes' : 'words';
    this.globals.set(name, { type: isArray ? element : type, address: MEMORY_START + this.zeros, isArray });
    this.zeros += count * (isByte ? 1 : 4);
  }

  private function(type: Type, name: string): void {
    this.scopes = [new Map()];
    this.slots = 0;
    while (!this.take(')')) {
      const argument = this.type();
      if (argument === null) throw this.fault('expected the type of an argument');
      this.local(this.name(), argument);
      if (!this.is(')')) this.expect(',');
    }
    let entry = this.functions.get(name);
    const own = [...this.functions.keys()].filter((known) => !HOST_FUNCTIONS.includes(known)).length;
    if (entry === undefined) {
      entry = {
        index: HOST_FUNCTIONS.includes(name) ? HOST_FUNCTIONS.indexOf(name) : own,
        type,
        args: this.slots,
        body: null,
      };
      this.functions.set(name, entry);
    } else if (entry.args !== this.slots || entry.body !== null) throw this.fault(`${name} is declared otherwise`);
    if (this.take(';')) return;
    this.code = [];
    this.block();
    this.emit('push8', 0);
    this.emit('return');
    entry.body = { code: this.code, locals: this.slots };
  }

  private local(name: string, type: Type): Local {
    const scope = this.scopes.at(-1)!;
    if (scope.has(name)) throw this.fault(`${name} is declared twice`);
    if (this.slots === LOCALS_MAX) throw this.fault(`more than ${LOCALS_MAX} local variables`);
    const local = { type, slot: this.slots++ };
    scope.set(name, local);
    return local;
  }

  private findLocal(name: string): Local | undefined {
    for (let i = this.scopes.length - 1; i >= 0; i--) {
      const found = this.scopes[i]!.get(name);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  // ------------------------------------------------------------------ statements

  private block(): void {
    this.expect('{');
    this.scopes.push(new Map());
    while (!this.take('}')) this.statement();
    this.scopes.pop();
  }

  private statement(): void {
    if (this.is('{')) this.block();
    else if (this.take('if')) this.ifStatement();
    else if (this.take('while')) this.whileStatement();
    else if (this.take('do')) this.doStatement();
    else if (this.take('for')) this.forStatement();
    else if (this.take('return')) {
      this.expression();
      this.expect(';');
      this.emit('return');
    } else {
      this.simple();
      this.expect(';');
    }
  }

  private ifStatement(): void {
    this.expect('(');
    this.expression();
    this.expect(')');
    const otherwise = this.jump('jump_if_zero');
    this.statement();
    if (!this.take('else')) {
      this.land(otherwise);
      return;
    }
    const end = this.jump('jump');
    this.land(otherwise);
    this.statement();
    this.land(end);
  }

  /** The condition stands behind the body, so that a round takes one jump. */
  private whileStatement(): void {
    this.expect('(');
    const condition = this.at;
    this.skipTo(')');
    const start = this.jump('jump');
    const body = this.code.length;
    this.expect(')');
    this.statement();
    this.land(start);
    this.conditionAt(condition, body);
  }

  private doStatement(): void {
    const body = this.code.length;
    this.statement();
    this.expect('while');
    this.expect('(');
    this.expression();
    this.expect(')');
    this.expect(';');
    this.jumpTo('jump_if_not_zero', body);
  }

  private forStatement(): void {
    this.expect('(');
    this.scopes.push(new Map());
    this.simple();
    this.expect(';');
    const condition = this.at;
    this.skipTo(';');
    this.expect(';');
    const step = this.at;
    this.skipTo(')');
    this.expect(')');
    const start = this.jump('jump');
    const body = this.code.length;
    this.statement();
    const end = this.at;
    this.at = step;
    this.simple();
    this.land(start);
    this.conditionAt(condition, body);
    this.at = end;
    this.scopes.pop();
  }

  /** Compiles the condition that stands at a token, and jumps if it holds. */
  private conditionAt(at: number, target: number): void {
    const end = this.at;
    this.at = at;
    this.expression();
    this.jumpTo('jump_if_not_zero', target);
    this.at = end;
  }

  private skipTo(text: string): void {
    for (let depth = 0; depth > 0 || !this.is(text); this.at++) {
      if (this.token.kind === 'end') throw this.fault(`expected ${text}`);
      if (this.is('(')) depth++;
      else if (this.is(')')) depth--;
    }
  }

  /** A declaration of one variable, an assignment, or an expression for its effect. */
  private simple(): void {
    const type = this.type();
    if (type !== null) {
      const name = this.name();
      this.expect('=');
      this.expression();
      this.setLocal(this.local(name, type));
      return;
    }
    const start = this.at;
    if (this.token.kind === 'name' && !this.functions.has(this.token.text)) {
      if (this.assignment()) return;
      this.at = start;
    }
    this.expression();
    this.emit('drop');
  }

  /** True if an assignment stood here. */
  private assignment(): boolean {
    const name = this.name();
    const local = this.findLocal(name);
    if (this.is('[')) {
      const code = this.code.length;
      const uses = this.stringUses.length;
      const { type, offset } = this.element(this.variable(name));
      if (!this.take('=')) {
        this.code.length = code;
        this.stringUses.length = uses;
        return false;
      }
      this.expression();
      this.emit(type === 'byte' ? 'store8' : 'store32', offset);
      return true;
    }
    const type = local?.type ?? this.globals.get(name)?.type;
    if (type === undefined) throw this.fault(`unknown variable ${name}`);
    const operator = this.assignmentOperator();
    if (operator === null) return false;
    const global = this.globals.get(name);
    if (local === undefined) {
      if (global!.isArray) throw this.fault(`${name} is an array`);
      this.emit('push8', 0);
    }
    if (operator !== '=') this.readVariable(name);
    if (operator === '++' || operator === '--') this.emit('push8', 1);
    else {
      const right = this.expression();
      if (operator !== '=') this.combine(operator, type, right);
    }
    if (operator === '++' || operator === '--') this.emit(operator === '++' ? 'add' : 'sub');
    if (local !== undefined) this.setLocal(local);
    else this.emit(type === 'byte' ? 'store8' : 'store32', global!.address);
    return true;
  }

  /** `=`, `++`, `--`, or the operator of a compound assignment. */
  private assignmentOperator(): string | null {
    const { text, kind } = this.token;
    if (kind !== 'punctuator') return null;
    const isCompound = /^(<<|>>|[-+*/%&|^])=$/.test(text);
    if (!isCompound && text !== '=' && text !== '++' && text !== '--') return null;
    this.at++;
    return isCompound ? text.slice(0, -1) : text;
  }

  private combine(operator: string, left: Type, right: Type): void {
    const level = BINARY.find((operators) => operators[operator] !== undefined)!;
    const isUnsigned = left === 'unsigned' || (right === 'unsigned' && !SHIFTS.has(operator));
    this.emit(level[operator]![isUnsigned ? 1 : 0]);
  }

  private setLocal({ type, slot }: Local): void {
    if (type === 'byte') {
      this.emit('push32', 255);
      this.emit('and');
    }
    this.emit('set', slot);
  }

  // ------------------------------------------------------------------ expressions

  private expression(): Type {
    const type = this.or();
    if (!this.take('?')) return type;
    const otherwise = this.jump('jump_if_zero');
    const first = this.expression();
    this.expect(':');
    const end = this.jump('jump');
    this.land(otherwise);
    const second = this.expression();
    this.land(end);
    return first === 'unsigned' || second === 'unsigned' ? 'unsigned' : first === 'byte' ? 'int' : first;
  }

  private or(): Type {
    const type = this.and();
    if (!this.is('||')) return type;
    const ends: number[] = [];
    while (this.take('||')) {
      ends.push(this.jump('jump_if_not_zero'));
      this.and();
    }
    return this.truth('jump_if_not_zero', ends);
  }

  private and(): Type {
    const type = this.binary(0);
    if (!this.is('&&')) return type;
    const ends: number[] = [];
    while (this.take('&&')) {
      ends.push(this.jump('jump_if_zero'));
      this.binary(0);
    }
    return this.truth('jump_if_zero', ends);
  }

  /** 1 or 0, after the last operand was computed and those before may have decided. */
  private truth(kind: 'jump_if_zero' | 'jump_if_not_zero', ends: number[]): Type {
    ends.push(this.jump(kind));
    this.emit('push8', kind === 'jump_if_zero' ? 1 : 0);
    const done = this.jump('jump');
    for (const end of ends) this.land(end);
    this.emit('push8', kind === 'jump_if_zero' ? 0 : 1);
    this.land(done);
    return 'int';
  }

  private binary(level: number): Type {
    const operators = BINARY[level];
    if (operators === undefined) return this.unary();
    let type = this.binary(level + 1);
    while (this.token.kind === 'punctuator' && operators[this.token.text] !== undefined) {
      const operator = this.tokens[this.at++]!.text;
      const right = this.binary(level + 1);
      if ([type, right].some((one) => one === 'bytes' || one === 'words'))
        throw this.fault('pointers are only indexed');
      this.combine(operator, type, right);
      if (COMPARISONS.has(operator)) type = 'int';
      else type = type === 'unsigned' || (right === 'unsigned' && !SHIFTS.has(operator)) ? 'unsigned' : 'int';
    }
    return type;
  }

  private unary(): Type {
    if (this.take('-')) {
      if (this.token.kind === 'number') {
        this.constant(-this.number());
        return 'int';
      }
      this.emit('push8', 0);
      const type = this.unary();
      this.emit('sub');
      return type === 'unsigned' ? type : 'int';
    }
    if (this.take('~')) {
      const type = this.unary();
      this.emit('push8', -1);
      this.emit('xor');
      return type === 'unsigned' ? type : 'int';
    }
    if (this.take('!')) {
      this.unary();
      this.emit('push8', 0);
      this.emit('equal');
      return 'int';
    }
    return this.primary();
  }

  private primary(): Type {
    if (this.take('(')) {
      const type = this.expression();
      this.expect(')');
      return type;
    }
    if (this.token.kind === 'number') {
      this.constant(this.number());
      return 'int';
    }
    if (this.token.kind === 'string') {
      this.stringConstant(this.tokens[this.at++]!.text);
      return 'bytes';
    }
    const name = this.name();
    if (this.is('(')) return this.call(name);
    if (this.is('[')) {
      const { type, offset } = this.element(this.variable(name));
      this.emit(type === 'byte' ? 'load8' : 'load32', offset);
      return type;
    }
    const type = this.readVariable(name);
    const step = this.take('++') ? 'add' : this.take('--') ? 'sub' : null;
    if (step === null) return type;
    const local = this.findLocal(name);
    if (local === undefined) throw this.fault(`++ and -- in an expression are for local variables, not ${name}`);
    this.emit('get', local.slot);
    this.emit('push8', 1);
    this.emit(step);
    this.setLocal(local);
    return type;
  }

  private call(name: string): Type {
    const entry = this.functions.get(name);
    if (entry === undefined) throw this.fault(`unknown function ${name}`);
    this.expect('(');
    let args = 0;
    while (!this.take(')')) {
      this.expression();
      args++;
      if (!this.is(')')) this.expect(',');
    }
    if (args !== entry.args) throw this.fault(`${name} takes ${entry.args} arguments, not ${args}`);
    this.emit(HOST_FUNCTIONS.includes(name) ? 'host' : 'call', entry.index);
    return entry.type;
  }

  private variable(name: string): Local | Global {
    const found = this.findLocal(name) ?? this.globals.get(name);
    if (found === undefined) throw this.fault(`unknown variable ${name}`);
    return found;
  }

  /** Puts the address of `variable[index]` on the stack, but for what the access adds. */
  private element(variable: Local | Global): { readonly type: Type; readonly offset: number } {
    const { type } = variable;
    if (type !== 'words' && type !== 'bytes') throw this.fault('only arrays and pointers are indexed');
    const isArray = 'isArray' in variable && variable.isArray;
    if (!isArray) {
      if ('slot' in variable) this.emit('get', variable.slot);
      else throw this.fault('a pointer is a local variable');
    }
    this.expect('[');
    this.expression();
    this.expect(']');
    if (type === 'words') {
      this.emit('push8', 2);
      this.emit('shl');
    }
    if (!isArray) this.emit('add');
    return { type: type === 'words' ? 'int' : 'byte', offset: isArray ? (variable as Global).address : 0 };
  }

  private readVariable(name: string): Type {
    const variable = this.variable(name);
    if ('slot' in variable) this.emit('get', variable.slot);
    else if (variable.isArray) this.constant(variable.address);
    else {
      this.emit('push8', 0);
      this.emit(variable.type === 'byte' ? 'load8' : 'load32', variable.address);
    }
    return variable.type;
  }

  // ------------------------------------------------------------------ code

  private constant(value: number): void {
    this.emit(value >= -128 && value <= 127 ? 'push8' : 'push32', value);
  }

  private stringConstant(text: string): void {
    this.emit('push32', this.strings.length);
    this.stringUses.push({ body: this.code, at: this.code.length - 4 });
    for (const character of text) this.strings.push(character.charCodeAt(0));
    this.strings.push(0);
  }

  /** Strings go behind the variables: the memory between is zero in the file. */
  private placeStrings(): void {
    const start = MEMORY_START + this.zeros;
    for (const { body, at } of this.stringUses) {
      const view = new DataView(Uint8Array.from(body.slice(at, at + 4)).buffer);
      const address = view.getInt32(0, true) + start;
      for (let i = 0; i < 4; i++) body[at + i] = (address >>> (8 * i)) & 0xff;
    }
    this.data = this.strings;
  }

  private emit(name: string, operand = 0): void {
    const { code, operand: kind } = operation(name);
    this.code.push(code);
    for (let i = 0; i < OPERAND_BYTES[kind]; i++) this.code.push((operand >>> (8 * i)) & 0xff);
  }

  /** A jump to where nobody knows yet; returns what land() needs. */
  private jump(name: string): number {
    this.emit(name, 0);
    return this.code.length;
  }

  private land(jump: number): void {
    this.distance(jump, this.code.length - jump);
  }

  private jumpTo(name: string, target: number): void {
    const jump = this.jump(name);
    this.distance(jump, target - jump);
  }

  private distance(jump: number, bytes: number): void {
    if (bytes < -32768 || bytes > 32767) throw this.fault('a jump over more than 32 KiB');
    this.code[jump - 2] = bytes & 0xff;
    this.code[jump - 1] = (bytes >> 8) & 0xff;
  }

  private file(functions: readonly FunctionEntry[], first: number): Uint8Array {
    const dataStart = MEMORY_START + this.zeros;
    const memoryBytes = (dataStart + this.data.length + 15) & ~15;
    const codeBytes = functions.reduce((sum, { body }) => sum + body!.code.length, 0);
    const words = [MAGIC, VERSION, functions.length, first, codeBytes, dataStart, this.data.length, memoryBytes];
    let at = 0;
    for (const { body, args } of functions) {
      words.push(at, body!.code.length, args, body!.locals);
      at += body!.code.length;
    }
    const bytes = new Uint8Array(HEADER_BYTES + functions.length * FUNCTION_BYTES + codeBytes + this.data.length);
    const view = new DataView(bytes.buffer);
    words.forEach((word, index) => {
      view.setUint32(4 * index, word, true);
    });
    bytes.set(
      functions.flatMap(({ body }) => body!.code),
      4 * words.length,
    );
    bytes.set(this.data, 4 * words.length + codeBytes);
    return bytes;
  }
}

/** Bytecode of a program in C. @throws CompileError with the line */
export function compile(source: string, first = 'run'): Uint8Array {
  return new Compiler(source).program(first);
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [input, output] = process.argv.slice(2);
  if (input === undefined || output === undefined) throw new Error('usage: compiler.ts IN.c OUT.bc');
  writeFileSync(output, compile(readFileSync(input, 'utf8')));
}
