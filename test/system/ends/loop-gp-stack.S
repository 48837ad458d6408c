/* A fault handler that faults, each time deeper on the stack. */
        .include "ends.inc"
main:
        gate 13, 1f
1:      int $0x99
