/* A ROM of 64 KiB: starts at the reset vector, prints the reset state, finds its two places, cannot be written, goes
 * to protected mode through both. */
        .code16
        .text
        .macro say string
        mov $\string, %si
        call print
        .endm
start:  mov %eax, %ebp
        mov %edx, %esp
        cli
        xor %ax, %ax
        mov %ax, %ds
        mov $0x9000, %ax
        mov %ax, %ss
        mov %esp, %edi
        mov $0x1000, %esp
        say t_eax
        mov %ebp, %eax
        call hex32
        say t_pe
        smsw %ax
        and $1, %eax
        call hex32
        # RAM below, ROM above: the ROM does not change
        say t_rom
        mov $0xf000, %ax
        mov %ax, %ds
        movl t_mark, %edx
        movl $0x12345678, t_mark
        cmpl t_mark, %edx
        mov $'n', %al
        jne 1f
        mov $'y', %al
1:      out %al, $0xe9
        mov $10, %al
        out %al, $0xe9
        xor %ax, %ax
        mov %ax, %ds
        movl $0x12345678, 0x500
        say t_ram
        movl 0x500, %eax
        call hex32
        .byte 0x66, 0x2e, 0x0f, 0x01, 0x16
        .word gdtr
        mov %cr0, %eax
        or $1, %al
        mov %eax, %cr0
        ljmpl $8, $0xf0000 + low
print:  .byte 0x2e
        lodsb
        test %al, %al
        jz 1f
        out %al, $0xe9
        jmp print
1:      ret
hex32:  mov $8, %cx
1:      rol $4, %eax
        push %eax
        and $15, %al
        add $'0', %al
        cmp $'9', %al
        jbe 2f
        add $39, %al
2:      out %al, $0xe9
        pop %eax
        loop 1b
        mov $10, %al
        out %al, $0xe9
        ret
        .code32
low:    mov $0x10, %eax
        mov %eax, %ds
        mov %eax, %es
        mov $'L', %al
        out %al, $0xe9
        ljmp $8, $0xffff0000 + high
high:   mov $'H', %al
        out %al, $0xe9
        # both places hold the same bytes
        mov $0xf0000, %esi
        mov $0xffff0000, %edi
        mov $0x4000, %ecx
        cld
        repe cmpsl
        mov $'n', %al
        jne 1f
        mov $'y', %al
1:      out %al, $0xe9
        movl $0, 0xffff0000 + t_mark
        movb $0, 0xf0000 + t_mark
        mov $0xffff0000 + t_mark, %esi
        mov $0xf0000 + t_mark, %edi
        mov $5, %ecx
        rep movsb
        mov $0xf0000 + t_mark, %esi
        mov $5, %ecx
        mov $0xe9, %edx
        rep outsb
        mov $1, %al
        out %al, $0xf4
        hlt
t_eax:  .asciz "eax "
t_pe:   .asciz "protected "
t_rom:  .asciz "rom stays "
t_ram:  .asciz "ram holds "
t_mark: .ascii "mark\n"
        .balign 8
gdt:    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdtr:   .word 23
        .long 0xf0000 + gdt
        .code16
        .org 0xfff0
        ljmp $0xf000, $start
        .org 0x10000
