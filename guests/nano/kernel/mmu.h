/*
 * The one door through which vm.c changes page tables: on a machine of its own a kernel just stores.
 * Invariant: an entry that was set may be read back after updates_done(); tables are reached by table_of().
 * Source: Intel SDM volume 3, 4.10 (what INVLPG and MOV to CR3 drop). kernel/pv/mmu.h is the same for a kernel that asks.
 */
#ifndef MMU_H
#define MMU_H

#include "cpu.h"

/* Between addresses of this kernel, and addresses as page tables name them. */
static inline u32 machine_of(u32 page) { return page; }
static inline u32 page_of(u32 machine) { return machine; }

/* Changes an entry of some table; the translation it may replace is dropped by whoever ends the batch. */
static inline void entry_set(u32 *entry, u32 value) { *entry = value; }
/* Changes the entry of `address` in the active space, which maps nothing so far. */
static inline void entry_fill(u32 *entry, u32 value, u32 address) { (void)address; *entry = value; }
/* Changes the entry of `address` in the active space, and drops the old translation. A macro, as the stores once stood
   in the code: the same compiler is to give the same bytes. */
#define entry_replace(entry, value, address) \
    do {                                     \
        *(entry) = (value);                  \
        invlpg(address);                     \
    } while (0)
/* Copies an entry into another space; what was writable is copy-on-write from now on, in both. Its new value. */
#define entry_share(from, to)                             \
    ({                                                    \
        if (*(from) & PTE_WRITE)                          \
            *(from) = (*(from) & ~PTE_WRITE) | PTE_COW;   \
        *(to) = *(from);                                  \
        *(to);                                            \
    })

/* Takes the entry of `address` in the active space away, with its translation. */
static inline void entry_clear(u32 *entry, u32 address)
{
    *entry = 0;
    invlpg(address);
}

/* A zeroed page becomes a page table, by its first directory entry; a filled page becomes a directory. */
static inline void table_link(u32 *slot, u32 value) { *slot = value; }
static inline void directory_ready(u32 *directory) { (void)directory; }
/* Before the pages of an inactive space go back: they are ordinary memory again. */
static inline void tables_release(u32 *directory) { (void)directory; }

/* The end of a batch of changes. */
static inline void updates_done(void) {}
static inline void updates_done_flush(u32 directory) { write_cr3(directory); }
static inline void directory_load(u32 directory) { write_cr3(directory); }

#endif
