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

  it('is deceived in ring 1, at an instruction of that name', () => {
    const { vm } = runVm({ image: guest(name), technique: 'trap-and-emulate', paging: 'shadow' });
    const [mnemonic] = name.slice('hole-'.length).split('-');
    expect(vm.outcome).toMatchObject({ kind: 'completed', exitCode: 0 });
    if (name === 'hole-int') {
      expect(vm.consoleText()).toBe(expected(name));
      expect(vm.exits.sorted().find(({ reason }) => reason === 'software-interrupt')?.count).toBe(2);
      return;
    }
    expect(vm.consoleText()).toContain(', differs');
    expect(
      vm.divergences.map((one) => one.mnemonic.replace(/f$/, (f) => (mnemonic?.endsWith('f') ? f : ''))),
    ).toContain(mnemonic);
  });
});
