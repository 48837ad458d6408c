/* Four hundred address spaces, one after the other. */
        .include "ends.inc"
main:
        gate 14, 9f
        paging
        mov $0x800000, %ebx
1:      mov %ebx, %edi
        mov $directory, %esi
        mov $1024, %ecx
        rep movsl
        mov %ebx, %eax
        add $4096, %eax
        or $7, %eax
        mov %eax, 0x400(%ebx)
        lea 4096(%ebx), %edi
        mov $0x700007, %eax
        stosl
        mov %ebx, %cr3
        mov %ebx, 0x40000000
        mov 0x40000000, %eax
        cmp %eax, %ebx
        jne 9f
        add $8192, %ebx
        cmp $0x800000 + 400 * 8192, %ebx
        jb 1b
        jmp done
9:      say "fault\n"
        jmp done
