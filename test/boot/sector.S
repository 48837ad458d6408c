/* A boot sector: says which drive it came from, and where it runs. */
        .code16
        .text
        ljmp $0, $0x7c00 + start
start:  mov %dl, %bl
        xor %ax, %ax
        mov %ax, %ds
        mov $0x7c00 + hello, %si
1:      lodsb
        test %al, %al
        jz 2f
        out %al, $0xe9
        jmp 1b
2:      mov %bl, %al
        shr $4, %al
        add $'0', %al
        out %al, $0xe9
        mov $10, %al
        out %al, $0xe9
        mov $4, %al
        out %al, $0xf4
        cli
        hlt
hello:  .asciz "boot sector, drive "
        .org 510
        .word 0xaa55
