/** All machines that the benchmark knows, in the order of their columns. */
import type { BenchOptions } from '../../options.ts';
import { bochs } from './bochs.ts';
import { hvsim } from './hvsim.ts';
import type { Peer } from './peer.ts';
import { qemu } from './qemu.ts';
import { v86 } from './v86.ts';

/** Names for --peers; the last is left out unless named. */
export const PEER_IDS = ['hvsim', 'v86', 'qemu', 'bochs', 'qemu-icount'] as const;
export const DEFAULT_PEERS: readonly string[] = PEER_IDS.slice(0, -1);

function known({ engines, tools, linux }: BenchOptions): Peer[] {
  const own = engines.length === 0 ? [hvsim()] : engines.map((engine) => hvsim(engine));
  return [...own, v86(linux.bios, linux.vgaBios), qemu(tools.qemu), bochs(tools.bochs), qemu(tools.qemu, true)];
}

export interface Present {
  readonly peers: readonly Peer[];
  /** `id: reason`, for those that were asked for. */
  readonly skipped: readonly string[];
}

/** Those of the peers asked for that can run here. */
export function presentPeers(options: BenchOptions): Present {
  const wanted = known(options).filter(({ id }) => options.peers.includes(id));
  const skipped = wanted.flatMap((peer) => {
    const reason = peer.missing();
    return reason === undefined ? [] : [`${peer.title} skipped: ${reason}`];
  });
  return { peers: wanted.filter((peer) => peer.missing() === undefined), skipped };
}
