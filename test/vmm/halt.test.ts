/**
 * HLT ends when an interrupt waits, and not before: whatever else wakes a vCPU, it looks and goes back to sleep.
 * The guest counts the instructions after HLT, and its interrupts.
 */
import { expect, test } from 'vitest';
import { Engine } from '../../src/core/engine.ts';
import { Streams } from '../../src/core/rng.ts';
import { Trace } from '../../src/core/trace.ts';
import { NS_PER_MS } from '../../src/core/units.ts';
import { guestImage } from '../../src/guest/image.ts';
import { Dispatcher } from '../../src/host/dispatch.ts';
import { roundRobin } from '../../src/host/sched/index.ts';
import { STATE_BLOCKED } from '../../src/host/scheduler.ts';
import { makeTopology } from '../../src/host/topology.ts';
import { DELIVER_FIXED } from '../../src/machine/devices/apic-bus.ts';
import { PhysicalMachine } from '../../src/vmm/machine.ts';
import { findPreset } from '../../src/vmm/presets/index.ts';
import type { PagingName, TechniqueName } from '../../src/vmm/technique.ts';
import { findTechnique } from '../../src/vmm/techniques/index.ts';
import { ExecutedVcpu } from '../../src/vmm/vcpu.ts';
import { ExecutedVm } from '../../src/vmm/vm.ts';

const AT = 0x10_0000;
const VECTOR = 0x20;
const RESUMED_AT = 0x3000;
const SERVED_AT = 0x3004;
const AFTER_HLT = 9;
const HANDLER = 17;
const POINTER = 32;
const IDT = 64;

/** lidt; again: sti; hlt; inc RESUMED; jmp again. The handler: inc SERVED; iret. */
function program(): Uint8Array {
  const bytes = new Uint8Array(IDT + 8 * (VECTOR + 1));
  bytes.set([0x0f, 0x01, 0x1d, POINTER, 0x00, 0x10, 0x00]);
  bytes.set([0xfb, 0xf4, 0xff, 0x05, 0x00, 0x30, 0x00, 0x00, 0xeb, 0xf6], 7);
  bytes.set([0xff, 0x05, 0x04, 0x30, 0x00, 0x00, 0xcf], HANDLER);
  const view = new DataView(bytes.buffer);
  view.setUint16(POINTER, 8 * (VECTOR + 1) - 1, true);
  view.setUint32(POINTER + 2, AT + IDT, true);
  view.setUint32(IDT + 8 * VECTOR, (8 << 16) | HANDLER, true);
  view.setUint32(IDT + 8 * VECTOR + 4, (AT & 0xffff_0000) | 0x8e00, true);
  return bytes;
}

function start(technique: TechniqueName, paging: PagingName) {
  const engine = new Engine();
  const preset = findPreset('broadwell');
  const machine = new PhysicalMachine(preset, 8192, 1, 1);
  const image = guestImage('halts', 'halts', program());
  const vm = new ExecutedVm(0, machine, engine, {
    name: 'vm',
    image,
    append: '',
    memoryBytes: 4 * 2 ** 20,
    technique,
    paging,
    taggedTlb: false,
    load: { format: 'flat' },
  });
  const vcpu = new ExecutedVcpu(vm, 0, findTechnique(technique));
  const topology = makeTopology({ sockets: 1, coresPerSocket: 1, threadsPerCore: 1 });
  const dispatcher = new Dispatcher(
    { topology, hz: preset.frequencyHz },
    { engine, trace: new Trace({ keepMax: 0 }), random: new Streams(1).stream('scheduler'), policy: roundRobin },
  );
  dispatcher.start(dispatcher.attach(dispatcher.addVm({ name: 'vm' }), vcpu));
  const counts = () => ({ resumed: vm.physmap.read8(RESUMED_AT), served: vm.physmap.read8(SERVED_AT) });
  const interrupt = () => vcpu.lapic.accept({ mode: DELIVER_FIXED, vector: VECTOR, level: false });
  return { engine, dispatcher, vcpu, counts, interrupt };
}

test.each([
  ['native', 'native'],
  ['hardware-assisted', 'nested'],
  ['hardware-assisted', 'shadow'],
  ['trap-and-emulate', 'shadow'],
  ['binary-translation', 'shadow'],
] as const)('%s %s: a wake-up without an interrupt ends no HLT, one with it ends one', (technique, paging) => {
  const { engine, dispatcher, vcpu, counts, interrupt } = start(technique, paging);
  engine.at(1 * NS_PER_MS, () => vcpu.wakeUp());
  dispatcher.runUntil(2 * NS_PER_MS);
  expect(counts()).toEqual({ resumed: 0, served: 0 });
  expect(dispatcher.tasks[0]!.state).toBe(STATE_BLOCKED);
  engine.at(3 * NS_PER_MS, interrupt);
  dispatcher.runUntil(4 * NS_PER_MS);
  expect(counts()).toEqual({ resumed: 1, served: 1 });
  expect(dispatcher.tasks[0]!.state).toBe(STATE_BLOCKED);
});

test('a wake-up that was posted before the block cancels it in the dispatcher only', () => {
  const { engine, dispatcher, vcpu, counts, interrupt } = start('hardware-assisted', 'nested');
  // As a device does it that is programmed in the window in which the vCPU halts: at the end of its run.
  let halts = 0;
  vcpu.afterRun = () => {
    if (vcpu.guestView().eip !== AT + AFTER_HLT) return;
    halts++;
    if (halts === 1) engine.at(engine.now, () => vcpu.wakeUp());
  };
  dispatcher.runUntil(1 * NS_PER_MS);
  // Asked once more, it had nothing to go on for.
  expect(halts).toBe(2);
  expect(counts().resumed).toBe(0);
  engine.at(2 * NS_PER_MS, interrupt);
  dispatcher.runUntil(3 * NS_PER_MS);
  expect(counts()).toEqual({ resumed: 1, served: 1 });
});
