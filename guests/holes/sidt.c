/* SIDT stores the register of the processor that really runs: the "red pill" of 2004. */
#include "hole.h"
HOLE("sidt");

void guest(void)
{
    struct table_pointer seen;

    __asm__ volatile("sidt %0" : "=m"(seen));
    check("base of the IDT", (u32)idt, seen.base);
    check("limit of the IDT", sizeof idt - 1, seen.limit);
}
