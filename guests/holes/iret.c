/* IRET to the same ring is to IF and IOPL what POPF is. A return to CS as PUSH shows it stays in ring 1, and is quiet. */
#include "hole.h"
HOLE("iret");

static void return_with(u32 flags)
{
    __asm__ volatile("pushl %0\n\tpushl %%cs\n\tpushl $1f\n\tiret\n1:" : : "r"(flags) : "memory", "cc");
}
static void return_to(u32 selector)
{
    __asm__ volatile("pushl $2\n\tpushl %0\n\tpushl $1f\n\tiret\n1:" : : "r"(selector) : "memory", "cc");
}

void guest(void)
{
    sti();
    request_interrupt();
    return_with(2);
    check("interrupts taken after IRET cleared IF", 0, interrupts_taken());
    cli();
    request_interrupt();
    return_with(2 | EFLAGS_IF);
    check("interrupts taken after IRET set IF", 1, interrupts_taken());
    cli();
    check("fault of a selector with RPL 0", 0, fault_of(attempt(return_to, SEL_CODE)));
    check("fault of a selector with RPL 1", GP_OF(SEL_CODE), fault_of(attempt(return_to, SEL_CODE | 1)));
}
