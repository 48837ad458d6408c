/* CLI traps, so the VMM knows that the guest has interrupts off; PUSHF shows the flag that is really set. */
#include "hole.h"
HOLE("pushf");

static u32 flags(void)
{
    u32 seen;

    __asm__ volatile("pushfl\n\tpopl %0" : "=r"(seen));
    return seen;
}

void guest(void)
{
    cli();
    check("IF after CLI", 0, (flags() & EFLAGS_IF) != 0);
    sti();
    check("IF after STI", 1, (flags() & EFLAGS_IF) != 0);
    cli();
}
