/*
 * Page-table updates by hypercall, in batches.
 * Invariant: a refused request is a mistake of this kernel and ends the machine; none is ever ignored.
 * Source: our own; docs/paravirtual.md.
 */
#include "../nano.h"

#define QUEUE_LENGTH 128
#define USER_SLOTS_FIRST (USER_BASE >> 22)
#define USER_SLOTS_END (USER_LIMIT >> 22)
#define KERNEL_PAGE (PTE_PRESENT | PTE_WRITE)

static struct {
    u32 target, value;
} queue[QUEUE_LENGTH];
static u32 queued;

void updates_done(void)
{
    u32 count = queued;

    queued = 0;
    if (count && hypercall(HC_MMU_UPDATE, (u32)queue, count, 0, 0))
        panic("page-table update refused");
}

static void request(u32 target, u32 value)
{
    queue[queued].target = target;
    queue[queued].value = value;
    if (++queued == QUEUE_LENGTH)
        updates_done();
}

static void extended(u32 target, u32 command)
{
    request(target | MMU_EXTENDED, command);
}

void entry_set(u32 *entry, u32 value)
{
    request(machine_of((u32)entry), value);
}

static void update_mapping(u32 address, u32 value, u32 flags)
{
    updates_done();
    if (hypercall(HC_UPDATE_VA_MAPPING, address, value, flags, 0))
        panic("mapping refused");
}

void entry_fill(u32 *entry, u32 value, u32 address)
{
    (void)entry;
    update_mapping(address, value, 0);
}

void entry_replace(u32 *entry, u32 value, u32 address)
{
    (void)entry;
    update_mapping(address, value, UVM_INVLPG);
}

u32 entry_share(u32 *from, u32 *to)
{
    u32 value = *from;

    if (value & PTE_WRITE) {
        value = (value & ~PTE_WRITE) | PTE_COW;
        entry_set(from, value);
    }
    entry_set(to, value);
    return value;
}

void entry_clear(u32 *entry, u32 address)
{
    entry_set(entry, 0);
    extended(address & PTE_FRAME, EXT_INVLPG);
}

/* Entry of our one-to-one map for a page of RAM. */
static u32 *own_entry(u32 page)
{
    u32 *entries = (u32 *)page_of(pv_start->directory[page >> 22] & PTE_FRAME);

    return &entries[page >> 12 & 1023];
}

static void set_writable(u32 page, u32 writable)
{
    entry_set(own_entry(page), machine_of(page) | PTE_PRESENT | (writable ? PTE_WRITE : 0));
}

/* The VMM sees to it that no stale translation lets us write to a table. */
void table_link(u32 *slot, u32 value)
{
    set_writable(page_of(value & PTE_FRAME), 0);
    entry_set(slot, value);
    updates_done();
}

void directory_ready(u32 *directory)
{
    set_writable((u32)directory, 0);
    extended(machine_of((u32)directory), EXT_PIN_L2);
    updates_done();
}

void tables_release(u32 *directory)
{
    extended(machine_of((u32)directory), EXT_UNPIN);
    for (u32 i = USER_SLOTS_FIRST; i < USER_SLOTS_END; i++)
        if (directory[i] & PTE_PRESENT)
            set_writable(page_of(directory[i] & PTE_FRAME), 1);
    set_writable((u32)directory, 1);
    updates_done();
}

void updates_done_flush(u32 directory)
{
    (void)directory;
    extended(0, EXT_TLB_FLUSH);
    updates_done();
}

void directory_load(u32 directory)
{
    extended(machine_of(directory), EXT_NEW_BASE);
    updates_done();
}

/* What the VMM's builder mapped writable is restricted as in every other build: null pointers fault, constants stay. */
void pv_restrict(u32 constant_start, u32 constant_end, u32 low_end)
{
    for (u32 page = 0; page < low_end; page += PAGE_BYTES)
        entry_set(own_entry(page), 0);
    for (u32 page = constant_start; page < constant_end; page += PAGE_BYTES)
        set_writable(page, 0);
    updates_done_flush(0);
}
