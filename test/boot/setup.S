/* The 16-bit half of a bzImage: the set-up header, and code that goes to protected mode by itself when a BIOS boot
 * loader starts it. Source: "The Linux/x86 Boot Protocol". */
        .code16
        .text
        .org 0x1f1
        .byte 1                         # setup_sects
        .word 0                         # root_flags
        .long 4096 / 16                 # syssize
        .word 0, 0, 0                   # ram_size, vid_mode, root_dev
        .word 0xaa55
        .byte 0xeb, start - 1f          # jump
1:      .ascii "HdrS"
        .word 0x020c                    # protocol 2.12
        .long 0                         # realmode_swtch
        .word 0, 0                      # start_sys_seg, kernel_version
        .byte 0                         # type_of_loader
        .byte 1                         # loadflags: loaded high
        .word 0                         # setup_move_size
        .long 0x100000                  # code32_start
        .long 0, 0                      # ramdisk
        .long 0                         # bootsect_kludge
        .word 0xe000                    # heap_end_ptr
        .byte 0, 0
        .long 0                         # cmd_line_ptr
        .long 0x37ffffff                # initrd_addr_max
        .long 0x1000                    # kernel_alignment
        .byte 0, 12                     # not relocatable
        .word 0
        .long 255                       # cmdline_size
        .long 0, 0                      # hardware_subarch
        .long 0, 0, 0                   # payload
        .long 0, 0
        .long 0x100000, 0               # pref_address
        .long 0x10000                   # init_size
        .long 0                         # handover_offset
start:  cli
        mov %cs, %ax
        sub $0x20, %ax
        mov %ax, %ds                    # the header's segment
        movzwl %ax, %esi
        shl $4, %esi
        lea gdt - 0(%esi), %eax
        mov %eax, gdtr + 2
        lgdtl gdtr
        mov $1, %eax
        mov %eax, %cr0
        ljmpl $0x10, $0x100000
        .balign 8
gdt:    .quad 0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdtr:   .word 31
        .long 0
        .org 1024
