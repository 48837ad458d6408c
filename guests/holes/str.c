/* LTR traps, so the VMM knows the guest's task register; STR does not, and shows the VMM's. */
#include "hole.h"
HOLE("str");

void guest(void)
{
    u32 seen;

    __asm__ volatile("str %0" : "=r"(seen));
    check("selector of the TSS", SEL_TSS, seen & 0xFFFF);
}
