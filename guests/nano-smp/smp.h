/*
 * What the parts of the SMP kernel offer to one another; one block per source file.
 * Invariants: every CPU runs in ring 0 on the same page tables; nothing here executes an instruction that need not trap
 *             outside ring 0; what several CPUs write is volatile, and changed by locked instructions or under a lock.
 * Source: our own.
 */
#ifndef SMP_H
#define SMP_H

#include "../nano/kernel/cpu.h"
#include "layout.h"

static inline void pause(void) { __asm__ volatile("pause" : : : "memory"); }
static inline void compiler_barrier(void) { __asm__ volatile("" : : : "memory"); }
/* Stores before it are seen by all before loads after it are done (SDM vol 3, 8.2.5). */
static inline void barrier_full(void) { __asm__ volatile("lock; addl $0, (%%esp)" : : : "memory", "cc"); }
static inline u32 add_locked(volatile u32 *at, u32 value)
{
    __asm__ volatile("lock; xaddl %0, %1" : "+r"(value), "+m"(*at) : : "memory", "cc");
    return value;
}
static inline u32 exchange(volatile u32 *at, u32 value)
{
    __asm__ volatile("xchgl %0, %1" : "+r"(value), "+m"(*at) : : "memory");
    return value;
}

/* ---- machine.c: CPUs, local APICs, interrupts, paging ---- */
#define VECTOR_WAKE 0x50
#define VECTOR_SHOOT 0x51
#define VECTOR_SPURIOUS 0xFF
#define WINDOW 0x40000000u /* one 4 KiB page, mapped here and there */
extern u32 cpu_count;
static inline u32 this_cpu(void);
void machine_read(void);              /* the MP tables */
void cpu_start_up(void);              /* tables, paging and local APIC of the CPU that calls */
void others_start(u32 cpus);          /* one after the other; they call work_other */
void send_to(u32 cpu, u32 vector);
void send_to_others(u32 vector);
void window_map(u32 page);            /* 0: nothing; only for the CPU that calls */
void window_forget(void);             /* INVLPG */

/* ---- main.c ---- */
void shutdown(u32 code) __attribute__((noreturn));
void print(const char *pattern, ...);
void panic(const char *what) __attribute__((noreturn));
void progress(u32 units);             /* only larger numbers than before are passed on */
void other_work(u32 cpu) __attribute__((noreturn));

/* ---- workloads.c ---- */
#define OPTIONS_MAX 5
struct option {
    const char *key;
    u32 fallback, min, max;
    const char *const *words;         /* the value is one of these, by number; 0: it is a number */
};
struct workload {
    const char *name;
    void (*run)(u32 cpu, const u32 *value); /* by every CPU at the same time */
    void (*result)(const u32 *value, u32 *result, u32 *errors, u32 *checksum);
    struct option options[OPTIONS_MAX];
};
extern const struct workload workloads[];
extern const u32 workload_count;
void on_interrupt(u32 vector);        /* with interrupts off, before the end of the interrupt */

/* What CPUs did while they waited: depends on time. */
struct waiting {
    volatile u32 spins, halts, kicks;
    u32 unused[13];                   /* a cache line each */
};
extern struct waiting waiting[CPUS_MAX];

extern char stacks[CPUS_MAX][STACK_BYTES];
static inline u32 this_cpu(void)
{
    u32 esp;

    __asm__ volatile("movl %%esp, %0" : "=r"(esp));
    return (esp - (u32)stacks) / STACK_BYTES;
}

#endif
