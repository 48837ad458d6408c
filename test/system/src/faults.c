/* Exceptions: which, with what error code, and where EIP points, in ring 0 and in ring 3. */
#include "probe.h"

SNIP(div_zero, "xor %ecx, %ecx; div %ecx");
SNIP(div_byte, "mov $0x1000, %eax; mov $2, %cl; div %cl");
SNIP(idiv_overflow, "mov $0x80000000, %eax; cltd; mov $-1, %ecx; idiv %ecx");
SNIP(aam_zero, ".byte 0xd4, 0");
SNIP(breakpoint, "nop; int3");
SNIP(int_3, ".byte 0xcd, 3");
SNIP(overflow, "mov $0x7f, %al; inc %al; into");
SNIP(no_overflow, "xor %eax, %eax; into");
SNIP(bound_ok, "mov $5, %eax; lea bounds, %ebx; bound %eax, (%ebx)");
SNIP(bound_low, "mov $-6, %eax; bound %eax, bounds");
SNIP(bound_high, "mov $11, %eax; bound %eax, bounds");
SNIP(bound_word, "mov $0xffff, %ax; bound %ax, bounds16");
asm(".pushsection .snip, \"ax\"\nbounds: .long -5, 10; bounds16: .word -2, 3\n.popsection");
SNIP(ud_2, "ud2");
SNIP(ud_lock, ".byte 0xf0; nop");
SNIP(ud_lock_load, ".byte 0xf0; mov (%esp), %eax");
SNIP(ud_lock_cmp, ".byte 0xf0; cmp %eax, (%esp)");
SNIP(ud_mov_cs, "mov $0x10, %eax; .byte 0x8e, 0xc8");
SNIP(ud_mov_seg6, ".byte 0x8e, 0xf0");
SNIP(ud_mov_seg7, ".byte 0x8c, 0xf8");
SNIP(ud_lea_reg, ".byte 0x8d, 0xc0");
SNIP(ud_les_reg, ".byte 0xc4, 0xc0");
SNIP(ud_bound_reg, ".byte 0x62, 0xc0");
SNIP(ud_ff7, ".byte 0xff, 0xf8");
SNIP(ud_fe2, ".byte 0xfe, 0xd0");
SNIP(ud_0fff, ".byte 0x0f, 0xff, 0xc0");
SNIP(ud_jmpf_reg, ".byte 0xff, 0xe8");
SNIP(ud_callf_reg, ".byte 0xff, 0xd8");
SNIP(ud_lgdt_reg, ".byte 0x0f, 0x01, 0xd7");
SNIP(ud_invlpg_reg, ".byte 0x0f, 0x01, 0xfc");
SNIP(ud_cr1, ".byte 0x0f, 0x20, 0xc8");
SNIP(ud_cr5, ".byte 0x0f, 0x22, 0xe8");
SNIP(ud_group7_5, ".byte 0x0f, 0x01, 0x28");
SNIP(ud_group6_6, ".byte 0x0f, 0x00, 0xf0");
SNIP(ud_8f_1, ".byte 0x8f, 0xc8");
SNIP(ud_cmpxchg8b_reg, ".byte 0x0f, 0xc7, 0xc8");
SNIP(long_15, ".byte 0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x90");
SNIP(long_16, ".byte 0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x90");
SNIP(gp_hlt, "nop; hlt");
SNIP(gp_cli, "cli");
SNIP(gp_sti, "sti");
SNIP(gp_in, "in $0x21, %al");
SNIP(gp_out, "mov $0x80, %dx; out %al, %dx");
SNIP(gp_insb, "mov $0x80, %dx; insb");
SNIP(gp_clts, "clts");
SNIP(gp_lgdt, "lgdt (%esp)");
SNIP(gp_lidt, "lidt (%esp)");
SNIP(gp_lldt, "lldt %ax");
SNIP(gp_ltr, "ltr %ax");
SNIP(gp_lmsw, "lmsw %ax");
SNIP(gp_mov_from_cr0, "mov %cr0, %eax");
SNIP(gp_mov_to_cr0, "mov %eax, %cr0");
SNIP(gp_mov_cr3, "mov %cr3, %eax");
SNIP(gp_mov_dr, "mov %dr7, %eax");
SNIP(gp_invlpg, "invlpg (%esp)");
SNIP(gp_invd, "invd");
SNIP(gp_wbinvd, "wbinvd");
SNIP(gp_rdmsr, "mov $0x10, %ecx; rdmsr");
SNIP(gp_wrmsr, "mov $0x10, %ecx; wrmsr");
SNIP(gp_iret_inner, "push $0; push $0x08; push $0; iret");
SNIP(gp_int_21, "int $0x21");
SNIP(gp_int_14, "int $14");
SNIP(int_absent, "int $0xf0");
SNIP(int_np, "int $0x40");
SNIP(int_bad_type, "int $0x41");
SNIP(int_null_cs, "int $0x42");
SNIP(int_data_cs, "int $0x43");
SNIP(int_outer_cs, "int $0x44");
SNIP(int_np_cs, "int $0x45");
SNIP(int_far_cs, "int $0x46");
SNIP(int_limit, "int $0x47");
SNIP(fpu_nop, "fnop");
SNIP(fpu_wait, "fwait");
SNIP(rdtsc_, "rdtsc; xor %eax, %eax; xor %edx, %edx");
SNIP(cr_low, "mov %cr0, %eax; and $~0x80000000, %eax; mov %eax, %cr0");
SNIP(cr4_reserved, "mov %cr4, %eax; or $0x400, %eax; mov %eax, %cr4");
SNIP(msr_bad, "mov $0x12345, %ecx; rdmsr");
SNIP(wrmsr_bad, "mov $0x12345, %ecx; xor %eax, %eax; xor %edx, %edx; wrmsr");
SNIP(xor_flags, "xor %eax, %eax");

