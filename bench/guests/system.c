/*
 * The workloads that a hypervisor cares about: system calls, changed page table entries, page faults, touched memory.
 * Invariant: a unit of work executes the same instructions every time, so counts are linear in n.
 * Source: our own. The costs they expose: Adams and Agesen, ASPLOS 2006, section 6 (nanobenchmarks).
 */
#include "bench.h"
#include "system.h"

#define WINDOW 0xE0000000 /* pages that are remapped */
#define WINDOW_PAGES 64
#define TOUCH_START (4u << 20) /* the kernel ends below */

void user_enter(u32 n);
void user_leave(void) __attribute__((noreturn));

static u32 calls_sum;
static u8 frames[WINDOW_PAGES][PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));

static u32 sys_add(u32 value)
{
    calls_sum += value;
    return calls_sum;
}

void system_call(struct trapframe *frame)
{
    if (frame->eax == SYSCALL_ADD)
        frame->eax = sys_add(frame->ebx);
    else if (frame->eax == SYSCALL_DONE)
        user_leave();
    else
        frame->eax = ~0u;
}

/* A unit of work is one system call. */
u32 run_syscall(u32 n)
{
    calls_sum = 0;
    user_enter(n);
    return calls_sum;
}

static u32 *window_entries;

static void map_window(void)
{
    window_entries = page_entry(WINDOW);
    for (u32 i = 0; i < WINDOW_PAGES; i++)
        page_map(WINDOW + i * PAGE_BYTES, (u32)frames[i] | PTE_PRESENT | PTE_WRITE);
}

static volatile u32 *window_word(u32 page) { return (volatile u32 *)(WINDOW + page * PAGE_BYTES); }

/* A unit of work points an entry at another page, drops the stale translation, reads and writes the page. */
u32 run_ptemod(u32 n)
{
    u32 sum = 0, first = (u32)frames | PTE_PRESENT | PTE_WRITE;

    map_window();
    for (u32 i = 0, *entries = window_entries; i < n; i++) {
        u32 page = i & (WINDOW_PAGES - 1);

        entries[page] = first + ((i / WINDOW_PAGES + page) & (WINDOW_PAGES - 1)) * PAGE_BYTES;
        invlpg((u32)window_word(page));
        sum += *window_word(page) ^ i;
        *window_word(page) = i;
    }
    return sum;
}

static u32 faults;

/* Makes the page present again. */
void page_fault(struct trapframe *frame)
{
    u32 address, offset;

    __asm__ volatile("movl %%cr2, %0" : "=r"(address));
    offset = address - WINDOW;
    if (frame->error & PTE_PRESENT || offset >= WINDOW_PAGES * PAGE_BYTES)
        panic("page fault at", address);
    window_entries[offset / PAGE_BYTES] |= PTE_PRESENT;
    faults++;
}

/* A unit of work makes a page not present and touches it. */
u32 run_pgfault(u32 n)
{
    u32 sum = 0;

    map_window();
    faults = 0;
    for (u32 i = 0, *entries = window_entries; i < n; i++) {
        u32 page = i & (WINDOW_PAGES - 1);

        entries[page] &= ~PTE_PRESENT;
        invlpg((u32)window_word(page));
        sum = (sum ^ i) + ++*window_word(page);
    }
    return sum + faults;
}

/* Not a speed test: writes one word to every page from 4 MiB to n MiB, so that a host must back them. */
u32 run_touch(u32 n)
{
    u32 sum = 0;

    for (u32 at = TOUCH_START; at < n << 20; at += PAGE_BYTES) {
        *(volatile u32 *)at = at;
        sum += *(volatile u32 *)at;
    }
    return sum;
}
