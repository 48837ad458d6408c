/**
 * A world that costs nothing: records that look like those of real runs, made from the plan of a run alone.
 * It lets sweeps, tables, charts and the report be tested without a machine. Deterministic, like the real one.
 */
import { Streams } from '../../src/core/rng.ts';
import type { ResolvedRun, ResolvedVm } from '../../src/lab/plan.ts';
import type { ExitRecord, PcpuRecord, RunRecord, VmRecord } from '../../src/lab/rows.ts';
import type { Divergence } from '../../src/vmm/vm.ts';

/** Cycles per native cycle, roughly as published for early VT-x: [trap-and-emulate, shadow, nested]. */
const FACTORS: Readonly<Record<string, readonly [number, number, number]>> = {
  sieve: [1.01, 1.01, 1.02],
  matmul: [1.02, 1.01, 1.03],
  calls: [1.01, 1.0, 1.0],
  chase: [1.05, 1.04, 1.9],
  syscall: [9.2, 1.02, 1.0],
  pgfault: [12.5, 9.9, 1.2],
  ptemod: [410, 320, 1.1],
  forkwait: [26, 17.4, 1.3],
  io: [7.5, 4.9, 1.6],
  idle: [1.2, 1.05, 1.03],
  web: [1.3, 1.1, 1.05],
};

const REASONS: Readonly<Record<string, readonly string[]>> = {
  'trap-and-emulate': ['privileged', 'page-fault', 'interrupt', 'syscall', 'io'],
  'hardware-assisted': ['page-fault', 'io', 'interrupt', 'hlt', 'cr-access', 'invlpg'],
};

const POPF: Divergence = {
  address: 0x00101a2c,
  bytes: '9d',
  mnemonic: 'popf',
  count: 12,
  expected: 'clears IF',
  seen: 'IF unchanged (CPL 1 > IOPL 0)',
};

function techniqueIndex(vm: ResolvedVm): number {
  if (vm.technique === 'native') return -1;
  return vm.technique === 'trap-and-emulate' ? 0 : vm.paging === 'shadow' ? 1 : 2;
}

/** The exported runner, as build.ts exports the real one. */
export function runWorld(run: ResolvedRun): RunRecord {
  if (run.vms.some((vm) => vm.workload.includes('explode'))) throw new Error('the fake world was told to explode');
  const vms = run.vms.map((vm, index) => fakeVm(run, vm, index));
  const simulatedNs = Math.max(...vms.map((vm) => vm.elapsedNs));
  const limited = vms.some((vm) => vm.outcome === 'time-limit');
  return {
    run,
    outcome: limited ? 'time-limit' : 'finished',
    detail: '',
    simulatedNs,
    instructions: vms.reduce((sum, vm) => sum + vm.instructions, 0),
    events: 100 * vms.length,
    digest: new Streams(run.seed).stream(JSON.stringify(run.vms)).uint32().toString(16).padStart(16, '0'),
    vms,
    pcpus: fakePcpus(run, vms, simulatedNs),
  };
}

function fakeVm(run: ResolvedRun, vm: ResolvedVm, index: number): VmRecord {
  const random = new Streams(run.seed).stream(`fake ${vm.name} ${vm.workload}`);
  const [word = ''] = vm.workload.split(' ');
  const factor = techniqueIndex(vm) < 0 ? 1 : (FACTORS[word]?.[techniqueIndex(vm)] ?? 1.1);
  const instructions = 20_000_000 + random.below(5_000_000);
  const native = Math.round(instructions * 1.2);
  const extra = Math.round(native * (factor - 1));
  const web = word === 'web';
  const crowd = run.vms.length / run.host.pcpus;
  const served = Math.round(100 * Math.min(1, 9.5 / crowd)) + (web ? random.below(5) : 0);
  const diverges = vm.guest === 'nano' && vm.technique === 'trap-and-emulate';
  const busyNs = Math.round(((native + extra) * 1e9) / run.host.frequencyHz);
  const elapsedNs = web ? run.durationNs : Math.min(run.durationNs, busyNs);
  const walk = Math.round(native * (vm.paging === 'nested' ? 0.03 : 0.01));
  const reasons = REASONS[vm.technique] ?? [];
  const exits: ExitRecord[] = reasons.map((reason, i) => ({
    reason,
    count: Math.max(1, Math.round(extra / 4000 / (i + 1))),
    cycles: Math.round(extra / (i + 1) / 2),
  }));
  return {
    name: vm.name,
    outcome: diverges ? 'stalled' : web || elapsedNs === run.durationNs ? 'time-limit' : 'completed',
    detail: diverges ? 'no progress: every vCPU spins with interrupts off' : '',
    exitCode: web || diverges ? null : 0,
    console: diverges ? `${word} ...` : `${word} done\n`,
    instructions: web ? Math.round(instructions * 0.1) : instructions,
    guestCycles: native - walk,
    translatedCycles: 0,
    walkCycles: walk,
    exitCycles: Math.round(extra * 0.55),
    vmmCycles: extra - Math.round(extra * 0.55),
    workUnits: web ? served : diverges ? 3 : 1000,
    elapsedNs,
    exits,
    sections: [],
    divergences: diverges ? [POPF] : [],
    vcpus: [fakeVcpu(run, elapsedNs, busyNs, index, random.below(40))],
    memory: { guestPages: vm.memoryBytes / 4096, residentPages: 900, tablePages: 20 },
  };
}

function fakeVcpu(
  run: ResolvedRun,
  elapsedNs: number,
  busyNs: number,
  vcpu: number,
  noise: number,
): VmRecord['vcpus'][0] {
  const crowd = run.vms.length / run.host.pcpus;
  const boost = run.host.scheduler.policy === 'credit' ? 1 : 9;
  const p50Ns = crowd < 2 ? 0 : Math.round(2_000 * crowd * boost * (1 + noise / 100));
  const p99Ns = Math.round((40_000 * boost * crowd * crowd * (100 + noise)) / 100);
  const runningNs = Math.min(elapsedNs, busyNs);
  const readyNs = Math.min(elapsedNs - runningNs, p50Ns * 100);
  return {
    vcpu: vcpu * 0,
    runningNs,
    readyNs,
    blockedNs: elapsedNs - runningNs - readyNs,
    parkedNs: 0,
    costoppedNs: 0,
    wakeups: 100,
    wakeToRun: { p50Ns, p95Ns: Math.round(p99Ns / 3), p99Ns, maxNs: p99Ns * 2 },
    switchesVoluntary: 100,
    switchesInvoluntary: 12,
    migrations: 0,
  };
}

function fakePcpus(run: ResolvedRun, vms: readonly VmRecord[], simulatedNs: number): PcpuRecord[] {
  const total = Math.round((simulatedNs * run.host.frequencyHz) / 1e9);
  const crowd = run.vms.length / run.host.pcpus;
  const share = run.vms.some((vm) => vm.workload.startsWith('web')) ? Math.min(0.97, 0.095 * crowd) : 0.98;
  const busy = Math.round(total * share);
  return Array.from({ length: run.host.pcpus }, (_, pcpu) => ({
    pcpu,
    guestCycles: busy - 3 * Math.round(busy / 50),
    translatedCycles: 0,
    walkCycles: Math.round(busy / 50),
    exitCycles: Math.round(busy / 50),
    vmmCycles: 0,
    switchCycles: vms.length > 1 ? Math.round(busy / 50) : 0,
    threadCycles: 0,
    idleCycles: total - busy,
    tlbMisses: 1000,
    tlbFlushes: 3,
  }));
}
