/* LSL shows limits as they really are: the VMM has cut the segments short to keep the top of the address space. */
#include "hole.h"
HOLE("lsl");

static u32 limit(u32 selector)
{
    u32 seen = 0;

    __asm__ volatile("lsll %1, %0" : "+r"(seen) : "r"(selector) : "cc");
    return seen;
}

void guest(void)
{
    check("limit of the kernel's code", 0xFFFFFFFF, limit(SEL_CODE));
    check("limit of the kernel's data", 0xFFFFFFFF, limit(SEL_DATA));
    check("limit of the TSS", sizeof tss - 1, limit(SEL_TSS));
}
