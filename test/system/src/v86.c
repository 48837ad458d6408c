/* Virtual-8086 mode: entry by IRET, what each sensitive instruction does at each IOPL, segments and limits, frames of
 * interrupts and faults, and the flags that come and go. */
#include "probe.h"

#define LOW 0x8000 /* code is copied here; its segment is 0x0800 */
#define VM 0x20000

#define SNIP16(name, code) \
  extern char name[], name##_end[]; \
  asm(".pushsection .snip, \"ax\"\n.balign 16\n.code16\n" #name ":\n" code "\n" #name "_end: hlt\n.skip 8, 0xf4\n.code32\n.popsection")

SNIP(do_iret, "iret");
SNIP16(t_cli, "cli; pushfl; popl %ecx");
SNIP16(t_sti, "sti; cli");
SNIP16(t_pushf, "pushf; pop %cx");
SNIP16(t_pushfl, "pushfl; popl %ecx");
SNIP16(t_popf, "pushw %ax; popf");
SNIP16(t_popfl, "pushl %eax; popfl");
SNIP16(t_iret, "pushw %ax; push %cs; pushw $(1f - t_iret); iret; 1: nop");
SNIP16(t_iretl, "pushl %eax; .byte 0x66; push %cs; pushl $(1f - t_iretl); iretl; 1: nop");
SNIP16(t_int, "int $0x50");
SNIP16(t_int_low, "int $0x51");
SNIP16(t_int3, "int3");
SNIP16(t_into, "mov $0x7f, %al; inc %al; into");
SNIP16(t_icebp, ".byte 0xf1");
SNIP16(t_in, "in $0x80, %al");
SNIP16(t_inw, "mov $0x7f, %dx; in %dx, %ax");
SNIP16(t_in_open, "mov $0x21, %dx; in %dx, %al");
SNIP16(t_hlt, "hlt");
SNIP16(t_lgdt, "lgdt 0x100");
SNIP16(t_sgdt, "sgdt 0x100");
SNIP16(t_smsw, "smsw %ax; and $15, %ax");
SNIP16(t_lmsw, "lmsw %ax");
SNIP16(t_cr0, "mov %cr0, %eax");
SNIP16(t_dr7, "mov %dr7, %eax");
SNIP16(t_clts, "clts");
SNIP16(t_invlpg, "invlpg (%bx)");
SNIP16(t_rdmsr, "rdmsr");
SNIP16(t_wbinvd, "wbinvd");
SNIP16(t_sldt, "sldt %ax");
SNIP16(t_str, "str %ax");
SNIP16(t_lldt, "lldt %ax");
SNIP16(t_ltr, "ltr %ax");
SNIP16(t_lar, "lar %ax, %ax");
SNIP16(t_lsl, "lsl %ax, %ax");
SNIP16(t_verr, "verr %ax");
SNIP16(t_arpl, ".byte 0x63, 0xc0");
SNIP16(t_ud2, "ud2");
SNIP16(t_div, "xor %cx, %cx; div %cx");
SNIP16(t_bound, "xor %ax, %ax; mov %ax, %es:0x300; mov %ax, %es:0x302; mov $7, %ax; bound %ax, %es:0x300");
SNIP16(t_word_end, "mov 0xffff, %ax");
SNIP16(t_byte_end, "mov 0xffff, %al");
SNIP16(t_write_end, "mov %ax, %es:0xffff");
SNIP16(t_beyond, "mov $0x10000, %ebx; mov (%ebx), %al");
SNIP16(t_stack_end, "mov $0xffff, %bp; mov (%bp), %ax");
SNIP16(t_push_wrap, "mov $1, %sp; push %ax");
SNIP16(t_push_zero, "mov $0, %sp; push %ax; mov %sp, %cx");
SNIP16(t_jump_beyond, ".byte 0x66, 0xe9, 0, 0, 2, 0");
SNIP16(t_ljmp, "ljmp $0x7f0, $(1f - t_ljmp + 0x100); 1: mov %cs, %cx");
SNIP16(t_lcall, "lcall $0x7f0, $(1f - t_lcall + 0x100); jmp 2f; 1: mov %cs, %cx; lret; 2: mov %sp, %si");
SNIP16(t_ljmp_beyond, ".byte 0x66, 0xea, 0, 0, 1, 0, 0, 8");
SNIP16(t_segments, "mov $0x8fff, %ax; mov %ax, %fs; mov %fs, %cx; mov %ax, %gs; mov %gs, %dx; mov $0, %ax; mov %ax, %ds; mov %ds, %si");
SNIP16(t_write_cs, "movw $0x1234, %cs:0x380; mov %cs:0x380, %cx");
SNIP16(t_lds, "movl $0x12345678, %es:0x380; lds %es:0x380, %cx; mov %ds, %dx");
SNIP16(t_a20, "mov $0xffff, %ax; mov %ax, %es; mov $0x5a5a, %dx; mov %dx, %es:0x8010; mov %es:0x8010, %cx");
SNIP16(t_step, "pushw %ax; popf; nop; nop");
SNIP16(t_sti_step, "sti; nop; cli");
SNIP16(t_nothing, "nop");

static u32 extra[4]; /* ES, DS, FS, GS behind the frame */

static int grab(struct frame *f) {
  for (u32 i = 0; i < 4; i++) extra[i] = f->eflags & VM ? ((u32 *)(f + 1))[i] : 0xeeee;
  return 1;
}

static struct {
  u32 room[64]; /* for a fault of the IRET itself */
  u32 eip, cs, eflags, esp, ss, es, ds, fs, gs;
} entry;

static void prepare(const char *code, const char *end, u32 eflags) {
  memcpy((void *)LOW, code, end - code + 9);
  fresh(0);
  entry.eip = 0, entry.cs = 0x800, entry.eflags = eflags | VM | 2;
  entry.esp = 0x1000, entry.ss = 0x1000, entry.es = 0x1800, entry.ds = 0x1900, entry.fs = 0x1a00, entry.gs = 0x1b00;
  r.esp = (u32)&entry.eip;
}

static void report(const char *name, u32 iopl) {
  static const char *const names[] = {"DE", "DB", "NMI", "BP", "OF", "BR", "UD", "NM", "DF", "9", "TS", "NP", "SS", "GP"};
  put("%s iopl %d: ", name, iopl);
  if (seen.vector < 14) put("#%s", names[seen.vector]);
  else put("vector %x", seen.vector);
  if (seen.error != 0xffffffff) put("(%w)", seen.error);
  put(" at %w:%w flags %l ss:sp %w:%w eax %l ecx %l", seen.cs, seen.eip, seen.eflags & ~0x108d5, seen.ss, seen.esp, seen.eax, seen.ecx);
  put(" es %w ds %w fs %w gs %w handler %x%x%x%x\n", extra[0], extra[1], extra[2], extra[3], seen.es & 0xffff, seen.ds & 0xffff, seen.fs & 0xffff, seen.gs & 0xffff);
}

static void one(const char *name, const char *code, const char *end, u32 iopl, u32 flags, u32 eax) {
  prepare(code, end, flags | IOPL(iopl));
  r.eax = eax;
  run(do_iret);
  report(name, iopl);
}
#define ONE(name, iopl, flags, eax) one(#name, t_##name, t_##name##_end, iopl, flags, eax)
#define ALL(name, eax) for (u32 i = 0; i < 4; i++) ONE(name, i, 0, eax)
#define TWO(name) ONE(name, 0, 0, 0xaaaa0001); ONE(name, 3, 0, 0xaaaa0001)

static void flags(void) {
  ALL(cli, 1);
  ALL(sti, 1);
  ALL(pushf, 1);
  ALL(pushfl, 1);
  ALL(popf, 0x7202);
  ALL(popfl, 0x47202);
  ALL(popfl, 0x3b7202 & ~0x100);
  ALL(iret, 0x7202);
  ALL(iretl, 0x247202);
  ALL(int, 1);
  ALL(int_low, 1);
  ALL(int3, 1);
  ALL(into, 1);
  ALL(icebp, 1);
  ONE(pushf, 3, IF, 1);
  ONE(pushfl, 3, IF | 0x240000, 1);
  ONE(step, 3, 0, 0x102);
  ONE(nothing, 0, 0x100, 1);
  ONE(nothing, 3, 0x100, 1);
  ONE(nothing, 0, 0x200, 1);
  ONE(nothing, 3, 0x244200, 1);
}

static void privileged(void) {
  TWO(in);
  TWO(inw);
  TWO(in_open);
  TWO(hlt);
  TWO(lgdt);
  TWO(sgdt);
  TWO(smsw);
  TWO(lmsw);
  TWO(cr0);
  TWO(dr7);
  TWO(clts);
  TWO(invlpg);
  TWO(rdmsr);
  TWO(wbinvd);
  TWO(sldt);
  TWO(str);
  TWO(lldt);
  TWO(ltr);
  TWO(lar);
  TWO(lsl);
  TWO(verr);
  TWO(arpl);
  TWO(ud2);
  TWO(div);
  TWO(bound);
}

static void segments(void) {
  ONE(word_end, 3, 0, 1);
  ONE(byte_end, 3, 0, 1);
  ONE(write_end, 3, 0, 1);
  ONE(beyond, 3, 0, 1);
  ONE(stack_end, 3, 0, 1);
  ONE(push_wrap, 3, 0, 1);
  ONE(push_zero, 3, 0, 1);
  ONE(jump_beyond, 3, 0, 1);
  ONE(ljmp, 3, 0, 1);
  ONE(lcall, 3, 0, 1);
  ONE(ljmp_beyond, 3, 0, 1);
  ONE(segments, 3, 0, 1);
  ONE(write_cs, 3, 0, 1);
  ONE(lds, 3, 0, 1);
  ONE(a20, 3, 0, 1);
}

/* IRET that goes to virtual-8086 mode or not, and gates that are not good enough to leave it. */
static void borders(void) {
  prepare(t_nothing, t_nothing_end, 0);
  entry.eip = 0x10000;
  run(do_iret);
  put("entry beyond the limit: vector %x error %w vm %d\n", seen.vector, seen.error, seen.eflags >> 17 & 1);
  prepare(t_nothing, t_nothing_end, 0);
  entry.cs = 0x12340800;
  entry.ss = 0x56781000;
  run(do_iret);
  report("high halves", 0);
  for (int ring = 1; ring < 4; ring++) { /* VM in the image counts at CPL 0 only */
    fresh(ring);
    entry.cs = r.cs, entry.eflags = VM | 2;
    entry.esp = r.esp, entry.ss = r.ss;
    memcpy((void *)LOW, "\xcd\x70", 2);
    entry.eip = LOW;
    r.esp = (u32)&entry.eip;
    run(do_iret);
    put("from ring %d: vector %x vm %d\n", ring, seen.vector, seen.eflags >> 17 & 1);
  }
  static const u32 rights[] = {CODE_XR(1), CODE_XR(3), CODE_CONF(0), CODE_CONF(3), CODE_XR(0) & ~PRESENT, DATA_RW(0)};
  for (u32 i = 0; i < sizeof rights / sizeof *rights; i++) {
    set_descriptor(gdt, SLOT(3), 0, 0xfffff, rights[i], BIG | GRANULAR);
    set_gate(0x50, SLOT(3), (u32)stubs + 16 * 0x50, 0xee);
    one("gate to", t_int, t_int_end, 3, 0, rights[i]);
  }
  set_gate(0x50, KCODE, (u32)stubs + 16 * 0x50, 0xef);
  one("trap gate", t_int, t_int_end, 3, IF, 1);
  set_gate(0x50, KCODE, (u32)stubs + 16 * 0x50, 0x6e);
  one("gate absent", t_int, t_int_end, 3, IF, 1);
}

void kernel_main(void) {
  for (u32 n = 0; n < 128; n++) hooks[n] = grab;
  set_gate(0x50, KCODE, (u32)stubs + 16 * 0x50, 0xee);
  set_gate(0x51, KCODE, (u32)stubs + 16 * 0x51, 0x8e);
  tss.map[0x21 >> 3] &= ~(1 << (0x21 & 7));
  tss.map[0x7f >> 3] &= ~(1 << (0x7f & 7));
  flags();
  privileged();
  segments();
  borders();
}