struct probe {
  const char *name;
  const char *code;
};
#define P(name) {#name, name}

static const struct probe both[] = {
    P(div_zero), P(div_byte), P(idiv_overflow), P(aam_zero), P(breakpoint), P(int_3), P(overflow), P(no_overflow),
    P(bound_ok), P(bound_low), P(bound_high), P(bound_word), P(ud_2), P(ud_lock), P(ud_lock_load), P(ud_lock_cmp),
    P(ud_mov_cs), P(ud_mov_seg6), P(ud_mov_seg7), P(ud_lea_reg), P(ud_les_reg), P(ud_bound_reg), P(ud_ff7), P(ud_fe2),
    P(ud_0fff), P(ud_jmpf_reg), P(ud_callf_reg), P(ud_lgdt_reg), P(ud_invlpg_reg), P(ud_cr1), P(ud_cr5),
    P(ud_group7_5), P(ud_group6_6), P(ud_8f_1), P(ud_cmpxchg8b_reg), P(long_15), P(long_16), P(int_absent), P(int_np),
    P(int_bad_type), P(int_null_cs), P(int_data_cs), P(int_outer_cs), P(int_np_cs), P(int_far_cs),
    P(rdtsc_),
};
static const struct probe user[] = {
    P(gp_hlt), P(gp_cli), P(gp_sti), P(gp_in), P(gp_out), P(gp_insb), P(gp_clts), P(gp_lgdt), P(gp_lidt), P(gp_lldt),
    P(gp_ltr), P(gp_lmsw), P(gp_mov_from_cr0), P(gp_mov_to_cr0), P(gp_mov_cr3), P(gp_mov_dr), P(gp_invlpg), P(gp_invd),
    P(gp_wbinvd), P(gp_rdmsr), P(gp_wrmsr), P(gp_int_21), P(gp_int_14), P(gp_iret_inner),
};
static const struct probe kernel[] = {
    P(cr_low), P(cr4_reserved), P(msr_bad), P(wrmsr_bad), P(gp_int_21),
};

static void all(const struct probe *list, u32 n, int ring) {
  for (u32 i = 0; i < n; i++) {
    put("r%d ", ring);
    check(list[i].name, list[i].code, ring);
  }
}
#define ALL(list, ring) all(list, sizeof list / sizeof *list, ring)

