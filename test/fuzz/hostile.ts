/**
 * Random kernel code against a VMM: guest hostile-random runs programs of random instructions, made to reach what is not
 * its own, in ring 0 and in ring 3; after each run of the vCPU the machine is looked over.
 * Invariants checked: no TLB or front-table entry leads to a frame of somebody else (vmm/audit.ts); the frames of another VM
 * and of its VMM, frames that nobody owns, and the VMM's interrupt table and TSS never change by a byte.
 * A case depends on its seed and technique only.
 */
import { Engine } from '../../src/core/engine.ts';
import { type RandomStream, Streams } from '../../src/core/rng.ts';
import { Trace } from '../../src/core/trace.ts';
import { PAGE_BYTES } from '../../src/core/units.ts';
import { readCatalogue, resolveGuest } from '../../src/guest/catalogue.ts';
import { Dispatcher } from '../../src/host/dispatch.ts';
import { roundRobin } from '../../src/host/sched/index.ts';
import { makeTopology } from '../../src/host/topology.ts';
import { OWNER_FREE, OWNER_TABLES } from '../../src/machine/memory.ts';
import { findEscapes } from '../../src/vmm/audit.ts';
import { PhysicalMachine } from '../../src/vmm/machine.ts';
import { findPreset } from '../../src/vmm/presets/index.ts';
import { isBare, type PagingName, type TechniqueName } from '../../src/vmm/technique.ts';
import { findTechnique, techniques } from '../../src/vmm/techniques/index.ts';
import { ExecutedVcpu } from '../../src/vmm/vcpu.ts';
import { ExecutedVm } from '../../src/vmm/vm.ts';

const DATA = 0x400000;
const VICTIM_BYTES = 4 * 2 ** 20;
const GUEST_BYTES = 16 * 2 ** 20;
/** A program that loops for ever must not use the whole case up. */
const CASE_NS = 4_000_000;
const PROGRAMS = 400;

export interface Way {
  readonly technique: TechniqueName;
  readonly paging: PagingName;
  readonly ring?: 1 | 3;
  readonly outOfSync?: boolean;
}

/**
 * Every technique with a VMM that runs ordinary kernels, with each kind of paging that it has, and trap-and-emulate with its
 * options. A paravirtual VMM refuses these kernels; its hostile kernel is another (paravirtual/hostile-code.test.ts).
 */
export const WAYS: readonly Way[] = [
  ...techniques
    .filter(({ name }) => !isBare(name) && name !== 'paravirtual')
    .flatMap(({ name, pagings }) => pagings.map((paging): Way => ({ technique: name, paging }))),
  { technique: 'trap-and-emulate', paging: 'shadow', ring: 3 },
  { technique: 'trap-and-emulate', paging: 'shadow', outOfSync: true },
];

/** A way in words. */
export const wayName = ({ technique, paging, ring, outOfSync }: Way): string =>
  [technique, paging, ...(ring === undefined ? [] : [`ring ${ring}`]), ...(outOfSync ? ['out of sync'] : [])].join(
    ', ',
  );

export interface HostileResult {
  readonly instructions: number;
  readonly programs: number;
  readonly outcome: string;
  /** How the case ended, in words: where, and at which bytes. */
  readonly detail: string;
  /** In words; empty when all is well. */
  readonly violations: readonly string[];
}

// ------------------------------------------------------------------ programs

const pick = <T>(rng: RandomStream, list: readonly T[]): T => list[rng.below(list.length)]!;
const word = (value: number): number[] => [value, value >> 8, value >> 16, value >> 24].map((byte) => byte & 0xff);

/** Addresses that are worth an access: own data, tables, windows, the top, beyond RAM, the guest itself, anything. */
function address(rng: RandomStream): number {
  const offset = rng.below(0x400) * 4;
  switch (rng.below(12)) {
    case 0:
      return 0x500000 + rng.below(2) * 0x1000 + offset;
    case 1:
      return 0x510000 + rng.below(2) * 0x1000 + (offset & 0x7f);
    case 2:
      return 0x10000000 + rng.below(64) * 0x1000 + offset;
    case 3:
      return 0xffc00000 + rng.below(64) * 0x1000 + offset;
    case 4:
      return 0xffc00000 - rng.below(64);
    case 5:
      return 0x10400000 + offset;
    case 6:
      return GUEST_BYTES + rng.below(0x1000) * 0x1000 + offset;
    case 7:
      return rng.uint32();
    case 8:
      return 0x100000 + rng.below(0x8000);
    default:
      return DATA + 0x1000 + rng.below(0x6000);
  }
}

