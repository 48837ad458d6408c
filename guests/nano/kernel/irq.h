/*
 * Masking interrupts around critical sections: the one place where the two kernel builds differ in
 * everyday code. Invariant: irq_save/irq_restore nest; restore brings back the state save found.
 *
 * nano:        what kernels do: the state is read with PUSHF and brought back with POPF. Outside
 *              ring 0 neither traps: PUSHF shows the real IF, POPF silently leaves IF alone.
 * nano-clean:  the state is a variable, changed only next to CLI and STI, which do trap.
 *
 * Source: Intel SDM volume 2, PUSHF/POPF/CLI/STI; Robin and Irvine, USENIX Security 2000.
 */
#ifndef IRQ_H
#define IRQ_H

#include "cpu.h"

#ifdef NANO_CLEAN

/* 1 while the CPU accepts interrupts in kernel code. Entering by a gate clears it: see irq_enter. */
extern u32 irq_on;

static inline u32 irq_save(void)
{
    u32 saved = irq_on;

    if (saved) {
        cli();
        irq_on = 0;
    }
    return saved;
}

static inline void irq_restore(u32 saved)
{
    if (saved) {
        irq_on = 1;
        sti();
    }
}

/* An interrupt gate cleared IF: tell the variable; the result goes to irq_leave before IRET. */
static inline u32 irq_enter(void)
{
    u32 saved = irq_on;

    irq_on = 0;
    return saved;
}

static inline void irq_leave(u32 saved) { irq_on = saved; }

#else

static inline u32 irq_save(void)
{
    u32 flags;

    __asm__ volatile("pushfl; popl %0; cli" : "=r"(flags) : : "memory");
    return flags;
}

static inline void irq_restore(u32 flags) { __asm__ volatile("pushl %0; popfl" : : "r"(flags) : "memory", "cc"); }

/* Gates and IRET keep IF for us. */
static inline u32 irq_enter(void) { return 0; }
static inline void irq_leave(u32 saved) { (void)saved; }

#endif

static inline void irq_enable(void)
{
#ifdef NANO_CLEAN
    irq_on = 1;
#endif
    sti();
}

static inline void irq_disable(void)
{
    cli();
#ifdef NANO_CLEAN
    irq_on = 0;
#endif
}

/* Sleeps until an interrupt has been served; called and left with interrupts off. */
static inline void irq_wait(void)
{
#ifdef NANO_CLEAN
    irq_on = 1;
#endif
    sti_hlt();
    irq_disable();
}

#endif
