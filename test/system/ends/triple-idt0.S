/* An exception with an empty IDT. */
        .include "ends.inc"
main:
        movw $0, idtr
        lidt idtr
        int3
