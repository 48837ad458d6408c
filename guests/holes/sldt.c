/* LLDT traps, so the VMM knows the guest's LDT; SLDT does not, and shows the one that is really loaded. */
#include "hole.h"
HOLE("sldt");

void guest(void)
{
    u32 seen;

    lldt(SEL_LDT);
    __asm__ volatile("sldt %0" : "=r"(seen));
    check("selector of the LDT", SEL_LDT, seen & 0xFFFF);
}
