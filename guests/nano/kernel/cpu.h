/*
 * One inline function per privileged or I/O instruction the kernel uses, named as in the manual.
 * Invariant: everything here traps when it is run outside ring 0, so both kernel builds may use it;
 *            the instructions that do NOT trap live in irq.h and selfcheck.c, under NANO_CLEAN.
 * Source: Intel SDM volume 2; port numbers of the PC/AT.
 */
#ifndef CPU_H
#define CPU_H

#include "../lib/lib.h"

#define CR0_PE 0x00000001u /* protected mode */
#define CR0_EM 0x00000004u /* x87 instructions raise #NM: this kernel saves no x87 state */
#define CR0_TS 0x00000008u
#define CR0_ET 0x00000010u /* always 1 since the 486 */
#define CR0_WP 0x00010000u /* read-only pages bind the kernel as well: copy-on-write needs it */
#define CR0_PG 0x80000000u
#define CR4_PSE 0x00000010u /* 4 MiB pages */

#define EFLAGS_ONE 0x002u /* bit 1 always reads as 1 */
#define EFLAGS_IF 0x200u

static inline void outb(u16 port, u8 value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
static inline void outl(u16 port, u32 value) { __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port)); }

static inline u8 inb(u16 port)
{
    u8 value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline void cli(void) { __asm__ volatile("cli" : : : "memory"); }
static inline void sti(void) { __asm__ volatile("sti" : : : "memory"); }
static inline void hlt(void) { __asm__ volatile("hlt" : : : "memory"); }

/* No interrupt is taken between the two: `sti` holds them off for one instruction (SDM vol 2, STI). */
static inline void sti_hlt(void) { __asm__ volatile("sti; hlt" : : : "memory"); }

static inline u32 read_cr2(void) { u32 v; __asm__ volatile("movl %%cr2, %0" : "=r"(v)); return v; }
static inline void write_cr0(u32 v) { __asm__ volatile("movl %0, %%cr0" : : "r"(v) : "memory"); }
static inline void write_cr3(u32 v) { __asm__ volatile("movl %0, %%cr3" : : "r"(v) : "memory"); }
static inline void write_cr4(u32 v) { __asm__ volatile("movl %0, %%cr4" : : "r"(v) : "memory"); }
static inline void invlpg(u32 address) { __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory"); }

/* The operand of LGDT and LIDT. */
struct table_pointer {
    u16 limit;
    u32 base;
} __attribute__((packed));

static inline void lidt(const struct table_pointer *p) { __asm__ volatile("lidt %0" : : "m"(*p)); }
static inline void lldt(u16 selector) { __asm__ volatile("lldt %0" : : "r"(selector)); }
static inline void ltr(u16 selector) { __asm__ volatile("ltr %0" : : "r"(selector)); }

#endif
