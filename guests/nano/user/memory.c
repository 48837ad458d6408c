/*
 * Workloads that exercise translation: pointer chasing, fresh pages, changed page table entries.
 * Invariant: every page that is mapped is given back, so any n runs in 8 MiB (chase: n pages at once).
 * Source: our own; the cyclic permutation is Sattolo's algorithm (1986).
 */
#include "user.h"

#define PAGE_WORDS (PAGE_BYTES / 4)
#define BATCH_PAGES 64

/* Where in page i its pointer lies: spread over the page, or all would share a few cache sets. */
static u32 *chase_cell(u32 *pages, u32 i)
{
    return pages + i * PAGE_WORDS + i * 17 % PAGE_WORDS;
}

/* One cycle through all pages in random order. */
static void chase_link(u32 *pages, u32 count, u32 seed)
{
    u32 *order = map_or_fail(count * sizeof *order);

    for (u32 i = 0; i < count; i++)
        order[i] = i;
    for (u32 i = count - 1; i > 0; i--) {
        u32 j = random_next(&seed) % i;
        u32 swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
    for (u32 i = 0; i < count; i++)
        *chase_cell(pages, i) = (u32)chase_cell(pages, order[i]);
    sys_unmap(order);
}

/* options: pages, hops, seed. Result: the page where the walk ends. */
struct outcome run_chase(const u32 *value)
{
    u32 count = value[0], hops = value[1], sum = CHECKSUM_START;
    struct progress p = progress_start(hops);
    u32 *pages = map_or_fail(count * PAGE_BYTES);
    u32 at = (u32)chase_cell(pages, 0);

    chase_link(pages, count, value[2]);
    for (u32 done = 0; done < hops;) {
        u32 burst = hops - done < p.step ? hops - done : p.step;
        for (u32 i = 0; i < burst; i++)
            at = *(volatile u32 *)at;
        done += burst;
        sum = checksum_add(sum, at - (u32)pages);
        progress_at(&p, done);
    }
    return (struct outcome){(at - (u32)pages) / PAGE_BYTES, sum};
}

/* options: n. Touches n fresh pages, in batches that are then given back. Result: pages found zero. */
struct outcome run_pgfault(const u32 *value)
{
    u32 n = value[0], zero = 0, sum = CHECKSUM_START;
    struct progress p = progress_start(n);

    for (u32 done = 0; done < n;) {
        u32 batch = n - done < BATCH_PAGES ? n - done : BATCH_PAGES;
        u32 *pages = map_or_fail(batch * PAGE_BYTES);

        for (u32 i = 0; i < batch; i++) {
            volatile u32 *word = chase_cell(pages, i);
            zero += *word == 0;
            *word = ++done;
            sum = checksum_add(sum, *word);
        }
        sys_unmap(pages);
        progress_at(&p, done);
    }
    return (struct outcome){zero, sum};
}

/* options: n. The kernel does the work and reports the progress. */
struct outcome run_ptemod(const u32 *value)
{
    return (struct outcome){value[0], sys_ptemod(value[0])};
}