/** ModRM with a memory operand: through a register, or an address of its own. */
function memory(rng: RandomStream, reg: number): number[] {
  if (rng.below(2) === 0) return [(reg << 3) | 5, ...word(address(rng))];
  return [(reg << 3) | pick(rng, [0, 1, 2, 3, 6, 7])];
}

const selector = (rng: RandomStream): number =>
  rng.below(4) === 0 ? rng.below(0x10000) : rng.below(16) * 8 + pick(rng, [0, 0, 1, 3, 4]);
const register = (rng: RandomStream): number => pick(rng, [0, 1, 2, 3, 5, 6, 7]);
/** Ports but those that end the machine, and the console. */
const port = (rng: RandomStream): number =>
  pick(rng, [0x20, 0x21, 0x40, 0x43, 0x61, 0x70, 0x71, 0x80, 0xa1, 0x1f0, 0x1f7, 0x3d4, 0x500, 0xcf8]);

type Maker = (rng: RandomStream) => number[];

const ALU = [
  0x01, 0x03, 0x09, 0x0b, 0x11, 0x13, 0x19, 0x21, 0x23, 0x29, 0x2b, 0x31, 0x33, 0x39, 0x3b, 0x85, 0x87, 0x88, 0x8a,
];

const MAKERS: readonly (readonly [weight: number, Maker])[] = [
  [12, (rng) => [0xb8 + register(rng), ...word(address(rng))]],
  [10, (rng) => [0x8b, ...memory(rng, register(rng))]],
  [10, (rng) => [0x89, ...memory(rng, register(rng))]],
  [12, (rng) => [pick(rng, ALU), ...memory(rng, register(rng))]],
  [16, (rng) => [pick(rng, ALU), 0xc0 | (register(rng) << 3) | register(rng)]],
  [3, (rng) => [0x50 + register(rng), 0x58 + register(rng)]],
  [
    3,
    (rng) =>
      [0xf2, 0xf3, 0x64, 0x65, 0x26, 0x2e, 0x36, 0x66, 0x67, 0xf0]
        .slice(0, 0)
        .concat(pick(rng, [0xf2, 0xf3, 0x64, 0x65, 0x26, 0x2e, 0x36, 0x66, 0xf0]), 0x8b, ...memory(rng, register(rng))),
  ],
  // Segment registers and descriptor tables
  [4, (rng) => [0x66, 0xb8, selector(rng) & 0xff, selector(rng) >> 8, 0x8e, 0xc0 | (pick(rng, [0, 2, 3, 4, 5]) << 3)]],
  [2, (rng) => [0x8c, 0xc0 | (rng.below(6) << 3) | register(rng)]],
  [2, (rng) => [pick(rng, [0x06, 0x0e, 0x16, 0x1e]), 0x58 + register(rng)]],
  [2, (rng) => [0x68, ...word(selector(rng)), pick(rng, [0x07, 0x17, 0x1f])]],
  [2, (rng) => [0x0f, 0x01, ...memory(rng, pick(rng, [0, 1, 2, 3, 4, 6, 7]))]],
  [2, (rng) => [0xb8, ...word(selector(rng)), 0x0f, 0x00, 0xc0 | (rng.below(6) << 3)]],
  [2, (rng) => [0xb8, ...word(selector(rng)), 0x0f, pick(rng, [2, 3]), 0xc0 | (register(rng) << 3)]],
  [2, (rng) => [pick(rng, [0xc4, 0xc5]), ...memory(rng, register(rng))]],
  // Control
  [1, (rng) => [0xb8, ...word(pick(rng, [0x500000, 0x501000, rng.uint32(), GUEST_BYTES])), 0x0f, 0x22, 0xd8]],
  [1, (rng) => [0xb8, ...word(0x80000001 | (rng.uint32() & 0x10032)), 0x0f, 0x22, 0xc0]],
  [1, (rng) => [0xb8, ...word(rng.below(0x200)), 0x0f, 0x22, 0xe0]],
  [2, (rng) => [0x0f, 0x20, 0xc0 | (pick(rng, [0, 2, 3, 4]) << 3) | register(rng)]],
  [2, (rng) => [0x0f, pick(rng, [0x21, 0x23]), 0xc0 | (rng.below(8) << 3) | register(rng)]],
  [3, (rng) => [0x0f, 0x01, ...memory(rng, 7)]],
  [2, (rng) => [pick(rng, [0xfa, 0xfb, 0x9c, 0x9d, 0xfc, 0xfd, 0x60, 0xc9, 0xcc, 0xce, 0xcf, 0xcb])]],
  [1, (rng) => [0x68, ...word(rng.uint32() & 0x3ffff), 0x9d]],
  [2, (rng) => [0xcd, pick(rng, [0, 3, 6, 13, 14, 0x20, 0x21, 0x80, 0xff])]],
  [2, (rng) => [pick(rng, [0xe4, 0xe5, 0xe6, 0xe7]), port(rng) & 0xff & ~0x10]],
  [
    2,
    (rng) => [
      0x66,
      0xba,
      port(rng) & 0xff,
      port(rng) >> 8,
      pick(rng, [0xec, 0xed, 0xee, 0xef, 0x6c, 0x6d, 0x6e, 0x6f]),
    ],
  ],
  [
    1,
    (rng) => [0xb9, ...word(pick(rng, [0x10, 0x1b, 0x174, 0x175, 0x176, rng.uint32()])), 0x0f, pick(rng, [0x30, 0x32])],
  ],
  // Flow
  [1, (rng) => [pick(rng, [0x9a, 0xea]), ...word(address(rng)), selector(rng) & 0xff, selector(rng) >> 8]],
  [1, (rng) => [0xff, ...memory(rng, pick(rng, [2, 3, 4, 5]))]],
  [1, (rng) => [0x68, ...word(selector(rng)), 0x68, ...word(address(rng)), 0xcb]],
  [
    1,
    (rng) => [0x68, ...word(rng.uint32() & 0x73fff), 0x68, ...word(selector(rng)), 0x68, ...word(address(rng)), 0xcf],
  ],
  [2, (rng) => [0x70 + rng.below(16), rng.below(12)]],
  // String instructions, with a bounded count
  [
    4,
    (rng) => [
      0xb9,
      ...word(rng.below(0x1800)),
      0xf3,
      pick(rng, [0xa4, 0xa5, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xa6, 0x6c, 0x6e]),
    ],
  ],
  [2, (rng) => [0xbc, ...word(address(rng)), 0x50, 0x58, 0xbc, ...word(DATA + 0x7000)]],
  [1, (rng) => [0x0f, pick(rng, [0xa2, 0x31, 0x06, 0x08, 0x09, 0x0b, 0x34, 0x35, 0xc8])]],
  [1, (rng) => [0xd8 + rng.below(8), ...memory(rng, rng.below(8))]],
  [3, (rng) => Array.from({ length: 1 + rng.below(6) }, () => rng.below(256))],
];
const TOTAL = MAKERS.reduce((sum, [weight]) => sum + weight, 0);

