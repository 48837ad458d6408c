/**
 * hvsim itself, as its users start it: `dist/cli.js boot`, technique native.
 * Invariant: the option --engine is passed on only where this build has it; without it there is one engine only, the
 *            interpreter, which may be asked for by name.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Boot, Command, LinuxBoot, Peer } from './peer.ts';

const CLI = fileURLToPath(new URL('../../../dist/cli.js', import.meta.url));
const HOLD = fileURLToPath(new URL('../hvsim-hold.mjs', import.meta.url));
const PACKAGE = new URL('../../../package.json', import.meta.url);

/** hvsim with one of its engines, or with the one that is default. */
export function hvsim(engine?: string): Peer {
  const options = engine === undefined || !hasEngineOption() ? [] : ['--engine', engine];
  const bounds = ['--max-seconds', '3600', '--max-instructions', '1000000000000'];
  const boot = ({ kernel, append, memoryMib }: Boot): string[] => {
    const machine = ['--memory', `${memoryMib}MiB`, '--append', append];
    return [process.execPath, CLI, 'boot', kernel, ...machine, ...bounds, ...options];
  };
  return {
    id: 'hvsim',
    title: engine === undefined ? 'hvsim' : `hvsim ${engine}`,
    missing: () => missing(engine),
    version: () => (JSON.parse(readFileSync(PACKAGE, 'utf8')) as { version: string }).version,
    boot: (job): Command => ({ words: boot(job) }),
    bootLinux: (job: LinuxBoot): Command => ({
      words: [...boot(job), ...(job.initrd === undefined ? [] : ['--initrd', job.initrd])],
    }),
    hold: ({ kernel, append, memoryMib }, machines): Command => ({
      words: [process.execPath, HOLD, JSON.stringify({ kernel, append, memoryMib, machines, engine })],
    }),
    instructions: (stderr) => {
      const text = /^instructions +([\d\s]+),/m.exec(stderr)?.[1];
      return text === undefined ? undefined : Number(text.replaceAll(/\s/g, ''));
    },
  };
}

function missing(engine: string | undefined): string | undefined {
  if (!existsSync(CLI)) return 'it is not built (npm run build)';
  if (engine === undefined || engine === 'interpreter' || hasEngineOption()) return undefined;
  return `this build has no option --engine, so none called "${engine}"`;
}

function hasEngineOption(): boolean {
  return spawnSync(process.execPath, [CLI, 'boot', '--help'], { encoding: 'utf8' }).stdout.includes('--engine');
}
