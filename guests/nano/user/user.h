/*
 * System calls as functions, and what a workload looks like.
 * Invariant: a workload's result and checksum depend on its options only: never on time, ticks,
 *            memory size or the order in which tasks happened to run.
 * Source: our own.
 */
#ifndef USER_H
#define USER_H

#include "../abi.h"
#include "../lib/lib.h"

static inline u32 system_call(u32 number, u32 a, u32 b)
{
    u32 result;

    __asm__ volatile("int %1" : "=a"(result) : "i"(VECTOR_SYSCALL), "a"(number), "b"(a), "c"(b) : "memory");
    return result;
}

static inline void __attribute__((noreturn)) sys_exit(u32 code)
{
    system_call(SYS_EXIT, code, 0);
    __builtin_unreachable();
}
static inline u32 sys_fork(void) { return system_call(SYS_FORK, 0, 0); }
static inline u32 sys_wait(u32 task_id) { return system_call(SYS_WAIT, task_id, 0); }
static inline u32 sys_getpid(void) { return system_call(SYS_GETPID, 0, 0); }
static inline void sys_write(const char *text, u32 bytes) { system_call(SYS_WRITE, (u32)text, bytes); }
static inline u32 sys_sleep_until(u32 tick) { return system_call(SYS_SLEEP, tick, 0); }
static inline void sys_yield(void) { system_call(SYS_YIELD, 0, 0); }
static inline void *sys_map(u32 bytes) { return (void *)system_call(SYS_MAP, bytes, 0); }
static inline void sys_unmap(void *start) { system_call(SYS_UNMAP, (u32)start, 0); }
static inline void sys_work(u32 units_done) { system_call(SYS_WORK, units_done, 0); }
static inline u32 sys_ticks(void) { return system_call(SYS_TICKS, 0, 0); }
static inline void sys_cmdline(char *buffer, u32 bytes) { system_call(SYS_CMDLINE, (u32)buffer, bytes); }
static inline u32 sys_ptemod(u32 n) { return system_call(SYS_PTEMOD, n, 0); }
static inline u32 sys_io(u32 n) { return system_call(SYS_IO, n, 0); }

/* Random numbers, the same on every machine: xorshift32 (Marsaglia 2003). The seed must not be 0. */
static inline u32 random_next(u32 *state)
{
    u32 x = *state;

    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return *state = x;
}

/* Reports about eight times while a job of `total` units runs, the last time with exactly `total`. */
struct progress {
    u32 total, step, next;
};

static inline struct progress progress_start(u32 total)
{
    u32 step = total / 8 ? total / 8 : 1;

    return (struct progress){total, step, step};
}

static inline void progress_at(struct progress *p, u32 done)
{
    if (done < p->next && done < p->total)
        return;
    p->next = done + p->step;
    sys_work(done);
}

#define OPTION_COUNT 5

struct option {
    const char *key; /* 0: no more options */
    u32 fallback, min, max;
};

struct outcome {
    u32 result, checksum;
};

/* `value` holds the options in the order of the table. */
struct workload {
    const char *name;
    struct outcome (*run)(const u32 *value);
    struct option options[OPTION_COUNT];
};

/* Ends the program with a message: for what no option check can foresee. */
void fail(const char *what) __attribute__((noreturn));
void *map_or_fail(u32 bytes);

struct outcome run_sieve(const u32 *value);
struct outcome run_matmul(const u32 *value);
struct outcome run_calls(const u32 *value);
struct outcome run_chase(const u32 *value);
struct outcome run_syscall(const u32 *value);
struct outcome run_pgfault(const u32 *value);
struct outcome run_ptemod(const u32 *value);
struct outcome run_forkwait(const u32 *value);
struct outcome run_io(const u32 *value);
struct outcome run_idle(const u32 *value);
struct outcome run_web(const u32 *value);
struct outcome run_mix(const u32 *value);
struct outcome run_faults(const u32 *value);

#endif
