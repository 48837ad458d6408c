/** Recordings of executed guests, and VMs that play them: the same ledger, other schedules, broken files. */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { xxh32 } from '../../src/core/digest.ts';
import { decodeRecording, encodeRecording, OP_CUT, type Recording } from '../../src/host/replay/recording.ts';
import { runWorld } from '../../src/lab/build.ts';
import { planRuns } from '../../src/lab/plan.ts';
import { recordRun } from '../../src/lab/record.ts';
import { Recordings } from '../../src/lab/recordings.ts';
import type { RunRecord, VmRecord } from '../../src/lab/rows.ts';
import { parseScenario } from '../../src/lab/scenario.ts';

const folder = mkdtempSync(join(tmpdir(), 'hvsim-replay-'));

function planOf(text: string): ReturnType<typeof planRuns>['runs'][0] {
  const recordings = new Recordings();
  const recordingFrom = (written: string) => recordings.header(written, written);
  return planRuns(parseScenario(text, 'a.yaml', { recordingFrom }), (file) => file).runs[0]!;
}

const run = (text: string): RunRecord => runWorld(planOf(text));

function problems(text: string): string {
  try {
    planOf(text);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('the scenario has no mistake');
}

/** All of a ledger that a recording promises. */
function ledger(vm: VmRecord): unknown {
  const { guestCycles, translatedCycles, walkCycles, exitCycles, vmmCycles, exits, instructions, workUnits } = vm;
  const { outcome, detail, exitCode, elapsedNs } = vm;
  return {
    guestCycles,
    translatedCycles,
    walkCycles,
    exitCycles,
    vmmCycles,
    exits,
    instructions,
    workUnits,
    outcome,
    detail,
    exitCode,
    elapsedNs,
    runningNs: vm.vcpus[0]!.runningNs,
    blockedNs: vm.vcpus[0]!.blockedNs,
  };
}

const scenario = (vms: string, scheduler = 'credit', duration = '2 s', pcpus = 1): string => `
name: a
duration: ${duration}
host: { pcpus: ${pcpus}, memory: 256 MiB, scheduler: ${scheduler} }
vms: [${vms}]
`;

let files = 0;
function write(bytes: Uint8Array): string {
  const file = join(folder, `${++files}.hvrec`);
  writeFileSync(file, bytes);
  return file;
}

/** Records the guest; the file, and the VM as it was executed without a recorder. */
function recorded(vm: string, duration = '2 s'): { file: string; executed: VmRecord; run: RunRecord } {
  const text = scenario(`{ name: vm, ${vm} }`, 'credit', duration);
  const { recording } = recordRun(planOf(text));
  const plain = run(text);
  return { file: write(encodeRecording(recording)), executed: plain.vms[0]!, run: plain };
}

describe('alone, the ledger is that of the executed guest', () => {
  const cases = [
    ['hardware-assisted', 'guest: nano, workload: "web requests=12 hz=500"'],
    ['idle ticks', 'guest: nano, workload: "idle ticks=20 hz=100"'],
    ['shadow paging', 'guest: nano, workload: "pgfault n=300", paging: shadow'],
    ['binary translation', 'guest: nano, workload: "mix tasks=3 work=20000 hz=200", technique: binary-translation'],
    ['trap and emulate', 'guest: nano-clean, workload: "syscall n=500 hz=100", technique: trap-and-emulate'],
    ['paravirtual', 'guest: nano-pv, workload: "web requests=6 hz=500", technique: paravirtual'],
    ['native', 'guest: nano, workload: "web requests=12 hz=500", technique: native'],
    ['a crash', 'guest: wild-triple'],
    ['a halt for good', 'guest: wild-haltforever'],
  ] as const;
  test.each(cases)('%s', (_, vm) => {
    const { file, executed, run: whole } = recorded(vm);
    // A guest that does nothing would prove nothing.
    expect(executed.instructions).toBeGreaterThan(0);
    const replayed = run(scenario(`{ name: vm, replay: ${file} }`));
    expect(ledger(replayed.vms[0]!)).toEqual(ledger(executed));
    expect(replayed.simulatedNs).toBe(whole.simulatedNs);
    expect(replayed.pcpus[0]!.idleCycles).toBe(whole.pcpus[0]!.idleCycles);
    // What a run of one vCPU is does not depend on the scheduler; neither does its replay.
    expect(ledger(run(scenario(`{ name: vm, replay: ${file} }`, 'round-robin')).vms[0]!)).toEqual(ledger(executed));
  });

  test('up to the bound of the run, within one exit', () => {
    const { file, executed } = recorded('guest: nano, workload: "web requests=5000 hz=500"', '60 ms');
    expect(executed.outcome).toBe('time-limit');
    const [vm] = run(scenario(`{ name: vm, replay: ${file} }`, 'credit', '60 ms')).vms as [VmRecord];
    expect(vm).toMatchObject({ outcome: 'time-limit', elapsedNs: 60_000_000, workUnits: executed.workUnits });
    const total = (one: VmRecord): number => one.guestCycles + one.walkCycles + one.exitCycles + one.vmmCycles;
    expect(Math.abs(total(vm) - total(executed))).toBeLessThan(10_000);
    // Beyond the bound there is nothing to play.
    const [late] = run(scenario(`{ name: vm, replay: ${file} }`, 'credit', '1 s')).vms as [VmRecord];
    expect(late).toMatchObject({ outcome: 'time-limit', detail: 'the recording is over', elapsedNs: 60_000_000 });
    expect(late.instructions).toBe(executed.instructions);
  });
});

describe('among others', () => {
  let file = '';
  let executed: VmRecord;
  beforeAll(() => {
    ({ file, executed } = recorded('guest: nano, workload: "web requests=12 hz=500"'));
  });

  test('all of it is worked off, later, and equal runs are equal', () => {
    const text = scenario(
      `{ name: web, count: 6, replay: ${file}, stagger: 700 us }, { name: hog, demand: hog }`,
      'credit',
      '4 s',
      2,
    );
    const first = run(text);
    for (const vm of first.vms.slice(0, 6)) {
      const { guestCycles, exits, instructions, workUnits, outcome } = vm;
      expect({ guestCycles, exits, instructions, workUnits, outcome }).toEqual({
        guestCycles: executed.guestCycles,
        exits: executed.exits,
        instructions: executed.instructions,
        workUnits: executed.workUnits,
        outcome: 'completed',
      });
      expect(vm.elapsedNs).toBeGreaterThanOrEqual(executed.elapsedNs);
    }
    expect(run(text).digest).toBe(first.digest);
  });

  test('a copy that starts later does the same later, when nobody is in its way', () => {
    const record = run(
      scenario(`{ name: web, count: 2, replay: ${file}, start: 1 ms, stagger: 5 ms }`, 'credit', '2 s', 2),
    );
    for (const vm of record.vms) {
      // The first switch of contexts, and a cycle where its start is between two.
      expect(Math.abs(vm.elapsedNs - executed.elapsedNs)).toBeLessThan(5_000);
      expect(vm.guestCycles).toBe(executed.guestCycles);
    }
  });

  test('response times are those of work between two waits', () => {
    const text = scenario(`{ name: web, replay: ${file} }`).replace('name: a', 'name: a\nmetrics: [scheduling]');
    const work = run(text).scheduling!.work!;
    expect(work.units).toBe(executed.workUnits);
    expect(work.jobs).toBeGreaterThan(0);
    expect(work.jobs).toBeLessThanOrEqual(executed.workUnits);
    expect(work.responses!.maxNs).toBeLessThan(executed.elapsedNs);
  });
});

describe('files', () => {
  let good: Uint8Array;
  let recording: Recording;
  beforeAll(() => {
    const { file } = recorded('guest: hello');
    good = new Uint8Array(readFileSync(file));
    recording = decodeRecording('good', good);
  });

  const errorOf = (bytes: Uint8Array): string => {
    try {
      decodeRecording('x.hvrec', bytes);
    } catch (error) {
      return (error as Error).message;
    }
    throw new Error('the file has no mistake');
  };
  const signed = (bytes: Uint8Array): Uint8Array => {
    const end = bytes.length - 4;
    new DataView(bytes.buffer).setUint32(end, xxh32(bytes.subarray(0, end), 0), true);
    return bytes;
  };
  const bodyAt = (): number => 14 + new DataView(good.buffer).getUint32(6, true);
  /** The file with another body, correctly signed. */
  const withBody = (...body: number[]): Uint8Array => {
    const bytes = new Uint8Array(bodyAt() + body.length + 4);
    bytes.set(good.subarray(0, bodyAt()));
    bytes.set(body, bodyAt());
    new DataView(bytes.buffer).setUint32(10, body.length, true);
    return signed(bytes);
  };

  test('what is written is read again, and written the same', () => {
    expect(encodeRecording(recording)).toEqual(good);
    expect(recording.header).toMatchObject({ guest: 'hello', technique: 'hardware-assisted', preset: 'broadwell' });
    expect(new TextDecoder().decode(good.subarray(0, 5))).toBe('HVREC');
  });

  test('one that is cut off anywhere, or goes on, is refused', () => {
    for (let length = 0; length < good.length; length++) {
      expect(errorOf(good.slice(0, length))).toMatch(/not a recording|cut off/);
    }
    expect(errorOf(good.slice(0, 40))).toBe(`x.hvrec: byte 40: the file is cut off: it has 40 of ${good.length} bytes`);
    expect(errorOf(new Uint8Array([...good, 0]))).toBe(`x.hvrec: byte ${good.length}: 1 bytes follow behind the end`);
  });

  test('one bit that is wrong is found, wherever it is', () => {
    for (let at = 0; at < good.length; at++) {
      const bytes = good.slice();
      bytes[at]! ^= 0x10;
      expect(errorOf(bytes)).toMatch(/^x\.hvrec: (not a recording|byte \d+: )/);
    }
    const bytes = good.slice();
    bytes[bodyAt()]! ^= 1;
    expect(errorOf(bytes)).toContain('the file is damaged: its checksum is 0x');
  });

  test('one of another version, or of another kind, is refused', () => {
    const other = good.slice();
    other[5] = 2;
    expect(errorOf(signed(other))).toBe('x.hvrec: byte 5: found version 2 of the format, expected 1; record it again');
    const elf = readFileSync(new URL('../../guests/bin/hello.elf', import.meta.url));
    expect(errorOf(elf)).toBe('x.hvrec: not a recording: it does not begin with HVREC; hvsim record writes recordings');
    expect(errorOf(new Uint8Array(0))).toContain('not a recording');
  });

  test('a body that cannot be played is refused, with the place', () => {
    const at = bodyAt();
    expect(errorOf(withBody())).toBe(`x.hvrec: byte ${at}: the body has no end`);
    expect(errorOf(withBody(9))).toBe(`x.hvrec: byte ${at}: found operation 9, expected 1 to 8`);
    expect(errorOf(withBody(2, 0x80))).toBe(`x.hvrec: byte ${at + 2}: the body ends in the middle of an operation`);
    expect(errorOf(withBody(8, 8))).toContain(`byte ${at}: operations follow behind "cut"`);
    expect(errorOf(withBody(5, 7, 0, 0, 0, 6))).toBe(`x.hvrec: byte ${at + 1}: found outcome 7, expected 0 to 6`);
    expect(errorOf(withBody(1, 0x80, 1, 99, 1, 1, 6))).toContain(
      `byte ${at + 3}: found reason of exits 99, expected 0`,
    );
    expect(errorOf(withBody(2, ...Array(9).fill(0xff), 6))).toContain('found a number of more than');
    // The smallest that is right.
    expect(decodeRecording('x', withBody(OP_CUT)).ops).toEqual([{ kind: OP_CUT }]);
  });

  test('scenarios say which file does not fit, and why', () => {
    const file = write(good);
    const vm = (text: string): string => `{ name: vm, ${text} }`;
    expect(problems(scenario(vm(`replay: ${folder}/none.hvrec`)))).toContain('vms[0].replay: ');
    expect(problems(scenario(vm(`replay: ${folder}/none.hvrec`)))).toContain('cannot be read');
    expect(problems(scenario(vm(`replay: ${write(good.slice(0, 50))}`)))).toContain('byte 50: the file is cut off');
    expect(problems(scenario(vm(`replay: ${file}`)).replace('pcpus: 1', 'pcpus: 1, preset: pentium4-672'))).toContain(
      'was recorded with preset broadwell, but the host has pentium4-672',
    );
    expect(problems(scenario(vm(`replay: ${file}`)).replace('pcpus: 1', 'pcpus: 1, frequency: 1 GHz'))).toContain(
      'but the host has "1 GHz"',
    );
    expect(problems(scenario(vm(`replay: ${file}`)).replace('pcpus: 1', 'pcpus: 1, hypervisor: type-2'))).toContain(
      'what devices cost under type-2 is not in a recording',
    );
    expect(problems(scenario(vm(`replay: ${file}, vcpus: 2`)))).toContain('vms[0].vcpus');
    const { file: bare } = recorded('guest: hello, technique: native');
    expect(problems(scenario(`{ name: a, count: 2, replay: ${bare} }`))).toContain('has the machine for itself');
  });

  test('several vCPUs cannot be recorded', () => {
    const plan = planOf(scenario('{ name: vm, guest: hello, vcpus: 2 }', 'credit', '1 s', 2));
    expect(() => recordRun(plan)).toThrow('VM vm: found 2 vCPUs, expected 1: a recording has one vCPU');
  });

  test.each(['type-0', 'type-2'])('under %s nothing can be recorded', (kind) => {
    const text = scenario('{ name: vm, guest: hello }').replace('pcpus: 1', `pcpus: 1, hypervisor: ${kind}`);
    const what = `VM vm: found hypervisor ${kind}, expected type-1: only under it is recorded`;
    expect(() => recordRun(planOf(text))).toThrow(what);
  });
});
