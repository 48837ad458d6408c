/*
 * What several CPUs do together: spin locks, TLB shoot-down, barriers, a chain of wake-ups.
 * Invariants: each counts what must not go wrong (two CPUs inside, a stale translation, a CPU that is early) as errors;
 *             result and checksum are sums over the CPUs, so that the order of CPUs does not show.
 *             Loops that wait have PAUSE, so that hypervisors can tell them (pause-loop exiting).
 * Source: Mellor-Crummey and Scott 1991 (ticket lock, central barrier); Friebel and Biemueller 2008 (a waiter that gives up
 *         its CPU, and is woken by whoever releases); Black et al. 1989 (shoot-down).
 */
#include "smp.h"

static volatile u32 errors;
static volatile u32 sums[CPUS_MAX][16]; /* a cache line each */

static u32 burn(u32 state, u32 iterations)
{
    for (u32 i = 0; i < iterations; i++) {
        state = state * 1664525u + 1013904223u;
        __asm__ volatile("" : "+r"(state)); /* each one is done */
    }
    return state;
}

static void spin(u32 cpu)
{
    pause();
    waiting[cpu].spins++;
}

/* Halts until another CPU has written `wanted` and sent an interrupt after it. Called and left with interrupts on. */
static void halt_until(u32 cpu, volatile u32 *word, u32 wanted)
{
    for (;;) {
        cli();
        if (*word == wanted)
            break;
        waiting[cpu].halts++;
        sti_hlt();
    }
    sti();
}

static u32 sums_total(void)
{
    u32 total = 0;

    for (u32 cpu = 0; cpu < cpu_count; cpu++)
        total += sums[cpu][0];
    return total;
}

/* ---- spinlock: options kind, hold, gap, n, limit ---- */

enum { KIND_TAS, KIND_TICKET, KIND_PV };
static const char *const kinds[] = {"tas", "ticket", "pv"};

/* In different cache lines: the lock, and what it guards. */
static struct { volatile u32 taken, next, serving, unused[13]; } lock __attribute__((aligned(64)));
static struct { volatile u32 count, sum, inside, unused[13]; } guarded __attribute__((aligned(64)));
/* KIND_PV: the ticket that a halted CPU waits for, plus one; 0: it does not. */
static volatile u32 halted_for[CPUS_MAX];

static void tas_take(u32 cpu)
{
    while (exchange(&lock.taken, 1))
        do
            spin(cpu);
        while (lock.taken);
}

static void ticket_take(u32 cpu)
{
    u32 mine = add_locked(&lock.next, 1);

    while (lock.serving != mine)
        spin(cpu);
}

static void pv_take(u32 cpu, u32 limit)
{
    u32 mine = add_locked(&lock.next, 1);

    for (;;) {
        for (u32 i = 0; i < limit; i++) {
            if (lock.serving == mine)
                return;
            spin(cpu);
        }
        cli();
        halted_for[cpu] = mine + 1;
        barrier_full(); /* whoever releases after this look sees that we sleep */
        if (lock.serving != mine) {
            waiting[cpu].halts++;
            sti_hlt();
        } else
            sti();
        halted_for[cpu] = 0;
    }
}

static void pv_give(void)
{
    u32 next = lock.serving + 1;

    lock.serving = next;
    barrier_full();
    for (u32 cpu = 0; cpu < cpu_count; cpu++)
        if (halted_for[cpu] == next + 1) {
            send_to(cpu, VECTOR_WAKE);
            break;
        }
}

static void lock_take(u32 kind, u32 cpu, u32 limit)
{
    if (kind == KIND_TAS)
        tas_take(cpu);
    else if (kind == KIND_TICKET)
        ticket_take(cpu);
    else
        pv_take(cpu, limit);
    compiler_barrier();
}

static void lock_give(u32 kind)
{
    compiler_barrier();
    if (kind == KIND_TAS)
        lock.taken = 0;
    else if (kind == KIND_TICKET)
        lock.serving++;
    else
        pv_give();
}

/* Often enough to measure rates, seldom enough not to cost anything. */
static u32 progress_step(u32 total)
{
    u32 step = total / 64;

    return step > 10 ? 10 : step ? step : 1;
}

static void spinlock_run(u32 cpu, const u32 *value)
{
    u32 kind = value[0], hold = value[1], gap = value[2], n = value[3], limit = value[4];
    u32 step = progress_step(n * cpu_count), own = cpu;

    for (u32 i = 0; i < n; i++) {
        lock_take(kind, cpu, limit);
        if (guarded.inside)
            add_locked(&errors, 1);
        guarded.inside = 1;
        u32 count = guarded.count, sum = guarded.sum; /* not atomic: the lock has to see to it */
        sum += burn(cpu * n + i, hold);
        guarded.sum = sum;
        guarded.count = ++count;
        guarded.inside = 0;
        lock_give(kind);
        if (count % step == 0)
            progress(count);
        own = burn(own, gap);
    }
    sums[cpu][0] = own;
}

static void spinlock_result(const u32 *value, u32 *result, u32 *wrong, u32 *checksum)
{
    *result = guarded.count;
    *wrong = errors + (guarded.count != value[3] * cpu_count);
    *checksum = checksum_add(guarded.sum, sums_total());
}

/* ---- shootdown: options n, work ---- */

static u32 pages[2][1024] __attribute__((aligned(4096)));
static volatile u32 generation, acknowledged, seen;
static u32 acknowledged_total;

