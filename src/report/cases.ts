/**
 * The rows of vms.csv as cases to compare: a workload (what the guest does) under a variant (how it is virtualized).
 * Invariant: two rows of the same run_id and VM kind never fall into different variants of the same axes.
 */
import type { Row } from './frame.ts';
import { distinct, groupBy, text } from './frame.ts';
import { frame, isPoint, type Results, runOf } from './results.ts';

export interface Case {
  readonly vm: Row;
  readonly run: Row;
  /** What the guest does, short: `sieve`. */
  readonly workload: string;
  /** How it is virtualized: technique, paging, the guest where guests are compared, and whatever else an axis varies. */
  readonly variant: string;
  /** The part of `variant` that names technique and paging. */
  readonly technique: string;
}

/** Every VM of every point of the sweep. */
export function casesOf(results: Results): Case[] {
  const run = runOf(results);
  const rows = frame(results, 'vms').rows.filter((row) => isPoint(run(row)));
  const workload = workloadNames(rows);
  const others = otherAxes(results, rows, run);
  const guests = distinct(rows.map((row) => text(row, 'guest')));
  return rows.map((vm) => {
    const technique = techniqueName(vm);
    const guest = guests.length > 1 ? text(vm, 'guest') : '';
    const labels = [guest, ...others.map((axis) => text(run(vm), axis))].filter((label) => label !== '');
    return { vm, run: run(vm), workload: workload(vm), variant: [technique, ...labels].join(' \u00b7 '), technique };
  });
}

/** Technique and paging in words. */
export function techniqueName(vm: Row): string {
  const technique = text(vm, 'technique');
  const paging = text(vm, 'paging');
  return technique === 'hardware-assisted' ? `hardware, ${paging}` : technique;
}

/** What the scenario calls the technique of a row, where it has an axis for that; else technique and paging in words. */
export function techniqueLabels(results: Results): (row: Row) => string {
  const run = runOf(results);
  return (row) => text(run(row), 'technique') || techniqueName(row);
}

/** The first word of the command line where that is enough to tell the workloads apart. */
function workloadNames(rows: readonly Row[]): (row: Row) => string {
  const byFirst = groupBy(distinct(rows.map(plainWorkload)), firstWord);
  return (row) => {
    const plain = plainWorkload(row);
    const alone = (byFirst.get(firstWord(plain)) ?? []).length <= 1;
    return (alone ? firstWord(plain) : plain) || text(row, 'guest');
  };
}

/** The command line without the seed, which differs from VM to VM. */
function plainWorkload(row: Row): string {
  return text(row, 'workload')
    .replace(/\s*\bseed=\d+/g, '')
    .trim();
}

function firstWord(line: string): string {
  return line.split(' ')[0] ?? '';
}

/** Axes whose effect does not already show in guest, workload, technique and paging. */
function otherAxes(results: Results, rows: readonly Row[], run: (row: Row) => Row): string[] {
  const shown = groupBy(rows, (row) =>
    [text(row, 'guest'), plainWorkload(row), text(row, 'technique'), text(row, 'paging')].join('\n'),
  );
  return results.scenario.axes.filter((axis) =>
    [...shown.values()].some((group) => distinct(group.map((row) => text(run(row), axis))).length > 1),
  );
}
