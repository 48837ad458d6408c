/*
 * What kernel/cpu.h offers, for a kernel in ring 1: no instruction of it traps, it asks the VMM or writes to shared memory.
 * Invariant: the mask byte of the shared page stands for IF turned round; the real IF is always set.
 * Source: our own; docs/paravirtual.md.
 */
#ifndef CPU_H
#define CPU_H

#include "pv.h"

#define EFLAGS_ONE 0x002u
#define EFLAGS_IF 0x200u

static inline void outb(u16 port, u8 value) { hypercall(HC_PORT_IO, PORT_WRITE, port, 1, value); }
static inline void outl(u16 port, u32 value) { hypercall(HC_PORT_IO, PORT_WRITE, port, 4, value); }
static inline u8 inb(u16 port) { return (u8)hypercall(HC_PORT_IO, PORT_READ, port, 1, 0); }

static inline void cli(void) { pv_shared->mask = 1; }
static inline void hlt(void) { hypercall(HC_SCHED_OP, SCHED_BLOCK, 0, 0, 0); }
/* Blocking opens the mask in one step with going to sleep. */
static inline void sti_hlt(void) { hlt(); }
static inline void sti(void)
{
    pv_shared->mask = 0;
    if (pv_shared->pending)
        event_poll();
}

static inline u32 read_cr2(void) { return pv_shared->cr2; }

#endif
