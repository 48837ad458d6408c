/*
 * What kernel/irq.h offers: the mask byte that the VMM reads. Masking needs no hypercall, opening none unless an event
 * came meanwhile. Invariant: irq_save/irq_restore nest. Entry masks, and the saved IF tells trap_return what to restore.
 * Source: Barham et al., SOSP 2003, 3.2.
 */
#ifndef IRQ_H
#define IRQ_H

#include "cpu.h"

static inline u32 irq_save(void)
{
    u32 saved = pv_shared->mask;

    pv_shared->mask = 1;
    return saved;
}

static inline void irq_restore(u32 saved)
{
    if (!saved)
        sti();
}

static inline u32 irq_enter(void) { return 0; }
static inline void irq_leave(u32 saved) { (void)saved; }
static inline void irq_enable(void) { sti(); }
static inline void irq_disable(void) { cli(); }

/* Sleeps until an event has been served; called and left with events masked. */
static inline void irq_wait(void)
{
    hlt();
    cli();
}

#endif
