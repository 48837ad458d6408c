/**
 * The holes of IA-32, one guest each. Expected values are QEMU's (guests/expected), so that the bare machine is no opinion.
 * Which of them deceive a kernel in ring 1 is that of Robin & Irvine 2000, and INT is the counter-example: it always traps.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readCatalogue } from '../../src/guest/catalogue.ts';
import { guest, runVm } from './run-vm.ts';

const names = readCatalogue()
  .guests.map(({ name }) => name)
  .filter((name) => name.startsWith('hole-'));

const expected = (name: string): string =>
  readFileSync(new URL(`../../guests/expected/${name}.txt`, import.meta.url), 'latin1');

/** Instructions that trap wherever they would deceive: INT always, and a far RET to an inner ring. */
const TRAPS = { 1: ['hole-int'], 3: ['hole-int', 'hole-ret-far'] } as const satisfies Record<1 | 3, readonly string[]>;

describe.each(names)('%s', (name) => {
  it('sees on the bare machine and with VT-x what it sees on QEMU', () => {
    expect(expected(name)).not.toContain('differs');
    for (const way of [
      { technique: 'native', paging: 'native' },
      { technique: 'hardware-assisted', paging: 'shadow' },
      { technique: 'hardware-assisted', paging: 'nested' },
    ] as const) {
      expect(runVm({ image: guest(name), ...way }).vm.consoleText()).toBe(expected(name));
    }
  });

  it.each([1, 3] as const)('is deceived in ring %i, at an instruction of that name, or trapped', (ring) => {
    const { vm } = runVm({ image: guest(name), technique: 'trap-and-emulate', paging: 'shadow', ring });
    expect(vm.outcome).toMatchObject({ kind: 'completed', exitCode: 0 });
    const [mnemonic = ''] = name.slice('hole-'.length).split('-');
    const isDeceived = !(TRAPS[ring] as readonly string[]).includes(name);
    expect(vm.consoleText() !== expected(name)).toBe(isDeceived);
    // The ISA table has CALLF, JMPF and RETF for what the far ones are called there.
    expect(vm.divergences.some((one) => [mnemonic, `${mnemonic}f`].includes(one.mnemonic))).toBe(isDeceived);
    const reason = mnemonic === 'int' ? 'software-interrupt' : `trapped-${mnemonic}f`;
    expect(isDeceived || vm.exits.sorted().some((exit) => exit.reason === reason)).toBe(true);
  });
});
