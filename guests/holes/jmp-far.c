/* A far JMP is checked with the real privilege: a selector with RPL 0 traps in ring 1, one with RPL 1 passes quietly. */
#include "hole.h"
HOLE("jmp-far");

static void ring0(u32 unused)
{
    (void)unused;
    __asm__ volatile("ljmp %0, $1f\n1:\tnop" : : "i"(SEL_CODE) : "memory", "cc");
}
static void ring1(u32 unused)
{
    (void)unused;
    __asm__ volatile("ljmp %0, $1f\n1:\tnop" : : "i"(SEL_CODE | 1) : "memory", "cc");
}
static void through_gate(u32 unused)
{
    (void)unused;
    __asm__ volatile("ljmp %0, $0\n\t.globl behind_gate\nbehind_gate:\tnop" : : "i"(SEL_CALL_GATE) : "memory", "cc");
}

extern u8 behind_gate[];

void guest(void)
{
    gdt[7] = gate((u32)behind_gate, SEL_CODE, 0x8C);
    check("fault of a selector with RPL 0", 0, fault_of(attempt(ring0, 0)));
    check("fault of a call gate", 0, fault_of(attempt(through_gate, 0)));
    check("fault of a selector with RPL 1", GP_OF(SEL_CODE), fault_of(attempt(ring1, 0)));
}
