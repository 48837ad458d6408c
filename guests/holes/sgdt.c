/* SGDT stores the register of the processor that really runs: the VMM's table, not the guest's. */
#include "hole.h"
HOLE("sgdt");

void guest(void)
{
    struct table_pointer seen;

    __asm__ volatile("sgdt %0" : "=m"(seen));
    check("base of the GDT", (u32)gdt, seen.base);
    check("limit of the GDT", sizeof gdt - 1, seen.limit);
}
