/* A handler that returns to the undefined opcode. */
        .include "ends.inc"
main:
        gate 6, 1f
        ud2
1:      iret
