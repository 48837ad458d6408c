/* INT goes through the table that is really loaded: the VMM must make every gate of it trap, and deliver by itself. */
#include "hole.h"
HOLE("int");

static void interrupt_0x80(u32 unused)
{
    (void)unused;
    __asm__ volatile("int $0x80" : : : "memory");
}
static void interrupt_0x81(u32 unused)
{
    (void)unused;
    __asm__ volatile("int $0x81" : : : "memory");
}

void guest(void)
{
    sti();
    check("fault of INT 0x80", 0, fault_of(attempt(interrupt_0x80, 0)));
    check("handlers entered", 1, calls);
    check("CS that the handler finds", SEL_CODE, call_selector & 0xFFFF);
    check("IF that the handler finds", 1, (call_flags & EFLAGS_IF) != 0);
    check("fault of INT 0x81, which has no gate", 13u << 16 | (0x81 << 3 | 2), fault_of(attempt(interrupt_0x81, 0)));
    cli();
}
