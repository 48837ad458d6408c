/*
 * Address spaces: page tables, demand-zero memory, copy-on-write.
 * Invariants: the kernel half of every directory is the same and fixed at boot; a user page is
 *             writable only if one space uses it; whatever a PTE loses, its TLB entry loses at once.
 * Source: Intel SDM volume 3, 32-bit paging; error code bits of the page fault.
 */
#include "nano.h"

#define ENTRIES 1024
#define LARGE_BYTES 0x400000u
#define DIRECTORY_INDEX(address) ((address) >> 22)
#define TABLE_INDEX(address) ((address) >> 12 & (ENTRIES - 1))
#define FAULT_PRESENT 0x1u /* error code: the page was there, the access was not allowed */
#define FAULT_WRITE 0x2u
#define WINDOW_BASE 0xE0000000u

typedef u32 table[ENTRIES] __attribute__((aligned(PAGE_BYTES)));

/* First words of the user program, laid out by user/start.S. */
struct image_header {
    u32 entry, bss_start, bss_end;
};

extern char kernel_start[], kernel_constant_end[]; /* kernel.ld */
extern char user_image[], user_image_end[];        /* boot.S */
#ifdef NANO_PV
#define kernel_directory (pv_start->directory)
static table window_table;
#else
static table kernel_directory, first_table, last_table, window_table;
#endif
static const u32 *active;

#ifdef NANO_PV

/* The VMM's builder has mapped all memory one to one, and paging is on. */
void vm_init(u32 ram_end)
{
    (void)ram_end;
    active = kernel_directory;
    pv_restrict((u32)kernel_start, (u32)kernel_constant_end, (u32)kernel_start);
    table_link(&kernel_directory[DIRECTORY_INDEX(WINDOW_BASE)], machine_of((u32)window_table) | PTE_PRESENT | PTE_WRITE);
}

#else

/* One to one, with 4 KiB pages: the kernel's code and constants read-only, the rest writable. */
static void map_small(u32 *entries, u32 start, u32 limit)
{
    kernel_directory[DIRECTORY_INDEX(start)] = (u32)entries | PTE_PRESENT | PTE_WRITE;
    for (u32 page = start; page < limit; page += PAGE_BYTES) {
        u32 constant = page >= (u32)kernel_start && page < (u32)kernel_constant_end;
        entries[TABLE_INDEX(page)] = page | PTE_PRESENT | (constant ? 0 : PTE_WRITE);
    }
}

/* Below 1 MiB nothing is mapped: a null pointer faults in the kernel, too. */
void vm_init(u32 ram_end)
{
    u32 large_end = ram_end & ~(LARGE_BYTES - 1);

    map_small(first_table, (u32)kernel_start & PTE_FRAME, LARGE_BYTES);
    for (u32 page = LARGE_BYTES; page < large_end; page += LARGE_BYTES)
        kernel_directory[DIRECTORY_INDEX(page)] = page | PTE_PRESENT | PTE_WRITE | PTE_LARGE;
    if (large_end < ram_end)
        map_small(last_table, large_end, ram_end);
    kernel_directory[DIRECTORY_INDEX(WINDOW_BASE)] = (u32)window_table | PTE_PRESENT | PTE_WRITE;

    /* Whole values, not bits added to what a loader left: the same state everywhere. */
    write_cr4(CR4_PSE);
    vm_activate(0);
    write_cr0(CR0_PE | CR0_EM | CR0_TS | CR0_ET | CR0_WP | CR0_PG);
}

#endif

/* The idle loop keeps the space of the last task, so a task that only slept pays no TLB flush. */
void vm_activate(const struct space *space)
{
    const u32 *directory = space ? space->directory : kernel_directory;

    if (directory == active)
        return;
    active = directory;
    directory_load((u32)directory);
}

/* The entry for a user address; `create` adds the page table. 0 when there is none. */
static u32 *user_entry(struct space *space, u32 address, int create)
{
    u32 *slot = &space->directory[DIRECTORY_INDEX(address)];

    if (!(*slot & PTE_PRESENT)) {
        u32 page = create ? page_alloc_zero() : 0;
        if (!page)
            return 0;
        table_link(slot, machine_of(page) | PTE_PRESENT | PTE_WRITE | PTE_USER);
    }
    return (u32 *)page_of(*slot & PTE_FRAME) + TABLE_INDEX(address);
}

