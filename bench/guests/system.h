/*
 * The workloads that enter the kernel: what traps.c calls of them.
 * Invariant: both answer by changing the trap frame or the page tables, never by switching stacks.
 * Source: our own.
 */
#ifndef SYSTEM_H
#define SYSTEM_H

struct trapframe;
void system_call(struct trapframe *frame);
void page_fault(struct trapframe *frame);

#endif
