/*
 * Hypercalls as functions, the shared page, and the start information.
 * Invariant: nothing here executes an instruction that ring 1 may not.
 * Source: our own; docs/paravirtual.md.
 */
#ifndef PV_H
#define PV_H

#include "../../lib/lib.h"
#include "abi.h"

typedef unsigned long long u64;

static inline int hypercall(u32 number, u32 a, u32 b, u32 c, u32 d)
{
    int result;

    __asm__ volatile("int %1" : "=a"(result) : "i"(VECTOR_HYPERCALL), "a"(number), "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
    return result;
}

struct pv_clock {
    u32 version, unused;
    u64 tsc_stamp, system_time; /* ns */
    u32 mul, shift;
};

struct pv_shared {
    volatile u8 mask, pending;
    u16 unused0;
    volatile u32 ports, ports_masked;
    volatile u32 cr2;
    u32 unused1[4];
    volatile struct pv_clock clock;
    volatile u64 steal; /* ns */
};

struct pv_start {
    u32 magic, version;
    struct pv_shared *shared;
    const u32 *machine_frame; /* by page number */
    const u32 *page_number;   /* by machine frame, less machine_first */
    u32 machine_first, machine_count;
    u32 *directory;
    u32 ram_end;
};

extern struct pv_start *pv_start;   /* boot.S */
extern struct pv_shared *pv_shared; /* boot.S: entry.S needs it by name */

/* Takes the event that waits, if the mask is open: before it returns the VMM delivers it. */
static inline void event_poll(void) { hypercall(HC_EVENT_CHANNEL_OP, EVENT_POLL, 0, 0, 0); }

u64 pv_now(void); /* timer.c: ns since the machine started */

#endif
