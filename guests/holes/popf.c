/* POPF at CPL > IOPL leaves IF and IOPL as they are and says nothing: the VMM never hears of it. */
#include "hole.h"
HOLE("popf");

static void pop_flags(u32 flags) { __asm__ volatile("pushl %0\n\tpopfl" : : "r"(flags) : "cc", "memory"); }

static u32 push_flags(void)
{
    u32 seen;

    __asm__ volatile("pushfl\n\tpopl %0" : "=r"(seen));
    return seen;
}

void guest(void)
{
    sti();
    request_interrupt();
    pop_flags(2);
    check("interrupts taken after POPF cleared IF", 0, interrupts_taken());
    check("IF read back by PUSHF", 0, (push_flags() & EFLAGS_IF) != 0);
    cli();
    request_interrupt();
    pop_flags(2 | EFLAGS_IF);
    check("interrupts taken after POPF set IF", 1, interrupts_taken());
    cli();
    pop_flags(2 | 3 << 12);
    check("IOPL read back by PUSHF", 3, push_flags() >> 12 & 3);
    pop_flags(2);
}
