/*
 * Page tables: the first 128 MiB map to themselves by 4 KiB pages, for the kernel only; `window` pages lie above.
 * Invariant: only the pages of sections .user and .userdata may be touched by ring 3; nothing is global.
 * Source: Intel SDM volume 3, 32-bit paging.
 */
#include "bench.h"

#define IDENTITY_PAGES (128 << 20 >> 12)
#define ENTRIES 1024

static u32 directory[ENTRIES] __attribute__((aligned(PAGE_BYTES)));
static u32 identity[IDENTITY_PAGES] __attribute__((aligned(PAGE_BYTES)));
static u32 window[ENTRIES] __attribute__((aligned(PAGE_BYTES)));

extern u8 user_start[], user_end[], user_stack[], user_stack_top[];

u32 *page_entry(u32 address)
{
    u32 page = address / PAGE_BYTES;

    return page < IDENTITY_PAGES ? &identity[page] : &window[page & (ENTRIES - 1)];
}

void page_map(u32 address, u32 entry)
{
    directory[address >> 22] = (u32)page_entry(address & ~0x3FFFFFu) | PTE_PRESENT | PTE_WRITE | PTE_USER;
    *page_entry(address) = entry;
}

void paging_on(void)
{
    u32 cr0;

    for (u32 i = 0; i < IDENTITY_PAGES / ENTRIES; i++)
        directory[i] = (u32)&identity[i * ENTRIES] | PTE_PRESENT | PTE_WRITE | PTE_USER;
    for (u32 i = 0; i < IDENTITY_PAGES; i++)
        identity[i] = i * PAGE_BYTES | PTE_PRESENT | PTE_WRITE;
    for (u32 page = (u32)user_start; page < (u32)user_end; page += PAGE_BYTES)
        page_map(page, page | PTE_PRESENT | PTE_USER);
    for (u32 page = (u32)user_stack; page < (u32)user_stack_top; page += PAGE_BYTES)
        page_map(page, page | PTE_PRESENT | PTE_WRITE | PTE_USER);
    __asm__ volatile("movl %0, %%cr3" : : "r"(directory) : "memory");
    __asm__ volatile("movl %%cr0, %0" : "=r"(cr0));
    __asm__ volatile("movl %0, %%cr0" : : "r"(cr0 | 0x80010000) : "memory"); /* PG, WP */
}
