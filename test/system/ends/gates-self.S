/* Page fault whose handler lies in the unmapped page. */
        .include "ends.inc"
main:
        gate 14, 0x40000000
        paging
        mov 0x40000000, %eax
        jmp done
