/**
 * Parts of the physical machine that a scenario may leave out: cold caches and halt polling.
 * Invariant: as in schema.ts, parsing only fills defaults and normalises spelling.
 */
import { z } from 'zod';
import { cost, quantity } from './schema-parts.ts';

export const cacheRefill = z
  .strictObject({
    core: cost().default(0).describe('Coming from another thread of the same core'),
    socket: cost().default(0).describe('Coming from another core of the same socket'),
    other: cost().default(0).describe('Coming from another socket'),
    same: cost().default(0).describe('Coming back to the same physical CPU after others ran there for full_after'),
    full_after: quantity('duration')
      .default('10 ms')
      .describe('Time away after which that is due in full; a part of it before, in proportion'),
  })
  .describe(
    'What a cold cache costs a vCPU that comes to a physical CPU, in cycles or as a duration; default: nothing',
  );

export const haltPolling = z
  .strictObject({
    max: quantity('duration').default('200 us').describe('Longest poll; "0 ns" for none'),
    grow: z.int().min(0).max(1000).default(2).describe('The window grows by this factor; 0: not at all'),
    grow_start: quantity('duration').default('10 us').describe('First window above 0'),
    shrink: z
      .int()
      .min(0)
      .max(1000)
      .default(0)
      .describe('The window shrinks by this factor, to 0 below grow_start; 0: to 0 at once'),
  })
  .describe('A vCPU that halts keeps its physical CPU for a while, as KVM does it; default: it does not');

export type CacheRefillInput = z.output<typeof cacheRefill>;
export type HaltPollingInput = z.output<typeof haltPolling>;
