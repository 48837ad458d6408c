/*
 * Halts with interrupts off: nothing but an NMI or reset can wake it.
 * Expected: the monitor may see that this CPU never runs again, and must not spend time on it.
 */
#include "wild.inc"
start:
    cli
1:  hlt
    jmp 1b
