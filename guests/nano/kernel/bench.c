/*
 * The two workloads that only a kernel can do: changing page tables and reading ports.
 * Invariant: both run with interrupts on, like any long stretch of kernel work, and give back all pages.
 * Source: our own. The costs they expose: Adams and Agesen, ASPLOS 2006, section 6 (nanobenchmarks).
 */
#include "nano.h"

#define PORT_PIC1_MASK 0x21 /* reads back what timer.c wrote: the same value on every machine */
#define REPORTS 8

/* Reports whenever another eighth is done, and at the end exactly. */
static u32 report(u32 done, u32 total, u32 next)
{
    if (done < next && done < total)
        return next;
    progress(done);
    return next + (total / REPORTS ? total / REPORTS : 1);
}

static int window_pages_alloc(u32 *pages)
{
    for (u32 i = 0; i < WINDOW_PAGES; i++) {
        pages[i] = page_alloc_zero();
        if (!pages[i])
            return 0;
    }
    return 1;
}

static void window_pages_free(u32 *pages)
{
    for (u32 i = 0; i < WINDOW_PAGES; i++) {
        entry_replace(vm_window_entry(i), 0, vm_window_address(i));
        if (pages[i])
            page_free(pages[i]);
    }
}

/* Points a window entry at another page, drops the stale translation, reads and writes through it. */
static u32 remap_and_touch(const u32 *pages, u32 n)
{
    u32 sum = CHECKSUM_START, random = 1, next = n / REPORTS;

    for (u32 done = 1; done <= n; done++) {
        random = random * 1664525u + 1013904223u;
        u32 index = random >> 26, page = pages[random >> 20 & (WINDOW_PAGES - 1)];
        volatile u32 *word = (volatile u32 *)vm_window_address(index);

        entry_replace(vm_window_entry(index), machine_of(page) | PTE_PRESENT | PTE_WRITE, (u32)word);
        sum = checksum_add(sum, *word);
        *word = done;
        next = report(done, n, next);
    }
    return sum;
}

u32 bench_ptemod(u32 n)
{
    u32 pages[WINDOW_PAGES] = {0};
    u32 sum = SYS_ERROR;

    if (window_pages_alloc(pages)) {
        irq_enable();
        sum = remap_and_touch(pages, n);
        irq_disable();
    }
    window_pages_free(pages);
    return sum;
}

u32 bench_io(u32 n)
{
    u32 sum = CHECKSUM_START, next = n / REPORTS;

    irq_enable();
    for (u32 done = 1; done <= n; done++) {
        sum = checksum_add(sum, inb(PORT_PIC1_MASK));
        next = report(done, n, next);
    }
    irq_disable();
    return sum;
}
