/* The same from ring 3. */
        .include "ends.inc"
main:
        gate 14, 1f
        task_register
        paging
        user 2f
2:      mov 0x40000000, %eax
1:      add $4, %esp
        iret