static void shootdown_first(u32 n, u32 work)
{
    u32 own = 0;

    for (u32 round = 1; round <= n; round++) {
        u32 *page = pages[round & 1];
        acknowledged = seen = 0;
        window_map(0);
        window_forget();
        barrier_full();
        send_to_others(VECTOR_SHOOT);
        while (acknowledged != cpu_count - 1)
            spin(0);
        acknowledged_total += acknowledged;
        page[0] = round;
        window_map((u32)page);
        barrier_full();
        generation = round;
        if (*(volatile u32 *)WINDOW != round)
            add_locked(&errors, 1);
        own = burn(own, work);
        while (seen != cpu_count - 1)
            spin(0);
        progress(round);
    }
    sums[0][0] = own;
}

static void shootdown_run(u32 cpu, const u32 *value)
{
    u32 n = value[0], work = value[1], sum = CHECKSUM_START, idle = cpu;

    if (cpu == 0) {
        shootdown_first(n, work);
        return;
    }
    for (u32 round = 1; round <= n; round++) {
        while (generation != round)
            idle = burn(idle, 32);
        u32 word = *(volatile u32 *)WINDOW;
        if (word != round)
            add_locked(&errors, 1);
        sum = checksum_add(sum, word);
        add_locked(&seen, 1);
    }
    sums[cpu][0] = sum;
}

static void shootdown_result(const u32 *value, u32 *result, u32 *wrong, u32 *checksum)
{
    *result = acknowledged_total;
    *wrong = errors + (acknowledged_total != value[0] * (cpu_count - 1));
    *checksum = sums_total();
}

/* ---- barrier: options wait, phases, work ---- */

enum { WAIT_SPIN, WAIT_HALT };
static const char *const waits[] = {"spin", "halt"};
static volatile u32 arrived, phase;
static volatile u32 at_phase[CPUS_MAX][16];

static void barrier_wait(u32 cpu, u32 wait)
{
    u32 mine = phase;

    if (add_locked(&arrived, 1) == cpu_count - 1) {
        arrived = 0;
        barrier_full();
        phase = mine + 1;
        barrier_full();
        if (wait == WAIT_HALT)
            send_to_others(VECTOR_WAKE);
        progress(mine + 1);
    } else if (wait == WAIT_HALT)
        halt_until(cpu, &phase, mine + 1);
    else
        while (phase == mine)
            spin(cpu);
}

/* Everybody has half to one and a half times `work` to do in each phase, by a seed of its own. */
static void barrier_run(u32 cpu, const u32 *value)
{
    u32 wait = value[0], phases = value[1], work = value[2], random = cpu + 1, own = cpu;

    for (u32 i = 0; i < phases; i++) {
        random = random * 1664525u + 1013904223u;
        own = burn(own, work / 2 + (random >> 8) % (work + 1));
        at_phase[cpu][0] = i + 1;
        barrier_wait(cpu, wait);
        for (u32 other = 0; other < cpu_count; other++)
            if (at_phase[other][0] < i + 1)
                add_locked(&errors, 1);
    }
    sums[cpu][0] = own;
}

static void barrier_result(const u32 *value, u32 *result, u32 *wrong, u32 *checksum)
{
    *result = phase;
    *wrong = errors + (phase != value[1]);
    *checksum = sums_total();
}

/* ---- pipeline: options n, work ---- */

static volatile u32 mailbox[CPUS_MAX][16];
static volatile u32 token = CHECKSUM_START, passed;

static void pass_on(u32 cpu, u32 round, u32 work)
{
    u32 next = cpu + 1 == cpu_count ? 0 : cpu + 1;

    token = checksum_add(token, burn(cpu + round, work));
    passed++;
    mailbox[next][0] = round;
    barrier_full();
    send_to(next, VECTOR_WAKE);
}

static void pipeline_run(u32 cpu, const u32 *value)
{
    u32 n = value[0], work = value[1];

    for (u32 round = 1; round <= n; round++) {
        if (cpu == 0)
            pass_on(0, round, work);
        halt_until(cpu, &mailbox[cpu][0], round);
        if (cpu != 0)
            pass_on(cpu, round, work);
        else
            progress(round);
    }
}

static void pipeline_result(const u32 *value, u32 *result, u32 *wrong, u32 *checksum)
{
    *result = passed;
    *wrong = passed != value[0] * cpu_count;
    *checksum = token;
}

/* ---- all ---- */

const struct workload workloads[] = {
    {"spinlock", spinlock_run, spinlock_result,
     {{"kind", KIND_TICKET, 0, KIND_PV, kinds}, {"hold", 200, 0, 100000000, 0}, {"gap", 600, 0, 100000000, 0},
      {"n", 1000, 1, 100000000, 0}, {"limit", 2000, 1, 1000000000, 0}}},
    {"shootdown", shootdown_run, shootdown_result,
     {{"n", 500, 1, 100000000, 0}, {"work", 2000, 0, 100000000, 0}}},
    {"barrier", barrier_run, barrier_result,
     {{"wait", WAIT_SPIN, 0, WAIT_HALT, waits}, {"phases", 300, 1, 100000000, 0}, {"work", 2000, 0, 100000000, 0}}},
    {"pipeline", pipeline_run, pipeline_result,
     {{"n", 300, 1, 100000000, 0}, {"work", 1000, 0, 100000000, 0}}},
};
const u32 workload_count = ARRAY_LENGTH(workloads);

void on_interrupt(u32 vector)
{
    if (vector == VECTOR_WAKE)
        waiting[this_cpu()].kicks++;
    else if (vector == VECTOR_SHOOT) {
        window_forget();
        add_locked(&acknowledged, 1);
    } else
        panic("unexpected interrupt");
}