static void broken_gates(void) {
  set_descriptor(gdt, SLOT(0), 0, 0xfffff, CODE_XR(0) & ~PRESENT, BIG | GRANULAR);
  set_gate(0x40, KCODE, (u32)stubs, 0x6e);
  set_gate(0x41, KCODE, (u32)stubs, 0xec);
  set_gate(0x42, 0, (u32)stubs, 0xee);
  set_gate(0x43, KDATA, (u32)stubs, 0xee);
  set_gate(0x44, UCODE, (u32)stubs, 0xee);
  set_gate(0x45, SLOT(0), (u32)stubs, 0xee);
  set_gate(0x46, SLOT(30), (u32)stubs, 0xee);
}

/* The FPU escape answers #NM with EM or TS, WAIT with MP and TS together. */
static void coprocessor(int ring) {
  u32 old = read_cr0();
  for (u32 bits = 0; bits < 8; bits++) {
    write_cr0((old & ~0xe) | bits << 1);
    put("r%d mp=%d em=%d ts=%d ", ring, bits & 1, bits >> 1 & 1, bits >> 2);
    if (bits & 6) check("fnop", fpu_nop, ring);
    put("r%d mp=%d em=%d ts=%d ", ring, bits & 1, bits >> 1 & 1, bits >> 2);
    check("wait", fpu_wait, ring);
  }
  write_cr0(old);
}

/* A fault while a fault is delivered (SDM vol 3, tables 6-4 and 6-5). */
static void nested(int ring) {
  idt[6][1] &= ~0x8000;
  put("r%d ", ring);
  check("ud then np", ud_2, ring);
  idt[6][1] |= 0x8000;
  idt[0][1] &= ~0x8000;
  put("r%d ", ring);
  check("de then np", div_zero, ring);
  idt[0][1] |= 0x8000;
  idt[13][1] &= ~0x8000;
  put("r%d ", ring);
  check("gp then np", int_absent, ring);
  put("r%d ", ring);
  check("np alone", int_np, ring);
  idt[11][1] &= ~0x8000;
  put("r%d ", ring);
  check("np then np", int_np, ring);
  put("r%d ", ring);
  check("gp then np (2)", int_absent, ring);
  idt[11][1] |= 0x8000;
  idt[13][1] |= 0x8000;
  idt[5][1] &= ~0x8000;
  put("r%d ", ring);
  check("br then np", bound_low, ring);
  idt[5][1] |= 0x8000;
  idt[3][1] &= ~0x8000;
  put("r%d ", ring);
  check("bp then np", breakpoint, ring);
  idt[3][1] |= 0x8000;
  lidt((u32)idt, 0x47 * 8 + 7);
  put("r%d ", ring);
  check("in limit", gp_int_21, ring);
  put("r%d ", ring);
  check("int at limit", int_limit, ring);
  lidt((u32)idt, DONE * 8 + 6);
  put("r%d ", ring);
  check("int over limit", xor_flags, ring);
  lidt((u32)idt, sizeof idt - 1);
}

/* The registers at a fault are those before the instruction. */
static void registers(int ring) {
  fresh(ring);
  u32 esp = r.esp;
  run(ud_2);
  int same = seen.eax == r.eax && seen.ecx == r.ecx && seen.edx == r.edx && seen.ebx == r.ebx && seen.esi == r.esi &&
             seen.edi == r.edi && seen.ebp == r.ebp;
  put("r%d registers %s cs=%w eflags=%l", ring, same ? "same" : "CHANGED", seen.cs, seen.eflags & ~0x10000);
  if (ring) put(" ss=%w esp %s\n", seen.ss, seen.esp == esp ? "same" : "CHANGED");
  else put("\n");
}

void kernel_main(void) {
  set_gate(0x21, KCODE, (u32)stubs + 16 * 0x21, 0x8e);
  broken_gates();
  for (int ring = 0; ring <= 3; ring += 3) {
    ALL(both, ring);
    coprocessor(ring);
    nested(ring);
    registers(ring);
  }
  ALL(user, 3);
  ALL(kernel, 0);
}