function instruction(rng: RandomStream): number[] {
  let roll = rng.below(TOTAL);
  for (const [weight, make] of MAKERS) {
    if (roll < weight) return make(rng);
    roll -= weight;
  }
  return [0x90];
}

/** Some plain instructions in a loop, so that most of what runs is the program, and then some that are not plain. */
function program(rng: RandomStream): number[] {
  const code: number[] = [];
  if (rng.below(3) > 0) {
    code.push(0xb9, ...word(20 + rng.below(400)));
    const body: number[] = [];
    for (let n = 1 + rng.below(5); n > 0; n--) {
      body.push(
        ...(rng.below(3) === 0
          ? [pick(rng, ALU), ...memory(rng, pick(rng, [0, 2, 3]))]
          : [pick(rng, ALU), 0xc0 | (pick(rng, [0, 2, 3]) << 3) | pick(rng, [0, 2, 3])]),
      );
    }
    code.push(...body, 0xe2, (-body.length - 2) & 0xff);
  }
  for (let n = 2 + rng.below(30); n > 0; n--) code.push(...instruction(rng));
  return code;
}

/** The boot module of a seed: see guests/hostile/random.c for its layout. */
function moduleOf(rng: RandomStream, programs: number, isEmpty = false): Uint8Array {
  const bytes: number[] = [];
  for (let n = 0; n < programs; n++) {
    const ring = rng.below(4) === 0 ? 3 : 0;
    const code = isEmpty ? [] : program(rng);
    code.push(...(ring === 0 ? [0xc3] : [0xcd, 0x80]));
    while (code.length % 4 !== 0) code.push(0x90);
    bytes.push(...word(code.length), ...word(ring));
    for (let r = 0; r < 7; r++) bytes.push(...word(address(rng)));
    bytes.push(...code);
  }
  return Uint8Array.from(bytes);
}

// ------------------------------------------------------------------ the machine

/** Bytes of every frame that the guest and its VMM have no business with. */
class Bystanders {
  private readonly machine: PhysicalMachine;
  private readonly frames: number[] = [];
  private readonly before: Uint8Array;

  constructor(machine: PhysicalMachine, ownOwners: readonly number[], fixed: readonly number[]) {
    this.machine = machine;
    const { memory } = machine;
    for (let mfn = 0; mfn < memory.frameFlags.length; mfn++) {
      const owner = memory.ownerOf(mfn);
      if (owner !== OWNER_FREE && owner !== OWNER_TABLES && !ownOwners.includes(owner)) this.frames.push(mfn);
    }
    this.frames.push(...fixed);
    this.before = new Uint8Array(this.frames.length * PAGE_BYTES);
    for (const [n, mfn] of this.frames.entries()) this.before.set(this.bytesOf(mfn), n * PAGE_BYTES);
  }

