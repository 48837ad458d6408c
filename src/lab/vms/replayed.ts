/**
 * A VM whose vCPU plays a recording of an executed guest.
 * Invariant: its record has the same ledger as that of the guest; it has no memory and no console.
 */
import { CpuClock } from '../../core/clock.ts';
import type { Digest } from '../../core/digest.ts';
import { assert } from '../../core/errors.ts';
import { Streams } from '../../core/rng.ts';
import {
  ACCOUNT_EXIT,
  ACCOUNT_GUEST,
  ACCOUNT_TRANSLATED,
  ACCOUNT_VMM,
  ACCOUNT_WALK,
  type Account,
} from '../../core/runnable.ts';
import type { Ns } from '../../core/units.ts';
import type { RunOutcome } from '../../host/dispatch.ts';
import { ReplayedVcpu, type Score } from '../../host/replay/replayed.ts';
import type { HostTask } from '../../host/task.ts';
import { findPreset } from '../../vmm/presets/index.ts';
import { isBare, type TechniqueName } from '../../vmm/technique.ts';
import type { Outcome } from '../../vmm/vm.ts';
import type { ResolvedReplay, ResolvedVm } from '../plan.ts';
import type { VmRecord } from '../rows.ts';
import type { Scheduled } from '../scheduling/collect.ts';
import { addHostVm, type BuiltVm, outcomeAtEnd, runnableFor, type Site, taskSpec } from './kind.ts';
import { vcpuRecord } from './vcpu-record.ts';

/** Where it begins; null: it plays all of it, once. */
function offsetOf({ run }: Site, { name }: ResolvedVm, { offset }: ResolvedReplay, { ring }: Score): Ns | null {
  if (offset !== 'random') return offset ?? null;
  assert(ring !== null, 'the plan has only recordings that can be played round and round');
  return Math.floor(new Streams(run.seed).stream(`VM ${name}, offset`).float01() * ring.lengthNs);
}

/** What a recorded guest waited for before its first instruction: the switch to it, unless there was no hypervisor. */
function waitedNs({ kind, run: { host } }: Site, { technique }: ResolvedVm): Ns {
  if (isBare(technique as TechniqueName)) return 0;
  const clock = new CpuClock(host.frequencyHz);
  clock.advance(kind.switchCycles(findPreset(host.preset)));
  return clock.now;
}

export class ReplayedWorldVm implements BuiltVm {
  private readonly site: Site;
  private readonly plan: ResolvedVm;
  private readonly startNs: Ns;
  private readonly vcpu: ReplayedVcpu;
  private readonly task: HostTask;
  private outcome: Outcome | null = null;
  private endedAt: Ns = 0;

  constructor(site: Site, plan: ResolvedVm, replay: ResolvedReplay, score: Score) {
    this.site = site;
    this.plan = plan;
    this.startNs = replay.startNs;
    const onEnd = (outcome: Outcome, at: Ns): void => this.end(outcome, at);
    const { startNs } = replay;
    const playing = { startNs, waitedNs: waitedNs(site, plan), offsetNs: offsetOf(site, plan, replay, score) };
    this.vcpu = new ReplayedVcpu(site.engine, score, playing, onEnd);
    this.task = site.dispatcher.attach(
      addHostVm(site, plan),
      runnableFor(site, plan, this.vcpu),
      taskSpec(plan, 0, site.firstPcpu),
    );
  }

  get name(): string {
    return this.plan.name;
  }

  get tasks(): readonly Scheduled[] {
    return [{ task: this.task, worker: this.vcpu }];
  }

  start(): void {
    const { engine, dispatcher } = this.site;
    if (this.startNs === 0) dispatcher.start(this.task);
    else engine.at(this.startNs, () => dispatcher.start(this.task));
  }

  finish(outcome: RunOutcome): void {
    if (this.outcome !== null) return;
    const [kind, detail] = outcomeAtEnd(outcome, [this.task]);
    this.outcome = { kind, detail, exitCode: null };
    this.endedAt = this.site.dispatcher.now;
    // As the vCPUs of an executed VM are, when it ends.
    this.vcpu.wakeUp();
  }

  addTo(digest: Digest): void {
    digest.text(this.outcome?.kind ?? '');
    digest.integer(this.endedAt);
    digest.integer(this.vcpu.completed);
    digest.integer(this.vcpu.instructions);
    for (const cycles of this.task.spent) digest.integer(cycles);
  }

  record(): VmRecord {
    const { vcpu, task, outcome } = this;
    const cycles = (account: Account): number => task.spent[account]!;
    return {
      name: this.plan.name,
      outcome: outcome?.kind ?? 'time-limit',
      detail: outcome?.detail ?? '',
      exitCode: outcome?.exitCode ?? null,
      console: '',
      instructions: vcpu.instructions,
      guestCycles: cycles(ACCOUNT_GUEST),
      translatedCycles: cycles(ACCOUNT_TRANSLATED),
      walkCycles: cycles(ACCOUNT_WALK),
      exitCycles: cycles(ACCOUNT_EXIT),
      vmmCycles: cycles(ACCOUNT_VMM),
      workUnits: vcpu.completed,
      elapsedNs: Math.max(0, this.endedAt - this.startNs),
      exits: vcpu.exits,
      divergences: [],
      sections: [],
      vcpus: [vcpuRecord(0, task)],
      memory: { guestPages: 0, residentPages: 0, tablePages: 0 },
    };
  }

  private end(outcome: Outcome, at: Ns): void {
    if (this.outcome !== null) return;
    this.outcome = outcome;
    this.endedAt = at;
    this.site.endOfVm();
  }
}
