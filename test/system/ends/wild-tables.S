/* Random writes over the page tables in use. */
        .include "ends.inc"
main:
        gate 14, done
        gate 6, done
        gate 13, done
        gate 8, done
        paging
        movl $table + 7, directory + 0x100 * 4
        mov $0x12345, %ebx
        mov $5000, %ecx
1:      mov %ebx, %eax
        shl $13, %eax
        xor %eax, %ebx
        mov %ebx, %eax
        shr $17, %eax
        xor %eax, %ebx
        mov %ebx, %eax
        shl $5, %eax
        xor %eax, %ebx
        mov %ebx, %edx
        and $0xffc, %edx
        cmp $16, %edx
        jb 2f
        mov %ebx, directory(%edx)
2:      mov %ebx, table(%edx)
        mov %ebx, %edi
        or $0x40000000, %edi
        mov %ebx, %eax
        and $0xf, %eax
        jnz 3f
        mov %cr3, %eax
        mov %eax, %cr3
3:      invlpg (%edi)
        loop 1b
        jmp done
