/**
 * The sink of cold events: dispatches, wake-ups, exits, reclaims; never single instructions.
 * Every event enters the run digest in the order emitted, so two runs with the same digest had the same history.
 * Invariant: neither keeping events nor listening to them changes the digest.
 */
import { Digest, hashText } from './digest.ts';
import type { Ns } from './units.ts';

/** One event. The fields mean the same for every kind; -1 stands for "none" and `text` is usually empty. */
export interface TraceEvent {
  readonly at: Ns;
  /** What happened, e.g. `dispatch`; lower case, dashes. */
  readonly kind: string;
  readonly pcpu: number;
  /** Number of the vCPU (task id), -1 for none. */
  readonly vcpu: number;
  /** An integer whose meaning depends on the kind. */
  readonly value: number;
  readonly text: string;
}

export interface TraceOptions {
  /** Keep at most this many events, the first ones, for a timeline. Default 0: keep none. */
  readonly keepMax?: number;
}

export class Trace {
  /** Called with each event; null when nobody listens. */
  listener: ((event: TraceEvent) => void) | null = null;
  /** The events kept. */
  readonly events: TraceEvent[] = [];
  /** How many events were emitted. */
  count = 0;
  readonly digest = new Digest();
  private readonly keepMax: number;
  // Kinds are few and repeat for ever, so their hashes are worth keeping.
  private readonly kindHashes = new Map<string, number>();

  constructor(options: TraceOptions = {}) {
    this.keepMax = options.keepMax ?? 0;
  }

  emit(at: Ns, kind: string, pcpu: number, vcpu: number, value = 0, text = ''): void {
    this.count++;
    const digest = this.digest;
    const hash = this.kindHash(kind);
    if ((value | 0) === value) digest.event(at, hash, pcpu, vcpu, value);
    else {
      digest.integer(at);
      digest.integer(hash);
      digest.integer(pcpu);
      digest.integer(vcpu);
      digest.integer(value);
    }
    if (text !== '') digest.text(text);
    const kept = this.events.length < this.keepMax;
    if (!kept && this.listener === null) return;
    const event: TraceEvent = { at, kind, pcpu, vcpu, value, text };
    if (kept) this.events.push(event);
    if (this.listener !== null) this.listener(event);
  }

  /** Events that were emitted but not kept, because `keepMax` was reached. */
  get dropped(): number {
    return this.count - this.events.length;
  }

  private kindHash(kind: string): number {
    let hash = this.kindHashes.get(kind);
    if (hash === undefined) {
      hash = hashText(kind);
      this.kindHashes.set(kind, hash);
    }
    return hash;
  }
}
