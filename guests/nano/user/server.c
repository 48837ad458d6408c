/*
 * Workloads that mostly wait: an idle machine and an open server.
 * Invariant: arrival times are fixed in advance by the seed, in absolute ticks: a slow machine gets
 *            a queue, never fewer requests (Schroeder et al., NSDI 2006, on open systems).
 * Source: our own.
 */
#include "user.h"

static void sleep_until_or_fail(u32 tick)
{
    if (sys_sleep_until(tick) == SYS_ERROR)
        fail("this workload needs a timer: hz > 0");
}

/* options: ticks. Wakes at each of them. */
struct outcome run_idle(const u32 *value)
{
    u32 count = value[0], start = sys_ticks(), sum = CHECKSUM_START;
    struct progress p = progress_start(count);

    for (u32 tick = 1; tick <= count; tick++) {
        sleep_until_or_fail(start + tick);
        sum = checksum_add(sum, tick);
        progress_at(&p, tick);
    }
    return (struct outcome){count, sum};
}

/* Geometric with the given mean: whole ticks, memoryless, several requests may share one. */
static u32 gap_next(u32 *random, u32 mean_ticks)
{
    u32 gap = 0;

    while (random_next(random) % (mean_ticks + 1))
        gap++;
    return gap;
}

static u32 serve(u32 request, u32 iterations)
{
    u32 state = request | 1, sum = CHECKSUM_START;

    for (u32 i = 0; i < iterations; i++)
        sum = checksum_add(sum, random_next(&state));
    return sum;
}

/* options: requests, gap, work, seed. A request costs 0.5 to 1.5 times `work` iterations. */
struct outcome run_web(const u32 *value)
{
    u32 requests = value[0], gap = value[1], work = value[2], random = value[3];
    u32 arrival = sys_ticks(), sum = CHECKSUM_START;

    for (u32 i = 1; i <= requests; i++) {
        arrival += gap_next(&random, gap);
        sleep_until_or_fail(arrival); /* returns at once when we are late */
        u32 iterations = work / 2 + random_next(&random) % (work + 1);
        sum = checksum_add(sum, serve(i, iterations));
        sys_work(i);
    }
    return (struct outcome){requests, sum};
}