static int space_create(struct space *space)
{
    memset(space->areas, 0, sizeof space->areas);
    space->directory = (u32 *)page_alloc();
    if (!space->directory)
        return 0;
    memcpy(space->directory, kernel_directory, PAGE_BYTES);
    directory_ready(space->directory);
    return 1;
}

int vm_create_first(struct space *space)
{
    const struct image_header *header = (const struct image_header *)user_image;
    u32 address = USER_BASE;

    if (!space_create(space))
        return 0;
    for (char *page = user_image; page < user_image_end; page += PAGE_BYTES, address += PAGE_BYTES) {
        u32 *entry = user_entry(space, address, 1);
        if (!entry)
            return 0;
        entry_set(entry, machine_of((u32)page) | PTE_PRESENT | PTE_USER);
    }
    updates_done();
    space->areas[0] = (struct area){.start = USER_STACK_BASE, .end = USER_LIMIT};
    space->areas[1] = (struct area){.start = header->bss_start, .end = header->bss_end};
    return 1;
}

u32 vm_program_entry(void)
{
    return ((const struct image_header *)user_image)->entry;
}

/* Both sides lose the right to write; whoever writes first gets the copy (vm_fault). */
static int copy_table(struct space *to, u32 base, u32 *entries)
{
    for (u32 i = 0; i < ENTRIES; i++) {
        if (!(entries[i] & PTE_PRESENT))
            continue;
        u32 *entry = user_entry(to, base + i * PAGE_BYTES, 1);
        if (!entry)
            return 0;
        page_share(page_of(entry_share(&entries[i], entry) & PTE_FRAME));
    }
    return 1;
}

int vm_copy(struct space *to, struct space *from)
{
    int complete = space_create(to);

    for (u32 base = USER_BASE; complete && base < USER_LIMIT; base += LARGE_BYTES) {
        u32 slot = from->directory[DIRECTORY_INDEX(base)];
        if (slot & PTE_PRESENT)
            complete = copy_table(to, base, (u32 *)page_of(slot & PTE_FRAME));
    }
    updates_done_flush((u32)active); /* the rights that `from` lost may still be in the TLB */
    if (complete)
        memcpy(to->areas, from->areas, sizeof to->areas);
    else if (to->directory)
        vm_destroy(to);
    return complete;
}

static enum vm_answer break_sharing(u32 *entry, u32 address)
{
    u32 old = page_of(*entry & PTE_FRAME);
    u32 page = old;

    if (page_is_shared(old)) {
        page = page_alloc();
        if (!page)
            return VM_NO_MEMORY;
        memcpy((void *)page, (void *)old, PAGE_BYTES);
        page_free(old);
    }
    entry_replace(entry, machine_of(page) | PTE_PRESENT | PTE_WRITE | PTE_USER, address);
    return VM_RETRY;
}

static enum vm_answer fill_with_zero(struct space *space, u32 address)
{
    u32 *entry = user_entry(space, address, 1);
    u32 page = entry ? page_alloc_zero() : 0;

    if (!page)
        return VM_NO_MEMORY;
    entry_fill(entry, machine_of(page) | PTE_PRESENT | PTE_WRITE | PTE_USER, address);
    return VM_RETRY;
}

#ifdef NANO_LMBENCH

/* The file is in memory, as files are that were read before: one page of cache after the other. */
static u32 file_pages[FILE_PAGES];

static enum vm_answer fill_with_file(struct space *space, u32 address, const struct area *area)
{
    u32 *page = &file_pages[(address - area->start) / PAGE_BYTES];
    u32 *entry = user_entry(space, address, 1);

    if (!*page)
        *page = page_alloc_cache();
    if (!entry || !*page)
        return VM_NO_MEMORY;
    page_share(*page);
    entry_fill(entry, machine_of(*page) | PTE_PRESENT | PTE_WRITE | PTE_USER, address);
    return VM_RETRY;
}

u32 vm_map_file(struct space *space, u32 bytes)
{
    u32 start = bytes <= FILE_PAGES * PAGE_BYTES ? vm_map(space, bytes) : 0;

    for (struct area *a = space->areas; start && a < space->areas + AREA_COUNT; a++)
        if (a->start == start)
            a->is_file = 1;
    return start;
}

