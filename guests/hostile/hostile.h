/*
 * What the hostile guests share. Each tries to get at what is not its own, counts its attempts, and prints what came of
 * them; all of it is what the bare machine gives, so a line that differs is an attempt that a VMM let through.
 * Invariant: no instruction that is sensitive without being privileged, and nothing that depends on time.
 */
#ifndef HOSTILE_H
#define HOSTILE_H

#include "../lib/guest.h"

#define HOSTILE(name) const char guest_name[] = name

/* Where a VMM that hides in the guest's address space may sit. */
#define TOP 0xFFC00000u

static inline void tell(const char *what, u32 value) { print("%s: %s %x\n", guest_name, what, value); }

/* For attempt(): one access each. */
static u32 got;
static inline void try_read(u32 address) { got = *at(address); }
static inline void try_write(u32 address) { *at(address) = 0xBADC0DCC; }
static inline void try_jump(u32 address) { __asm__ volatile("call *%0" : : "r"(address) : "eax", "ecx", "edx", "memory"); }

/* The same for attempt_user(), with what ends it. The value read is in the kernel's sight: one address space. */
static inline void user_end(void) { __asm__ volatile("int $0x80" : : : "memory"); }
static inline void user_read(u32 ignored)
{
    u32 address;

    (void)ignored;
    __asm__ volatile("" : "=a"(address));
    got = *at(address);
    user_end();
}
static inline void user_write(u32 ignored)
{
    u32 address;

    (void)ignored;
    __asm__ volatile("" : "=a"(address));
    *at(address) = 0xBADC0DCC;
    user_end();
}

/* A page table for the first 4 MiB, and a directory with it and nothing else; for all of them user mode is allowed. */
static u32 low_table[1024] __attribute__((aligned(4096)));
static u32 directory[1024] __attribute__((aligned(4096)));

static inline void map_low(u32 rights)
{
    for (u32 page = 0; page < 1024; page++) low_table[page] = page << 12 | rights;
    directory[0] = (u32)low_table | PRESENT | WRITABLE | USER;
}
static inline void paging_on(void)
{
    write_cr3((u32)directory);
    write_cr4(CR4_PSE);
    write_cr0(CR0_PE | CR0_ET | CR0_WP | CR0_PG);
}
static inline void paging_off(void) { write_cr0(CR0_PE | CR0_ET); }

#endif
