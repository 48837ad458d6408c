/*
 * Holds the CPU forever with interrupts off.
 * Expected: only its own virtual machine hangs; a time slice must end it for the others.
 */
#include "wild.inc"
start:
    cli
1:  jmp 1b
