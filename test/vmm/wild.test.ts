/** Guests that run wild: each ends with an outcome that says what happened, under every technique, in bounded time. */
import { describe, expect, it } from 'vitest';
import type { OutcomeKind } from '../../src/vmm/vm.ts';
import { guest, runVm } from './run-vm.ts';

const WAYS = [
  { technique: 'native', paging: 'native' },
  { technique: 'trap-and-emulate', paging: 'shadow' },
  { technique: 'binary-translation', paging: 'shadow' },
  { technique: 'hardware-assisted', paging: 'shadow' },
  { technique: 'hardware-assisted', paging: 'nested' },
] as const;

const CASES: readonly (readonly [name: string, kind: OutcomeKind, detail: RegExp])[] = [
  ['wild-triple', 'triple-fault', /^at 0x0010[0-9a-f]{4}: exception/],
  ['wild-badop', 'triple-fault', /^at 0x0010[0-9a-f]{4}: exception/],
  ['wild-unmapped', 'triple-fault', /^at 0x[0-9a-f]{8}: exception/],
  ['wild-spin', 'time-limit', /^$/],
  ['wild-haltforever', 'halted', /interrupts off/],
];

describe.each(WAYS)('$technique $paging', (way) => {
  it.each(CASES)('%s ends as %s', (name, kind, detail) => {
    const { vm } = runVm({ image: guest(name), seconds: 0.02, ...way });
    expect(vm.outcome?.kind).toBe(kind);
    expect(vm.outcome?.detail).toMatch(detail);
  });

  it('keeps the console of a guest that prints without end', () => {
    const { vm } = runVm({ image: guest('wild-console'), seconds: 1, ...way });
    expect(vm.outcome).toMatchObject({ kind: 'completed', exitCode: 0 });
    expect(vm.consoleText().split('\n').length).toBeGreaterThan(100);
  });
});
