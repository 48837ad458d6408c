/**
 * What emulation and bytecode share: the CPU executes a runtime of ours (guests/interpreters), as a native guest, and the
 * program that the user means is the runtime's data. The runtime is the VMM here: its cycles are VMM cycles.
 *
 * The meter: the runtime writes to port 0xEC the address of a structure that begins with the 64-bit number of the
 * program's instructions, and to port 0xEA the name of each section of the run that is over, ended by a newline. Nothing
 * is charged for looking: host instructions and cycles are those that the CPU really executed.
 * Invariant: what a runtime writes there is checked; it can make the meter useless, but nothing else.
 */

import { UserError } from '../../core/errors.ts';
import { ACCOUNT_TRANSLATED, ACCOUNT_VMM, type Account } from '../../core/runnable.ts';
import type { ForeignProgram } from '../../guest/foreign.ts';
import { EXIT_IO } from '../../machine/exits.ts';
import type { Disposition, Technique, TechniqueName } from '../technique.ts';
import type { ExecutedVcpu } from '../vcpu.ts';
import { NativeExecutor } from './native.ts';

const PORT_SECTION = 0xea;
const PORT_METER = 0xec;
const NAME_BYTES_MAX = 32;
const NEWLINE = 10;
const WORD = 2 ** 32;

class InterpretedExecutor extends NativeExecutor {
  /** Of everything executed from now on. */
  account: Account = ACCOUNT_VMM;
  private readonly translates: boolean;
  private meter: number | null = null;
  private name = '';
  private seen = { guest: 0, host: 0, cycles: 0 };

  constructor(vcpu: ExecutedVcpu, translates: boolean) {
    super(vcpu);
    this.translates = translates;
  }

  /** Instructions of the program where the runtime counts them, else those of the CPU. */
  override get instructions(): number {
    return this.programInstructions() ?? this.cpu.instructions;
  }

  override handle(exit: number): Disposition {
    const { cpu } = this;
    if (exit === EXIT_IO && !cpu.ioIsIn) {
      if (cpu.ioPort === PORT_SECTION) this.sectionByte(cpu.ioValue & 0xff);
      if (cpu.ioPort === PORT_METER && cpu.ioBytes === 4) this.meterAt(cpu.ioValue >>> 0);
    }
    return super.handle(exit);
  }

  private sectionByte(byte: number): void {
    if (byte !== NEWLINE) {
      if (this.name.length < NAME_BYTES_MAX) this.name += String.fromCharCode(byte);
      return;
    }
    const { cpu, vcpu, seen, name } = this;
    const guest = this.programInstructions();
    vcpu.vm.recordSection({
      name: name.replace(/[^\x20-\x7e]/g, '?'),
      guestInstructions: guest === null ? null : guest - seen.guest,
      hostInstructions: cpu.instructions - seen.host,
      hostCycles: cpu.cycles - seen.cycles,
    });
    this.seen = { guest: guest ?? 0, host: cpu.instructions, cycles: cpu.cycles };
    this.name = '';
    if (this.translates && name === 'translate') this.account = ACCOUNT_TRANSLATED;
  }

  private meterAt(address: number): void {
    const end = this.vcpu.vm.physmap.ramFrames * 4096;
    this.meter = address % 4 === 0 && address + 8 <= end ? address : null;
  }

  private programInstructions(): number | null {
    const { meter } = this;
    if (meter === null) return null;
    const { physmap } = this.vcpu.vm;
    return (physmap.read32(meter) >>> 0) + (physmap.read32(meter + 4) >>> 0) * WORD;
  }
}

/** A technique that runs foreign programs on a runtime. */
export function interpreted(
  name: TechniqueName,
  summary: string,
  program: ForeignProgram,
  translates = false,
): Technique {
  return {
    name,
    summary,
    pagings: ['native'],
    program,
    make(vcpu) {
      const { paging, image, name: vm } = vcpu.vm.spec;
      if (paging !== 'native') throw new UserError(`VM ${vm}: technique ${name} has paging native, not ${paging}`);
      if (image.modules === undefined) {
        throw new UserError(`VM ${vm}: technique ${name} runs a program on a runtime, found the kernel ${image.name}`);
      }
      return new InterpretedExecutor(vcpu, translates);
    },
  };
}
