/*
 * Keeps the CPU for ever with interrupts off, and makes every moment of it dear: page-table changes, loads of CR3, faults.
 * Expected: a time slice must end it for the others; it never ends by itself.
 */
#include "hostile.h"
HOSTILE("hostile-hog");

void guest(void)
{
    map_low(PRESENT | WRITABLE);
    paging_on();
    tell("never ends", 0);
    for (u32 turn = 0;; turn++) {
        directory[256] = (u32)low_table | ((turn & 1) != 0 ? PRESENT | WRITABLE : 0);
        write_cr3((u32)directory);
        attempt(try_read, 256u << 22 | 0x100000);
        cli();
        if (turn % 64 == 0) outl(0xE4, attempts);
    }
}
