/* LAR shows the descriptors that are really there: the VMM has moved the kernel's to an outer ring, and hides others. */
#include "hole.h"
HOLE("lar");

static u32 rights(u32 selector)
{
    u32 seen = 0;

    __asm__ volatile("larl %1, %0" : "+r"(seen) : "r"(selector) : "cc");
    return seen & 0x00F0FF00; /* bits 16 to 19 are undefined */
}

void guest(void)
{
    check("rights of the kernel's code", 0x00C09B00, rights(SEL_CODE));
    check("rights of the kernel's data", 0x00C09300, rights(SEL_DATA));
    check("rights of a user's code", 0x00C0FB00, rights(SEL_USER_CODE));
    check("rights of the TSS", 0x00008B00, rights(SEL_TSS));
}
