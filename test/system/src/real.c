/* A round trip through real mode: what faults there, how interrupts look, what segments keep. */
#include "probe.h"

#define LOW 0x8000  /* the code below is copied here; its segment is 0x0800 */
#define LOG 0x9000  /* records: vector, IP, flags, AX, each a word */
#define IVT ((volatile u32 *)0)

extern char blob[], blob_end[], back32[];
asm(R"(
        .pushsection .snip, "ax"
        .balign 16
        .code16
        .set AT, blob
blob:   .skip 16                        # a wrapping stack writes here
        mov $0x70, %ax                  # 16-bit data, 64 KiB from LOW
        mov %ax, %ds
        mov %ax, %es
        mov %ax, %ss
        mov $0x10, %ax                  # FS keeps 4 GiB
        mov %ax, %fs
        mov %cr0, %eax
        and $~1, %eax
        mov %eax, %cr0
        ljmp $0x0800, $(real - AT)
real:   mov $0x0800, %ax
        mov %ax, %ds
        mov %ax, %es
        mov %ax, %ss
        mov $0x7000, %sp
        lidt real_idt - AT
        mov $0x1000, %di                # LOG

        .macro begin name
        movw $(end_\name - AT), resume - AT
\name:
        .endm
        .macro done name
        movw $0x4f4b, (%di)             # no interrupt came
        mov %ax, 6(%di)
        pushf
        popw 4(%di)
        movw $(end_\name - AT), 2(%di)
        add $8, %di
end_\name:
        .endm

        begin t_div; xor %cx, %cx; div %cx; done t_div
        begin t_int; int $0x40; done t_int
        begin t_word_end; mov 0xffff, %ax; done t_word_end
        begin t_byte_end; mov 0xffff, %al; done t_byte_end
        begin t_dword_end; mov 0xfffd, %eax; done t_dword_end
        begin t_word_write; mov %ax, 0xffff; done t_word_write
        begin t_stack_end; mov $0xffff, %bp; mov (%bp), %ax; done t_stack_end
        begin t_lods_end; mov $0xffff, %si; lodsw; done t_lods_end
        begin t_ud2; ud2; done t_ud2
        begin t_lock; .byte 0xf0; nop; done t_lock
        begin t_sldt; sldt %ax; done t_sldt
        begin t_str; str %ax; done t_str
        begin t_lldt; lldt %ax; done t_lldt
        begin t_ltr; ltr %ax; done t_ltr
        begin t_lar; lar %ax, %ax; done t_lar
        begin t_verr; verr %ax; done t_verr
        begin t_arpl; .byte 0x63, 0xc0; done t_arpl
        begin t_bound; mov $100, %ax; bound %ax, bounds - AT; done t_bound
        begin t_into; mov $0x7f, %al; inc %al; into; done t_into
        begin t_popf; push $0x7002; popf; pushf; pop %ax; push $2; popf; done t_popf
        begin t_popf_if; push $0x202; popf; cli; pushf; pop %ax; done t_popf_if
        begin t_smsw; smsw %ax; done t_smsw
        begin t_lmsw; mov $0x10, %ax; lmsw %ax; smsw %ax; done t_lmsw
        begin t_a20; mov $0xffff, %ax; mov %ax, %gs; mov %gs:0x10, %ax; done t_a20
        begin t_a20_high; mov %gs:0x12, %ax; done t_a20_high
        begin t_unreal; mov $0x100000, %ebx; mov %fs:(%ebx), %ax; done t_unreal
        begin t_beyond; mov $0x100000, %ebx; mov (%ebx), %ax; done t_beyond
        begin t_lcall; lcall $0x0800, $(far_target - AT); done t_lcall
        begin t_lcall_other; lcall $0x07f0, $(far_target - AT + 0x100); done t_lcall_other
        begin t_call; call near_target; done t_call
        begin t_wrap; push %ax; mov %sp, %bp; mov $2, %sp; push %ax; push %ax; mov %sp, %ax; mov %bp, %sp; pop %bx; done t_wrap
        begin t_loop; mov $5, %cx; xor %ax, %ax; 1: inc %ax; loop 1b; done t_loop
        begin t_push_cs; push %cs; pop %ax; done t_push_cs
        begin t_movs; mov $0x55aa, %ax; mov %ax, 0x1800; push %di; mov $0x1800, %si; mov $0x1802, %di; movsw; mov 0x1802, %ax; pop %di; done t_movs
        begin t_cs; mov %cs:t_cs - AT, %al; mov $0, %ah; done t_cs
        begin t_pushl; pushl $0x11223344; pop %ax; pop %bx; done t_pushl
        begin t_iret; pushf; push %cs; push $(1f - AT); iret; 1: mov $0x1e7, %ax; done t_iret
        begin t_hlt_if; mov %sp, %ax; done t_hlt_if
        begin t_jump_beyond; .byte 0x66, 0xe9, 0, 0, 2, 0; done t_jump_beyond
        begin t_cr0_pg; mov $0x80000010, %eax; mov %eax, %cr0; done t_cr0_pg
        begin t_div_long; xor %edx, %edx; mov $0x12345678, %eax; mov $0x1000, %ecx; div %ecx; done t_div_long

        movw $0, (%di)
        mov %cr0, %eax
        or $1, %eax
        mov %eax, %cr0
        ljmpl $0x08, $back32

far_target: mov %cs, %ax
        lret
near_target: mov $0xca11, %ax
        ret
        .balign 8
handlers:
        .set v, 0
        .rept 0x41
        .balign 8
        .byte 0x68, v, 0                # push v
        .byte 0xe9                      # jmp record
        .word record - (. + 2)
        .set v, v + 1
        .endr
record: movw $0x7000 - 8, %sp           # vector, IP, CS, FLAGS
        pop %bx
        add $0x100, %bx
        mov %bx, (%di)
        pop %bx
        mov %bx, 2(%di)
        pop %bx
        pop %bx
        mov %bx, 4(%di)
        mov %ax, 6(%di)
        add $8, %di
        mov resume - AT, %bx
        jmp *%bx
        .balign 4
resume: .word 0
bounds: .word -5, 99
real_idt: .word 0x3ff
        .long 0
handlers_at: .word handlers - AT
blob_end:
        .code32
        .globl handlers_at
        .balign 16
        .globl go_real
go_real:
        pusha
        mov %esp, real_saved
        ljmp $0x68, $16
back32: mov $0x10, %eax
        mov %eax, %ds
        mov %eax, %es
        mov %eax, %fs
        mov %eax, %gs
        mov %eax, %ss
        mov real_saved, %esp
        popa
        ret
        .popsection
        .pushsection .bss
real_saved: .skip 4
        .popsection
)");
extern u16 handlers_at;
void go_real(void);

