/*
 * What kernel/mmu.h offers, for direct paging: changes are requests to the VMM, kept until they are as many as one
 * hypercall may carry or until somebody depends on them.
 * Invariants: page tables are read-only in every mapping of ours from before they are linked until they are released;
 *             a queued entry is not read back before updates_done().
 * Source: Barham et al., SOSP 2003, 3.3.3.
 */
#ifndef MMU_H
#define MMU_H

#include "cpu.h"

static inline u32 machine_of(u32 page) { return pv_start->machine_frame[page >> 12] << 12 | (page & 0xFFF); }
static inline u32 page_of(u32 machine) { return pv_start->page_number[(machine >> 12) - pv_start->machine_first] << 12; }

void entry_set(u32 *entry, u32 value);
void entry_fill(u32 *entry, u32 value, u32 address);
void entry_replace(u32 *entry, u32 value, u32 address);
u32 entry_share(u32 *from, u32 *to);
void entry_clear(u32 *entry, u32 address);
void table_link(u32 *slot, u32 value);
void directory_ready(u32 *directory);
void tables_release(u32 *directory);
void updates_done(void);
void updates_done_flush(u32 directory);
void directory_load(u32 directory);
void pv_restrict(u32 constant_start, u32 constant_end, u32 low_end);

#endif
