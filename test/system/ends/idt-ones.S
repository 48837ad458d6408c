/* An IDT full of ones. */
        .include "ends.inc"
main:
        mov $idt, %edi
        mov $512, %ecx
        mov $-1, %eax
        rep stosl
        ud2
