/* A jump to address 0 with page 0 unmapped and nobody to handle it. */
        .include "ends.inc"
main:
        paging
        mov $table, %edi
        mov $1024, %ecx
        mov $7, %eax
2:      stosl
        add $4096, %eax
        loop 2b
        movl $0, table
        movl $table + 7, directory
        mov %cr3, %eax
        mov %eax, %cr3
        xor %eax, %eax
        jmp *%eax
