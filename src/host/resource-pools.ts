/**
 * Resource pools: a tree of groups of VMs, each with shares, a reservation and a limit of its own. Siblings - pools and VMs -
 * divide what their parent is entitled to.
 *   shares        weight among siblings; a pool counts as a VM of four vCPUs unless told (4000)
 *   reservation   pCPUs promised to the pool; the reservations inside are taken out of it
 *   expandable    what it lacks for those it borrows of its parent; a `fixed` one refuses instead
 *   limit         pCPUs that its VMs use at most, together
 * Invariants: what is reserved inside a fixed pool is at most its reservation, inside any pool at most its limit, on the host at
 * most its pCPUs; a pool without VMs that want to run claims nothing.
 * Source: VMware's documentation of resource management (resource pools, expandable reservations, admission control).
 */
import { UserError } from '../core/errors.ts';
import { Claimant } from './entitlement.ts';
import type { Limit, VmShare } from './share-scheduler.ts';

const NAME = '[a-z0-9][a-z0-9-]{0,39}';
const POOL = `${NAME}(?:/${NAME})*`;
const SETTING = '(?:shares|reservation|limit)=[0-9]{1,7}';

/** The path of a pool, or nothing for the host itself. */
export const POOL_PATTERN = new RegExp(`^(?:${POOL})?$`);
export const POOL_FORM = 'the path of a resource pool, such as production/web';
export const POOLS_PATTERN = new RegExp(`^(?:${POOL}(?: (?:${SETTING}|fixed))*(?:, |$))*$`);
export const POOLS_FORM =
  'pools separated by commas, each with shares=N, reservation=N, limit=N (percent of a pCPU) or fixed, such as ' +
  '"production shares=8000 reservation=200, production/web limit=150 fixed"';

const SHARES_NORMAL = 4000;
const ROUNDING = 1e-9;

export class ResourcePool {
  readonly path: string;
  readonly parent: ResourcePool | null;
  readonly shares: number;
  /** pCPUs; Infinity for no limit. */
  readonly reservation: number;
  readonly limit: number;
  readonly isFixed: boolean;
  readonly children: ResourcePool[] = [];
  readonly vms: VmShare[] = [];
  /** What enforces its limit; null without one. */
  enforced: Limit | null = null;

  constructor(path: string, parent: ResourcePool | null, settings: readonly string[]) {
    const values = new Map(settings.map((text) => [text.split('=')[0]!, text.split('=')[1]] as const));
    const number = (name: string, usual: number): number => Number(values.get(name) ?? usual);
    this.path = path;
    this.parent = parent;
    this.shares = number('shares', SHARES_NORMAL);
    this.reservation = number('reservation', 0) / 100;
    this.limit = number('limit', Infinity) / 100;
    this.isFixed = values.has('fixed');
  }

  /** pCPUs that its members have reserved, and what this takes of its parent. */
  reserved(reservationOf: (share: VmShare) => number): number {
    const pools = this.children.reduce((sum, pool) => sum + pool.taken(reservationOf), 0);
    return this.vms.reduce((sum, share) => sum + reservationOf(share), pools);
  }

  taken(reservationOf: (share: VmShare) => number): number {
    return Math.max(this.reservation, this.reserved(reservationOf));
  }

  /** What the pool claims of its parent, with those of its members that claim anything; null if none does. */
  claim(claims: ReadonlyMap<VmShare, Claimant>): Claimant | null {
    const children = this.claimants(claims);
    if (children.length === 0) return null;
    const sum = (of: (claimant: Claimant) => number): number => children.reduce((total, one) => total + of(one), 0);
    const max = Math.min(
      this.limit,
      sum((one) => one.max),
    );
    const promised = Math.max(
      this.reservation,
      sum((one) => one.min),
    );
    return new Claimant({ weight: this.shares, min: Math.min(promised, max), max }, { children });
  }

