/** The window of pause-loop exits (reference, section 2.7): how KVM makes it longer and shorter. */
import { expect, test } from 'vitest';
import { fixedWindow, PauseWindow } from '../../src/core/pause-window.ts';

const KVM = { first: 4096, grow: 2, shrink: 0, longest: 2 ** 31 - 1 };

/** Lengths after so many exits. */
function lengths(spec: typeof KVM, exits: number): number[] {
  const window = new PauseWindow(spec);
  return Array.from({ length: exits }, () => {
    window.exited();
    return window.length;
  });
}

test('grows by its factor at every exit, up to its limit', () => {
  expect(lengths(KVM, 4)).toEqual([8192, 16_384, 32_768, 65_536]);
  expect(lengths({ ...KVM, first: 3000, grow: 3, longest: 65_535 }, 4)).toEqual([9000, 27_000, 65_535, 65_535]);
  expect(lengths({ ...KVM, grow: 1 }, 2)).toEqual([4096, 4096]);
});

test('who comes back begins anew, or with a shorter one, never shorter than the first', () => {
  const back = (shrink: number): number[] => {
    const window = new PauseWindow({ ...KVM, shrink });
    for (let i = 0; i < 3; i++) window.exited();
    return [1, 2, 3, 4].map(() => {
      window.returned();
      return window.length;
    });
  };
  expect(back(0)).toEqual([4096, 4096, 4096, 4096]);
  expect(back(2)).toEqual([16_384, 8192, 4096, 4096]);
  expect(back(5)).toEqual([6553, 4096, 4096, 4096]);
});

test('tells whether it has changed', () => {
  const window = new PauseWindow(KVM);
  expect(window.returned()).toBe(false);
  window.exited();
  expect(window.returned()).toBe(true);
});

test('one that never ends stays so', () => {
  const window = fixedWindow(Infinity);
  window.exited();
  window.returned();
  expect(window.length).toBe(Infinity);
});
