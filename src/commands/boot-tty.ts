/**
 * Typing into a running guest: the terminal's keys go to COM1 between slices of simulated time.
 * What is typed when is up to the person, so such a run cannot be repeated; everything else in hvsim can.
 * Invariants: the terminal leaves raw mode when the guest ends or the user leaves with Ctrl-]; an idle guest's time
 * passes no faster than that of the person who looks at it.
 */
import type { RunOutcome } from '../host/dispatch.ts';
import type { World } from '../lab/build.ts';
import { note } from './terminal.ts';

const LEAVE = 0x1d; // Ctrl-]
/** How long the person's keys may wait. */
const TURN_NS = 10_000_000n;

/** Runs slices until `slice` says that the guest has ended. @param slice runs one, of 1 ms of simulated time */
export async function runWithTerminal(world: World, slice: () => RunOutcome | 'over'): Promise<void> {
  const { vm, vcpus } = world.vms[0]!;
  const instructions = (): number => vcpus.reduce((sum, { vcpu }) => sum + vcpu.instructions, 0);
  const { stdin } = process;
  note('input from the terminal: this run cannot be repeated exactly; Ctrl-] leaves');
  stdin.setRawMode?.(true);
  stdin.on('data', (keys: Buffer) => {
    if (keys.includes(LEAVE)) vm.end('time-limit', 'left by the user');
    else vm.pc.uart.receive(keys);
  });
  try {
    for (;;) {
      const started = process.hrtime.bigint();
      let idle = false;
      while (!idle && process.hrtime.bigint() - started < TURN_NS) {
        const before = instructions();
        const outcome = slice();
        if (outcome === 'over' || outcome === 'ended') return;
        idle = instructions() === before || outcome === 'stuck';
      }
      await new Promise((resolve) => setTimeout(resolve, idle ? 1 : 0));
    }
  } finally {
    stdin.removeAllListeners('data');
    stdin.setRawMode?.(false);
    stdin.pause();
  }
}
