/**
 * Small kernels that once went wrong (test/vmm/regressions/*.S), under every technique: same outcome, same console.
 * What each must print was worked out from the manual, not from a run.
 */
import { describe, expect, it } from 'vitest';
import { readGuestImage } from '../../src/guest/image.ts';
import type { OutcomeKind } from '../../src/vmm/vm.ts';
import { runVm } from './run-vm.ts';

const WAYS = [
  { technique: 'native', paging: 'native' },
  { technique: 'trap-and-emulate', paging: 'shadow' },
  { technique: 'binary-translation', paging: 'shadow' },
  { technique: 'hardware-assisted', paging: 'shadow' },
  { technique: 'hardware-assisted', paging: 'nested' },
  { technique: 'hardware-assisted', paging: 'nested', taggedTlb: true },
] as const;

const CASES: readonly (readonly [name: string, kind: OutcomeKind, console: string])[] = [
  ['adapt', 'completed', '0\n'],
  ['badcr3', 'triple-fault', ''],
  ['bigclear', 'completed', 'K\n'],
  ['codetag2', 'completed', 'ABA\n'],
  ['collide', 'completed', 'K\n'],
  ['endbr', 'completed', 'K'],
  ['ferr', 'halted', ''],
  ['fpu', 'completed', '314159265EDMN\n'],
  ['fpuloop', 'completed', '104807282\n'],
  ['gdtgone', 'triple-fault', ''],
  ['gdtodd', 'completed', 'K\n'],
  ['gdtstack', 'completed', 'CBACBACBA\n'],
  ['hlttf', 'completed', '4\n'],
  ['jumpabs', 'triple-fault', ''],
  ['lcall', 'completed', 'FKK\n'],
  ['straddle', 'time-limit', ''],
  ['tf', 'completed', '8\n'],
  ['tsc', 'completed', 'L\n'],
  ['vmmhunt', 'completed', 'K\n'],
  ['sled', 'time-limit', ''],
];

describe.each(WAYS)('$technique $paging', (way) => {
  it.each(CASES)('%s: %s', (name, kind, text) => {
    const path = new URL(`regressions/bin/${name}.elf`, import.meta.url).pathname;
    const seconds = kind === 'time-limit' ? 0.002 : 0.5;
    const { vm } = runVm({ image: readGuestImage(path, name), seconds, ...way });
    expect(vm.consoleText()).toBe(text);
    expect(vm.outcome?.kind).toBe(kind);
  });

  it('insstale: ends by an outcome, whether the stale translation was still there or not', () => {
    const path = new URL('regressions/bin/insstale.elf', import.meta.url).pathname;
    const { vm } = runVm({ image: readGuestImage(path, 'insstale'), seconds: 0.003, ...way });
    expect(['completed', 'triple-fault']).toContain(vm.outcome?.kind);
  });
});
