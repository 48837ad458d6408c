/** Fixes the seed of property tests, so that a red test is red for everybody. Override with FC_SEED. */
import fc from 'fast-check';

fc.configureGlobal({ seed: Number(process.env['FC_SEED'] ?? 42) });
