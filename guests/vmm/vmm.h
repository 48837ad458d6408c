/*
 * What the small VMM (L1) and its guest (L2) agree on: calls by VMCALL, and the page that L2 may not touch.
 * Invariant: eax is the call, ebx its argument; eax is the answer.
 */
#ifndef VMM_H
#define VMM_H

typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned char u8;

enum { CALL_NULL, CALL_DONE }; /* ebx of CALL_DONE: the result of the whole run */

enum { WORK_COMPUTE, WORK_CPUID, WORK_VMCALL, WORK_OUT, WORK_IN, WORK_FAULT, WORK_TICK, WORK_ESCAPE, WORK_ALL, WORK_ERRORS };

/* An address that L1 does not map for L2. */
#define FORBIDDEN 0x00400000u

#define CODE_SEL 0x08
#define DATA_SEL 0x10
#define TSS_SEL 0x18

static inline void outb(u16 port, u8 value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
static inline u8 inb(u16 port)
{
    u8 value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
static inline void outl(u16 port, u32 value) { __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port)); }

#endif