int vm_protect(struct space *space, u32 address)
{
    u32 *entry = address >= USER_BASE && address < USER_LIMIT ? user_entry(space, address, 0) : 0;

    if (!entry || !(*entry & PTE_PRESENT))
        return 0;
    entry_replace(entry, *entry & ~PTE_WRITE, address);
    return 1;
}

#endif

enum vm_answer vm_fault(struct space *space, u32 address, u32 error)
{
    if (address < USER_BASE || address >= USER_LIMIT || !space->directory)
        return VM_DENIED;
    if (error & FAULT_PRESENT) {
        u32 *entry = user_entry(space, address, 0);
        return (error & FAULT_WRITE) && (*entry & PTE_COW) ? break_sharing(entry, address) : VM_DENIED;
    }
    for (struct area *a = space->areas; a < space->areas + AREA_COUNT; a++)
        if (address >= a->start && address < a->end)
#ifdef NANO_LMBENCH
            return a->is_file ? fill_with_file(space, address, a) : fill_with_zero(space, address);
#else
            return fill_with_zero(space, address);
#endif
    return VM_DENIED;
}

/* Not for the active space. */
void vm_destroy(struct space *space)
{
    tables_release(space->directory);
    for (u32 base = USER_BASE; base < USER_LIMIT; base += LARGE_BYTES) {
        u32 slot = space->directory[DIRECTORY_INDEX(base)];
        if (!(slot & PTE_PRESENT))
            continue;
        u32 *entries = (u32 *)page_of(slot & PTE_FRAME);
        for (u32 i = 0; i < ENTRIES; i++)
            if (entries[i] & PTE_PRESENT)
                page_free(page_of(entries[i] & PTE_FRAME));
        page_free(page_of(slot & PTE_FRAME));
    }
    page_free((u32)space->directory);
    space->directory = 0;
}

static struct area *area_overlapping(struct space *space, u32 start, u32 end)
{
    for (struct area *a = space->areas; a < space->areas + AREA_COUNT; a++)
        if (a->start < end && start < a->end)
            return a;
    return 0;
}

u32 vm_map(struct space *space, u32 bytes)
{
    struct area *unused = space->areas, *blocking;
    u32 start = USER_MAP_BASE;

    if (!bytes || bytes > USER_MAP_LIMIT - USER_MAP_BASE)
        return 0;
    bytes = (bytes + PAGE_BYTES - 1) & PTE_FRAME;
    while ((blocking = area_overlapping(space, start, start + bytes)))
        start = blocking->end;
    while (unused < space->areas + AREA_COUNT && unused->end)
        unused++;
    if (unused == space->areas + AREA_COUNT || start + bytes > USER_MAP_LIMIT)
        return 0;
    *unused = (struct area){.start = start, .end = start + bytes};
    return start;
}

int vm_unmap(struct space *space, u32 start)
{
    struct area *a = area_overlapping(space, start, start + 1);

    if (!a || a->start != start || start < USER_MAP_BASE || start >= USER_MAP_LIMIT)
        return 0;
    for (u32 address = start; address < a->end; address += PAGE_BYTES) {
        u32 *entry = user_entry(space, address, 0);
        if (!entry || !(*entry & PTE_PRESENT))
            continue;
        page_free(page_of(*entry & PTE_FRAME));
        entry_clear(entry, address);
    }
    updates_done();
    *a = (struct area){.start = 0, .end = 0};
    return 1;
}

/* May the task pass these bytes to a system call? They lie in one area or in the program image. */
int vm_covers(const struct space *space, u32 start, u32 bytes)
{
    u32 image_bytes = (u32)(user_image_end - user_image);

    if (start >= USER_BASE && start - USER_BASE < image_bytes)
        return bytes <= image_bytes - (start - USER_BASE);
    for (const struct area *a = space->areas; a < space->areas + AREA_COUNT; a++)
        if (start >= a->start && start < a->end)
            return bytes <= a->end - start;
    return 0;
}

u32 *vm_window_entry(u32 index)
{
    return &window_table[index];
}

u32 vm_window_address(u32 index)
{
    return WINDOW_BASE + index * PAGE_BYTES;
}
