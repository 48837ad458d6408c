/* Paging on and off a thousand times, with the directory changing in between. */
        .include "ends.inc"
main:
        gate 14, 9f
        paging
        mov $1000, %ebp
1:      mov %cr0, %eax
        and $0x7fffffff, %eax
        mov %eax, %cr0
        mov %ebp, %eax
        and $3, %eax
        shl $22, %eax
        or $0x87, %eax
        mov %eax, directory + 0x100 * 4
        mov %cr0, %eax
        or $0x80000000, %eax
        mov %eax, %cr0
        mov 0x40100000, %ebx
        mov %ebp, 0x40180000
        dec %ebp
        jnz 1b
        jmp done
9:      say "fault\n"
        jmp done