static const char *const names[] = {
    "div 0", "int 40", "word at ffff", "byte at ffff", "dword at fffd", "word write at ffff", "stack word at ffff",
    "lods at ffff", "ud2", "lock", "sldt", "str", "lldt", "ltr", "lar", "verr", "arpl", "bound", "into", "popf", "popf if",
    "smsw", "lmsw", "a20 low word", "a20 high word", "unreal", "beyond 64 KiB", "lcall", "lcall other", "call", "sp wraps",
    "loop", "push cs", "movs", "cs override", "pushl", "iret", "sp", "jump beyond", "pg without pe", "long div"};

void kernel_main(void) {
  set_descriptor(gdt, 0x68, LOW, 0xffff, CODE_XR(0), 0);
  set_descriptor(gdt, 0x70, LOW, 0xffff, DATA_RW(0), 0);
  for (char *from = blob, *to = (char *)LOW; from < blob_end;) *to++ = *from++;
  for (u32 v = 0; v <= 0x40; v++) IVT[v] = 0x0800 << 16 | (handlers_at + 8 * v);
  for (u32 round = 0; round < 2; round++) {
    u16 *log = (u16 *)LOG;
    for (u32 i = 0; i < 256; i++) log[i] = 0;
    go_real();
    for (u32 n = 0; log[0] && n < 41; n++, log += 4) {
      put("%s: ", names[n]);
      if (log[0] == 0x4f4b) put("ok");
      else put("interrupt %x", log[0] & 0xff);
      put(" ip=%w flags=%w ax=%w\n", log[1], log[2] & ~0x8d5, log[3]);
    }
    put("back in protected mode\n");
  }
  lidt((u32)idt, sizeof idt - 1);
  SNIP(ud_2, "ud2");
  check("still", ud_2, 3);
}
