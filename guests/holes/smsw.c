/* MOV from CR0 traps; SMSW reads the low half of the same register at any privilege, and the VMM has set bits of its own. */
#include "hole.h"
HOLE("smsw");

void guest(void)
{
    u32 seen;

    write_cr0(CR0_PE | CR0_ET);
    __asm__ volatile("smsw %0" : "=r"(seen));
    check("machine status word", CR0_PE | CR0_ET, seen & 0xFFFF);
    check("CR0 by MOV", CR0_PE | CR0_ET, read_cr0());
}
