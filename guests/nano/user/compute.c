/*
 * Workloads that only compute, in ring 3: loops over memory, integer arithmetic, calls.
 * Invariant: no system call inside a unit of work except the rare progress report.
 * Source: our own; sieve of Eratosthenes, quicksort (Hoare 1961).
 */
#include "user.h"

/* options: n, rounds. Result: the primes below n. */
struct outcome run_sieve(const u32 *value)
{
    u32 n = value[0], rounds = value[1], count = 0, sum = CHECKSUM_START;
    struct progress p = progress_start(rounds);
    u8 *composite = map_or_fail(n);

    for (u32 round = 1; round <= rounds; round++) {
        count = 0;
        memset(composite, 0, n);
        for (u32 i = 2; i < n; i++) {
            if (composite[i])
                continue;
            count++;
            for (u32 j = i + i; j < n; j += i)
                composite[j] = 1;
        }
        sum = checksum_add(sum, count + round);
        progress_at(&p, round);
    }
    return (struct outcome){count, sum};
}

static void matmul_row(u32 *c, const u32 *a, const u32 *b, u32 n)
{
    for (u32 j = 0; j < n; j++) {
        u32 dot = 0;
        for (u32 k = 0; k < n; k++)
            dot += a[k] * b[k * n + j];
        c[j] = dot;
    }
}

/* options: n, rounds. A unit of work is one row. Each round multiplies the last product again. */
struct outcome run_matmul(const u32 *value)
{
    u32 n = value[0], rounds = value[1], sum = CHECKSUM_START, random = 1;
    struct progress p = progress_start(rounds * n);
    u32 *a = map_or_fail(3 * n * n * sizeof *a);
    u32 *b = a + n * n, *c = b + n * n;

    for (u32 i = 0; i < n * n; i++) {
        a[i] = random_next(&random) & 0xFF;
        b[i] = random_next(&random) & 0xFF;
    }
    for (u32 round = 0; round < rounds; round++) {
        for (u32 i = 0; i < n; i++) {
            matmul_row(c + i * n, a + i * n, b, n);
            progress_at(&p, round * n + i + 1);
        }
        u32 *swap = a;
        a = c, c = swap;
    }
    for (u32 i = 0; i < n * n; i++)
        sum = checksum_add(sum, a[i]);
    return (struct outcome){a[n * n - 1], sum};
}

#define SORT_COUNT 256

typedef int (*comparison)(u32 a, u32 b);

static u32 (*volatile fib_step)(u32 n); /* through memory, so the compiler cannot unfold the recursion */

static u32 fib(u32 n)
{
    return n < 2 ? n : fib_step(n - 1) + fib_step(n - 2);
}

static int ascending(u32 a, u32 b) { return a < b; }
static int descending(u32 a, u32 b) { return a > b; }

static void quicksort(u32 *items, int count, comparison before)
{
    while (count > 1) {
        u32 pivot = items[count / 2];
        int left = 0, right = count - 1;

        while (left <= right) {
            while (before(items[left], pivot))
                left++;
            while (before(pivot, items[right]))
                right--;
            if (left <= right) {
                u32 swap = items[left];
                items[left++] = items[right];
                items[right--] = swap;
            }
        }
        quicksort(items, right + 1, before);
        items += left;
        count -= left;
    }
}

/* options: depth, rounds. Recursive fib(depth), then two sorts that compare through a pointer. */
struct outcome run_calls(const u32 *value)
{
    static u32 items[SORT_COUNT];
    static comparison volatile order[2];
    u32 depth = value[0], rounds = value[1], sum = CHECKSUM_START, random = 1, result = 0;
    struct progress p = progress_start(rounds);

    fib_step = fib;
    order[0] = ascending;
    order[1] = descending;
    for (u32 round = 1; round <= rounds; round++) {
        result = fib(depth);
        sum = checksum_add(sum, result);
        for (u32 i = 0; i < SORT_COUNT; i++)
            items[i] = random_next(&random);
        for (u32 way = 0; way < 2; way++) {
            quicksort(items, SORT_COUNT, order[way]);
            sum = checksum_add(sum, items[SORT_COUNT / 3]);
        }
        progress_at(&p, round);
    }
    return (struct outcome){result, sum};
}