  private bytesOf(mfn: number): Uint8Array {
    return this.machine.memory.bytes.subarray(mfn * PAGE_BYTES, (mfn + 1) * PAGE_BYTES);
  }

  /** Frames that changed, and free frames that are not clean. */
  changed(): string[] {
    const found = this.frames
      .filter(
        (mfn, n) => Buffer.compare(this.bytesOf(mfn), this.before.subarray(n * PAGE_BYTES, (n + 1) * PAGE_BYTES)) !== 0,
      )
      .map((mfn) => `frame ${mfn} of owner ${this.machine.memory.ownerOf(mfn)} changed`);
    const { memory } = this.machine;
    const zeros = new Uint8Array(PAGE_BYTES);
    for (let mfn = 0; mfn < memory.frameFlags.length; mfn++) {
      if (memory.ownerOf(mfn) !== OWNER_FREE) continue;
      if (Buffer.compare(this.bytesOf(mfn), zeros) !== 0) found.push(`frame ${mfn}, which nobody owns, changed`);
    }
    return found;
  }
}

/** Machine frames of a deprivileging VMM that must never change: all of its region but the shadow GDT. */
function fixedFrames(vcpu: ExecutedVcpu): number[] {
  const executor: unknown = Reflect.get(vcpu, 'executor');
  const region: unknown =
    typeof executor === 'object' && executor !== null ? Reflect.get(executor, 'region') : undefined;
  if (typeof region !== 'object' || region === null) return [];
  return (Reflect.get(region, 'pages') as number[]).slice(16, 18);
}

const image = (name: string) => resolveGuest(readCatalogue(), name);

/** Runs the programs of `seed` under a technique and looks the machine over after each run of the vCPU. */
export function runHostile(way: Way, seed: number, isEmpty = false): HostileResult {
  const preset = findPreset('broadwell');
  const engine = new Engine();
  const machine = new PhysicalMachine(preset, (GUEST_BYTES + 2 * VICTIM_BYTES) / PAGE_BYTES + 2048, 1, 2);
  const common = { append: '', ...way, taggedTlb: false } as const;
  const bytes = moduleOf(new Streams(seed).stream('hostile'), PROGRAMS, isEmpty);
  const vm = new ExecutedVm(0, machine, engine, {
    ...common,
    name: 'hostile',
    image: image('hostile-random'),
    load: { modules: [{ name: 'programs', bytes, commandLine: '' }] },
    memoryBytes: GUEST_BYTES,
  });
  const victim = new ExecutedVm(1, machine, engine, {
    ...common,
    name: 'victim',
    image: image('hello'),
    memoryBytes: VICTIM_BYTES,
  });
  const vcpu = new ExecutedVcpu(vm, 0, findTechnique(way.technique));
  new ExecutedVcpu(victim, 0, findTechnique(way.technique));
  for (let gfn = 0; gfn < victim.physmap.ramFrames; gfn++) {
    const mfn = victim.physmap.lookup(gfn);
    machine.memory.words32.fill(0x5ec4e700 + gfn, mfn * 1024, mfn * 1024 + 1024);
  }
  const bystanders = new Bystanders(machine, [vm.owner, vm.vmmOwner], fixedFrames(vcpu));
  const violations: string[] = [];
  vcpu.afterRun = () => {
    for (const { page, mfn, owner } of findEscapes(machine, [vm, victim])) {
      violations.push(`page 0x${page.toString(16)} leads to frame ${mfn} of owner ${owner}`);
    }
    if (violations.length > 0) vm.end('reset', 'escaped');
  };
  const dispatcher = new Dispatcher(
    {
      topology: makeTopology({ sockets: 1, coresPerSocket: 1, threadsPerCore: 1 }),
      hz: preset.frequencyHz,
      switchCycles: 0,
    },
    { engine, trace: new Trace({ keepMax: 0 }), random: new Streams(1).stream('scheduler'), policy: roundRobin },
  );
  dispatcher.start(dispatcher.attach(dispatcher.addVm({ name: 'hostile' }), vcpu, {}));
  const why = dispatcher.runUntil(CASE_NS);
  if (why !== 'ended') vm.end(why === 'stuck' ? 'stalled' : 'time-limit', '');
  violations.push(...bystanders.changed());
  const { kind: outcome, detail } = vm.outcome!;
  return { instructions: vcpu.instructions, programs: vm.workUnits, outcome, detail, violations };
}
