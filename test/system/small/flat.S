/* A flat binary whose Multiboot header says where it goes (a.out kludge): no ELF, no C. */
        .set MAGIC, 0x1BADB002
        .set FLAGS, 0x10000
        .text
        .global _start
_start: jmp entry
        .balign 4
header: .long MAGIC, FLAGS, -(MAGIC + FLAGS)
        .long header, _start, load_end, bss_end, entry
entry:  mov $stack, %esp
        mov $0xB8000, %edi
        mov $0x0720, %eax
        mov $2000, %ecx
        rep stosw
        mov $text, %esi
        mov $0xB8000, %edi
        mov $0x1F, %ah
next:   lodsb
        test %al, %al
        jz printed
        stosw
        mov $0x3F8, %dx
        out %al, %dx
        jmp next
printed:
        mov counter, %eax
        test %eax, %eax
        jnz bad
        mov $'\n', %al
        out %al, %dx
halt:   cli
        hlt
        jmp halt
bad:    ud2
text:   .asciz "flat binary, loaded by its header"
load_end:
        .lcomm counter, 4
        .lcomm space, 1024
        .set stack, space + 1024
        .bss
        .global bss_end
bss_end:
