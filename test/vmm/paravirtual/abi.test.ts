/** The interface in TypeScript, in C for guests, and in prose are one: same names, same numbers. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import * as abi from '../../../src/vmm/paravirtual/abi.ts';

const root = new URL('../../../', import.meta.url);
const header = readFileSync(new URL('guests/nano/kernel/pv/abi.h', root), 'utf8');
const prose = readFileSync(new URL('docs/paravirtual.md', root), 'utf8');
const defines = new Map(
  [...header.matchAll(/^#define (\w+) (0x[0-9A-F]+|\d+)/gm)].map(([, name, value]) => [name!, Number(value)]),
);

describe('guests/nano/kernel/pv/abi.h', () => {
  it('has every hypercall with its number, and no other', () => {
    const calls = [...defines].filter(([name]) => name.startsWith('HC_'));
    const ours = Object.entries(abi.HYPERCALLS).map(([name, number]) => [
      `HC_${name.toUpperCase().replaceAll('-', '_')}`,
      number,
    ]);
    expect(new Map(calls)).toEqual(new Map(ours as [string, number][]));
  });

  it('has the other numbers of the VMM under the same names', () => {
    const same = [...defines].filter(([name]) => name in abi);
    expect(same.length).toBeGreaterThan(25);
    expect(Object.fromEntries(same)).toEqual(
      Object.fromEntries(Object.entries(abi).filter(([name]) => defines.has(name))),
    );
    const alone = [...defines.keys()].filter((name) => !(name in abi) && !name.startsWith('HC_'));
    expect(alone.sort((a, b) => (a < b ? -1 : 1))).toEqual(['SEL_PV_KERNEL_DATA', 'TRAP_DPL3']);
    expect(defines.get('SEL_PV_KERNEL_DATA')).toBe(abi.SEL_KERNEL_DATA);
    expect(defines.get('TRAP_DPL3')).toBe(abi.TRAP_DPL);
  });
});

describe('docs/paravirtual.md', () => {
  it('lists every hypercall with its number', () => {
    const rows = [...prose.matchAll(/^\| (\d+) \| ([a-z-]+) \| /gm)].map(([, number, name]) => [name, Number(number)]);
    expect(Object.fromEntries(rows)).toEqual(abi.HYPERCALLS);
  });
});
