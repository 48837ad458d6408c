/*
 * The workloads that only compute: byte loops over memory, integer arithmetic, calls, dependent loads.
 * Invariant: every round starts from the same data, so counts are linear in n.
 * Source: our own; sieve of Eratosthenes, quicksort (Hoare 1961), CRC-32 of ISO 3309 by table, Sattolo's shuffle.
 */
#include "bench.h"

#define SIEVE_SIZE (1u << 20)
#define MATRIX 128
#define FIB_DEPTH 27
#define SORT_COUNT 27000
#define LINE_BYTES 64
#define CHASE_LINES (SIEVE_SIZE / LINE_BYTES)

static u8 flags[SIEVE_SIZE] __attribute__((aligned(PAGE_BYTES)));
static u32 random_state;

static u32 random_next(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return random_state >> 8;
}

/* A unit of work finds the primes below 2^20. */
u32 run_sieve(u32 n)
{
    u32 sum = 0;

    for (u32 round = 0; round < n; round++) {
        u32 count = 0;

        for (u32 i = 0; i < SIEVE_SIZE; i++)
            flags[i] = 1;
        for (u32 i = 2; i * i < SIEVE_SIZE; i++)
            if (flags[i])
                for (u32 j = i * i; j < SIEVE_SIZE; j += i)
                    flags[j] = 0;
        for (u32 i = 2; i < SIEVE_SIZE; i++)
            count += flags[i];
        sum = sum * 31 + count;
    }
    return sum;
}

static u32 a[MATRIX][MATRIX], b[MATRIX][MATRIX], c[MATRIX][MATRIX];

/* A unit of work is one product of two 128 x 128 matrices. */
u32 run_matmul(u32 n)
{
    u32 sum = 0;

    for (u32 i = 0; i < MATRIX; i++)
        for (u32 j = 0; j < MATRIX; j++) {
            a[i][j] = i * 3 + j;
            b[i][j] = i ^ j;
        }
    for (u32 round = 0; round < n; round++) {
        for (u32 i = 0; i < MATRIX; i++)
            for (u32 j = 0; j < MATRIX; j++) {
                u32 dot = 0;

                for (u32 k = 0; k < MATRIX; k++)
                    dot += a[i][k] * b[k][j];
                c[i][j] = dot;
            }
        a[round & (MATRIX - 1)][0] += c[MATRIX - 1][MATRIX - 1];
        sum = sum * 31 + c[round & (MATRIX - 1)][5];
    }
    return sum;
}

typedef int (*comparison)(const u32 *left, const u32 *right);

static u32 items[SORT_COUNT];
static u32 crc_table[256];

/* Both recursions stay calls: this is about calls and returns. */
__attribute__((noinline, noclone, optimize("no-optimize-sibling-calls"))) static u32 fib(u32 n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static int ascending(const u32 *left, const u32 *right) { return *left < *right ? -1 : *left > *right; }

static comparison volatile order = ascending; /* through memory, so the compiler cannot inline it */

__attribute__((noinline, noclone)) static void quicksort(int low, int high, comparison compare)
{
    while (low < high) {
        u32 pivot = items[(u32)(low + high) / 2];
        int left = low, right = high;

        while (left <= right) {
            while (compare(&items[left], &pivot) < 0)
                left++;
            while (compare(&items[right], &pivot) > 0)
                right--;
            if (left <= right) {
                u32 swap = items[left];

                items[left++] = items[right];
                items[right--] = swap;
            }
        }
        quicksort(low, right, compare);
        low = left;
    }
}

static u32 crc32(const u8 *bytes, u32 length)
{
    u32 crc = ~0u;

    while (length--)
        crc = crc_table[(crc ^ *bytes++) & 0xFF] ^ crc >> 8;
    return ~crc;
}

/* A unit of work is fib(27), one sort through a function pointer, and a checksum of what was sorted. */
u32 run_calls(u32 n)
{
    u32 sum = 0;

    for (u32 i = 0; i < 256; i++) {
        u32 crc = i;

        for (u32 bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xEDB88320 : crc >> 1;
        crc_table[i] = crc;
    }
    for (u32 round = 0; round < n; round++) {
        sum += fib(FIB_DEPTH);
        random_state = 1;
        for (u32 i = 0; i < SORT_COUNT; i++)
            items[i] = random_next();
        quicksort(0, SORT_COUNT - 1, order);
        sum = sum * 31 + crc32((const u8 *)items, sizeof items);
    }
    return sum;
}

/* One cycle through all cache lines of 1 MiB in random order. */
static void chase_link(void)
{
    u32 *place = items;

    random_state = 1;
    for (u32 i = 0; i < CHASE_LINES; i++)
        place[i] = i;
    for (u32 i = CHASE_LINES - 1; i > 0; i--) {
        u32 j = random_next() % i;
        u32 swap = place[i];

        place[i] = place[j];
        place[j] = swap;
    }
    for (u32 i = 0; i < CHASE_LINES; i++)
        *(u32 *)&flags[place[i] * LINE_BYTES] = (u32)&flags[place[(i + 1) % CHASE_LINES] * LINE_BYTES];
}

/* A unit of work is one load, whose address is what the load before it found. */
u32 run_chase(u32 n)
{
    volatile u32 *at = (volatile u32 *)flags;

    chase_link();
    do
        at = (volatile u32 *)*at;
    while (--n);
    return (u32)at - (u32)flags;
}