  claimants(claims: ReadonlyMap<VmShare, Claimant>): Claimant[] {
    const vms = this.vms.flatMap((share) => claims.get(share) ?? []);
    return [...vms, ...this.children.flatMap((pool) => pool.claim(claims) ?? [])];
  }
}

/** The pools of a host. */
export class ResourcePools {
  private readonly pcpus: number;
  private readonly reservationOf: (share: VmShare) => number;
  private readonly root = new ResourcePool('', null, []);
  private readonly byPath = new Map([['', this.root]]);

  /** @param text of the form POOLS_PATTERN @throws UserError if the pools cannot be those of a host with so many pCPUs */
  constructor(text: string, pcpus: number, reservationOf: (share: VmShare) => number) {
    this.pcpus = pcpus;
    this.reservationOf = reservationOf;
    for (const entry of text.split(', ').filter((one) => one !== '')) this.define(entry);
    const [lacking] = [...this.byPath.values()].map((pool) => this.lack(pool)).filter((lack) => lack !== null);
    if (lacking !== undefined) throw new UserError(`resource_pools: ${lacking}`);
  }

  private define(entry: string): void {
    const [path, ...settings] = entry.split(' ') as [string, ...string[]];
    const parent = this.byPath.get(path.split('/').slice(0, -1).join('/'));
    if (parent === undefined)
      throw new UserError(`resource_pools: found ${path}, but its parent does not stand before it`);
    if (this.byPath.has(path)) throw new UserError(`resource_pools: found ${path} twice`);
    const pool = new ResourcePool(path, parent, settings);
    if (pool.shares === 0) throw new UserError(`resource_pools: ${path}: found shares=0, expected at least 1`);
    if (pool.reservation > pool.limit)
      throw new UserError(`resource_pools: ${path}: its reservation is above its limit`);
    parent.children.push(pool);
    this.byPath.set(path, pool);
  }

  get withLimit(): ResourcePool[] {
    return [...this.byPath.values()].filter(({ limit }) => limit < Infinity);
  }

  /** Puts a VM into its pool. @throws UserError if there is no such pool, or not enough left to reserve */
  admit(share: VmShare, path: string): ResourcePool {
    const { name } = share.vm;
    const pool = this.byPath.get(path);
    if (pool === undefined) {
      const known = [...this.byPath.keys()].filter((one) => one !== '');
      const expected = known.length === 0 ? 'but there are no resource_pools' : `expected one of ${known.join(', ')}`;
      throw new UserError(`VM ${name}: resource_pool: found ${path}, ${expected}`);
    }
    pool.vms.push(share);
    for (let at: ResourcePool | null = pool; at !== null; at = at.parent) {
      const lack = this.lack(at);
      if (lack !== null)
        throw new UserError(`VM ${name}: reservation_percent: found ${percent(this.reservationOf(share))}, ${lack}`);
    }
    return pool;
  }

  leave(share: VmShare): void {
    for (const { vms } of this.byPath.values()) if (vms.includes(share)) vms.splice(vms.indexOf(share), 1);
  }

  rootsOf(claims: ReadonlyMap<VmShare, Claimant>): Claimant[] {
    return this.root.claimants(claims);
  }

  /** Why the reservations inside a pool cannot be kept; null if they can. */
  private lack(pool: ResourcePool): string | null {
    const reserved = pool.reserved(this.reservationOf);
    const over = (most: number): boolean => reserved > most + ROUNDING;
    const all = `${percent(reserved)} reserved in all`;
    if (pool === this.root) return over(this.pcpus) ? `but the host has ${percent(this.pcpus)}, with ${all}` : null;
    if (pool.isFixed && over(pool.reservation)) {
      return `but resource pool ${pool.path} is fixed at ${percent(pool.reservation)}, with ${all}`;
    }
    return over(pool.limit)
      ? `but resource pool ${pool.path} has a limit of ${percent(pool.limit)}, with ${all}`
      : null;
  }
}

function percent(pcpus: number): string {
  return `${Math.round(pcpus * 100)} %`;
}
