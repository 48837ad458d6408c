/* Endless recursion without paging: the stack eats the code. */
        .include "ends.inc"
main:
        gate 6, done
        mov $0x180000, %esp
1:      call 1b
