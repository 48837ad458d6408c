/* VERR asks with the privilege of the processor that really runs: a segment of ring 0 that was moved to ring 1 may be used. */
#include "hole.h"
HOLE("verr");

static u32 allowed(u32 selector)
{
    u8 zero;

    __asm__ volatile("verr %w1\n\tsete %0" : "=q"(zero) : "r"(selector) : "cc");
    return zero;
}

void guest(void)
{
    check("may the kernel's segment be read", 1, allowed(SEL_CODE));
    check("may it be read with RPL 1", 0, allowed(SEL_CODE | 1));
    check("may a user's segment be read", 1, allowed(SEL_USER_CODE));
    check("may the TSS be read", 0, allowed(SEL_TSS));
}
