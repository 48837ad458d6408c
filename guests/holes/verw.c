/* VERW asks with the privilege of the processor that really runs: a segment of ring 0 that was moved to ring 1 may be used. */
#include "hole.h"
HOLE("verw");

static u32 allowed(u32 selector)
{
    u8 zero;

    __asm__ volatile("verw %w1\n\tsete %0" : "=q"(zero) : "r"(selector) : "cc");
    return zero;
}

void guest(void)
{
    check("may the kernel's segment be written", 1, allowed(SEL_DATA));
    check("may it be written with RPL 1", 0, allowed(SEL_DATA | 1));
    check("may a user's segment be written", 1, allowed(SEL_USER_DATA));
    check("may the TSS be written", 0, allowed(SEL_TSS));
}
