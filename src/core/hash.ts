/**
 * SHA digests. Node's cryptography is loaded with the first of them: a guest that boots needs none, and would wait for it.
 */
import type { Hash } from 'node:crypto';

/** Takes data by `update`, answers with `digest`. */
export function newHash(algorithm: 'sha1' | 'sha256'): Hash {
  return process.getBuiltinModule('node:crypto').createHash(algorithm);
}
