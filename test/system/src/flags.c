/* EFLAGS and privilege: CLI, STI, IN, OUT, POPF, PUSHF, IRET for every CPL and IOPL; the port bit map; single steps;
 * interrupts and their shadow; HLT; RF. */
#include "probe.h"

SNIP(cli_, "cli");
SNIP(sti_, "sti");
SNIP(in_, "in $0x80, %al");
SNIP(popf_, "push %eax; popf; pushf; pop %ecx");
SNIP(popfw_, "pushw %ax; popfw; pushf; pop %ecx");
SNIP(pushfw_, "push $-1; pushfw; pop %ecx; pop %edx");
SNIP(iret_, "mov %cs, %ecx; push %eax; push %ecx; push $1f; iret; 1: pushf; pop %ecx");
SNIP(low_code, "pushf; pop %ecx; int $0x70");
SNIP(out_dx, "out %al, %dx");
SNIP(outw_dx, "out %ax, %dx");
SNIP(outl_dx, "out %eax, %dx");
SNIP(empty, "");
SNIP(steps, "1: push %eax; popf; nop; mov $3, %ecx; inc %ecx; push %edx; popf; 2: nop; nop");
SNIP(steps_rep, "push %eax; popf; mov $3, %ecx; rep stosb; push %edx; popf; nop");
SNIP(steps_io, "push %eax; popf; in $0x80, %al; out %al, $0x80; nop; push %edx; popf; nop");
SNIP(steps_cpuid, "push %eax; popf; nop; cpuid; nop; push %edi; popf; nop");
SNIP(steps_cr, "push %eax; popf; mov %cr3, %ecx; mov %ecx, %cr3; mov %cr0, %ecx; mov %ecx, %cr0; push %edx; popf; nop");
SNIP(steps_int, "push %eax; popf; int $0x55; nop; push %edx; popf; nop");
SNIP(steps_ss, "mov %ss, %ebx; push %eax; popf; mov %bx, %ss; nop; nop; push %edx; popf; nop");
SNIP(steps_pop_ss, "push %ss; push %eax; popf; pop %ss; nop; nop; push %edx; popf; nop");
SNIP(steps_branch, "push %eax; popf; jmp 1f; nop; 1: call 2f; jmp 3f; 2: ret; 3: push %edx; popf; nop");
SNIP(steps_fault, "push %eax; popf; ud2; push %edx; popf; nop");
SNIP(steps_iret, "mov %cs, %ecx; push %eax; push %ecx; push $1f; iret; 1: nop; nop; push %edx; popf; nop");
SNIP(steps_sti, "push %eax; popf; sti; cli; push %edx; popf; nop");
SNIP(db_by_int1, "int $1");
SNIP(icebp, ".byte 0xf1");
SNIP(rf_int, "ud2; int $0x56");
SNIP(rf_nop_int, "ud2; nop; int $0x56");

/* ---------------------------------------------------------------- IOPL */

static void levels(void) {
  for (int ring = 0; ring < 4; ring++) {
    for (u32 iopl = 0; iopl < 4; iopl++) {
      static const struct {
        const char *name;
        const char *code;
      } list[] = {{"cli", cli_}, {"sti", sti_}, {"in", in_}};
      put("r%d iopl %d:", ring, iopl);
      for (u32 i = 0; i < 3; i++) {
        fresh(ring);
        r.eflags = 2 | IOPL(iopl) | (i == 0 ? IF : 0);
        run(list[i].code);
        put(" %s %s", list[i].name, seen.vector == DONE ? "ok" : seen.vector == 13 ? "GP" : "??");
        if (seen.vector == DONE) put(" if=%d", seen.eflags >> 9 & 1);
      }
      put("\n");
      for (u32 from = 0; from < 2; from++) {
        static const u32 images[] = {0, 0x3fffff & ~0x32100, 0x3000, 0x200, 0x47fd7, 0xffffffff & ~0x32100};
        for (u32 i = 0; i < sizeof images / sizeof *images; i++) {
          static const char *const ways[] = {popf_, popfw_, iret_};
          static const char *const names[] = {"popf", "popfw", "iret"};
          put("r%d iopl %d if %d image %l:", ring, iopl, from, images[i]);
          for (u32 way = 0; way < 3; way++) {
            fresh(ring);
            r.eflags = 2 | IOPL(iopl) | from << 9;
            /* TF would step, NT would make IRET switch tasks; AC and VIF, VIP stay out of this. */
            r.eax = images[i] & ~0x1c4100;
            run(ways[way]);
            put(" %s %l", names[way], seen.ecx & ~0x10000);
          }
          put("\n");
        }
      }
      fresh(ring);
      r.eflags = 0x2 | IOPL(iopl) | 0x8d5;
      run(pushfw_);
      put("r%d iopl %d pushfw %l %l\n", ring, iopl, seen.ecx, seen.edx);
    }
  }
}

/* IRET from ring 0 to ring 3 and back through interrupt: what arrives of EFLAGS. */
static void outward(void) {
  for (u32 image = 0; image < 16; image++) {
    fresh(3);
    r.eflags = 2 | (image & 3) << 12 | (image & 4) << 7 | (image & 8 ? 0x200cd5 : 0);
    run(empty);
    put("start eflags %l, at the end %l\n", r.eflags, seen.eflags);
  }
}

static void port_map(void) {
  static const struct {
    u16 port;
    u8 bits;
  } marks[] = {{0x80, 0x00}, {0x88, 0x55}, {0x90, 0x7f}, {0x98, 0xfe}, {0xa0, 0x81}};
  for (u32 i = 0; i < 5; i++) tss.map[marks[i].port / 8] = marks[i].bits;
  static const u16 ports[] = {0x7d, 0x7e, 0x7f, 0x80, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0x8f, 0x96, 0x97, 0x98, 0x99, 0x9f, 0xa3, 0xffff};
  for (u32 i = 0; i < sizeof ports / sizeof *ports; i++) {
    put("port %w:", ports[i]);
    for (u32 width = 0; width < 3; width++) {
      fresh(3);
      r.edx = ports[i];
      if (width && ports[i] == 0xffff) continue;
      run(width == 0 ? out_dx : width == 1 ? outw_dx : outl_dx);
      put(" %s", seen.vector == DONE ? "ok" : seen.vector == 13 ? "GP" : "??");
    }
    put("\n");
  }
  /* The map must reach one byte beyond the port's. */
  for (u32 limit = 104 + 15; limit < 104 + 19; limit++) {
    set_descriptor(gdt, TSSSEL, (u32)&tss, limit, 0x89, 0);
    asm volatile("ltr %w0" : : "r"(TSSSEL));
    put("limit %d:", limit - 104);
    for (u32 port = 0x80; port < 0x88; port += 7) {
      fresh(3);
      r.edx = port;
      run(out_dx);
      put(" %s", seen.vector == DONE ? "ok" : "GP");
    }
    put("\n");
  }
  set_descriptor(gdt, TSSSEL, (u32)&tss, sizeof tss - 1, 0x89, 0);
  asm volatile("ltr %w0" : : "r"(TSSSEL));
  tss.iomap = 0xffff;
  check("no map", in_, 3);
  tss.iomap = 104;
  for (u32 i = 0; i < 5; i++) tss.map[marks[i].port / 8] = 0xff;
}

/* ---------------------------------------------------------------- single steps */

static u32 trail[64], trail_length, trail_dr6;
static int on_step(struct frame *f) {
  u32 dr6;
  asm volatile("mov %%dr6, %0" : "=r"(dr6));
  trail_dr6 |= dr6;
  asm volatile("mov %0, %%dr6" : : "r"(0));
  if (trail_length < 64) trail[trail_length++] = f->eip - r.eip;
  return 0;
}
static int skip_two(struct frame *f) {
  f->eip += 2;
  trail[trail_length++] = 0x600 | (f->eflags >> 8 & 1);
  return 0;
}
static int on_int(struct frame *f) {
  trail[trail_length++] = 0x500 | (f->eflags >> 8 & 1);
  return 0;
}

static void step(const char *name, const char *code, int ring) {
  static char buffer[64];
  hooks[1] = on_step;
  hooks[6] = skip_two;
  hooks[0x55] = on_int;
  trail_length = trail_dr6 = 0;
  fresh(ring);
  r.eax = 0x102 | IOPL(3);
  r.eflags |= IOPL(3);
  r.edx = 2;
  r.edi = code == steps_cpuid ? 2 : (u32)buffer;
  run(code);
  put("r%d ", ring);
  show(name);
  put(" steps");
  for (u32 i = 0; i < trail_length; i++) put(" %x", trail[i]);
  put(" dr6 %x tf=%d\n", trail_dr6 & 0xe00f, seen.eflags >> 8 & 1);
  hooks[1] = hooks[6] = hooks[0x55] = 0;
}

static void single_steps(void) {
  set_gate(0x55, KCODE, (u32)stubs + 16 * 0x55, 0xee);
  for (int ring = 0; ring < 4; ring += 3) {
    step("steps", steps, ring);
    step("rep", steps_rep, ring);
    step("io", steps_io, ring);
    step("cpuid", steps_cpuid, ring);
    step("int", steps_int, ring);
    step("mov ss", steps_ss, ring);
    step("pop ss", steps_pop_ss, ring);
    step("branches", steps_branch, ring);
    step("fault", steps_fault, ring);
    step("iret", steps_iret, ring);
    step("sti", steps_sti, ring);
    if (ring == 0) step("control registers", steps_cr, ring);
    put("r%d ", ring);
    check("int 1", db_by_int1, ring);
    put("r%d ", ring);
    check("icebp", icebp, ring);
  }
  /* TF is set by IRET into the probe: the first instruction runs, then the trap comes. */
  fresh(3);
  r.eflags |= 0x100;
  run(steps);
  show("tf at entry");
  put(" tf saved=%d\n", seen.eflags >> 8 & 1);
}

/* RF in the saved image: 1 for faults, else what it is: gone after one instruction. */
static u32 rf_seen;
static int note_rf(struct frame *f) {
  rf_seen = f->eflags >> 16 & 1;
  return 1;
}
static int skip_keep(struct frame *f) {
  put("fault rf=%d ", f->eflags >> 16 & 1);
  f->eip += 2;
  return 0;
}
static void resume_flag(void) {
  hooks[6] = skip_keep;
  set_gate(0x56, KCODE, (u32)stubs + 16 * 0x56, 0xee);
  hooks[0x56] = note_rf;
  fresh(3);
  run(rf_nop_int);
  put("rf after one instruction=%d\n", rf_seen);
  fresh(0);
  run(rf_nop_int);
  put("rf after one instruction=%d\n", rf_seen);
  hooks[6] = hooks[0x56] = 0;
}

/* ---------------------------------------------------------------- interrupts */

SNIP(sti_nop, "sti; nop; nop; nop; cli");
SNIP(sti_cli, "sti; cli; nop; sti; sti; nop; cli");
SNIP(popf_on, "push %eax; popf; nop; nop; cli");
SNIP(iret_on, "push %eax; push %cs; push $1f; iret; 1: nop; nop; cli");
SNIP(sti_ss, "mov %ss, %ecx; sti; mov %cx, %ss; nop; nop; cli");
SNIP(ss_on, "mov %ss, %ecx; push %eax; popf; mov %cx, %ss; nop; cli");
SNIP(sti_hlt, "sti; hlt; nop; cli");
SNIP(hlt_loop, "sti; 1: hlt; cmpl $3, ticks; jb 1b; cli");
SNIP(sti_in, "sti; in $0x80, %al; nop; cli");
SNIP(sti_int, "sti; int $0x55; nop; cli");
SNIP(spin, "1: cmpl $2, ticks; jb 1b");
u32 ticks;
static u32 tick_at, tick_if;
static int on_tick(struct frame *f) {
  if (ticks == 0) tick_at = f->eip - r.eip, tick_if = f->eflags >> 9 & 1;
  ticks++;
  out8(0x20, 0x20);
  return 0;
}

/* A request that is already pending when the code starts. */
static void pending(const char *name, const char *code) {
  ticks = 0;
  tick_at = 0xfff;
  hooks[0x20] = on_tick;
  hooks[0x55] = on_int;
  trail_length = 0;
  out8(0x43, 0x30); /* channel 0, mode 0: one request after 100 pulses */
  out8(0x40, 100);
  out8(0x40, 0);
  out8(0x21, 0xfe);
  do out8(0x20, 0x0a); while (!(in8(0x20) & 1));
  fresh(0);
  r.eax = 0x202;
  run(code);
  put("%s: ", name);
  if (ticks == 0) put("none");
  else put("at +%x, if=%d", tick_at, tick_if);
  put("\n");
  /* Take a leftover. */
  if (ticks == 0) {
    fresh(0);
    run(sti_nop);
  }
  out8(0x21, 0xff);
  hooks[0x20] = hooks[0x55] = 0;
}

static void interrupts(void) {
  out8(0x20, 0x11), out8(0x21, 0x20), out8(0x21, 4), out8(0x21, 1), out8(0x21, 0xff);
  out8(0xa0, 0x11), out8(0xa1, 0x28), out8(0xa1, 2), out8(0xa1, 1), out8(0xa1, 0xff);
  pending("sti nop", sti_nop);
  pending("sti cli sti sti", sti_cli);
  pending("popf", popf_on);
  pending("iret", iret_on);
  pending("sti hlt", sti_hlt);
  pending("sti in", sti_in);
  pending("sti int", sti_int);
  pending("popf mov ss", ss_on);
  /* Into ring 3 with interrupts on: before the first instruction there. */
  ticks = 0;
  hooks[0x20] = on_tick;
  out8(0x43, 0x34);
  out8(0x40, 0);
  out8(0x40, 0x10);
  out8(0x21, 0xfe);
  do out8(0x20, 0x0a); while (!(in8(0x20) & 1));
  fresh(3);
  r.eflags |= IF;
  run(spin);
  show("ring 3");
  put(" first at +%x if=%d\n", tick_at, tick_if);
  ticks = 0;
  fresh(0);
  run(hlt_loop);
  show("hlt loop");
  put(" ticks %d\n", ticks);
  out8(0x21, 0xff);
  hooks[0x20] = 0;
}

SNIP(dr_alias, "mov $0x12345678, %eax; mov %eax, %dr0; mov %dr0, %ecx; mov %dr4, %eax; mov %dr5, %edx");
SNIP(dr_write, "mov %eax, %dr1; mov %dr1, %eax; mov %eax, %dr2; mov %dr2, %ecx; mov %ecx, %dr3; mov %dr3, %edx");
SNIP(dr_7, "mov $0x300, %eax; mov %eax, %dr7; mov %dr7, %ecx; xor %eax, %eax; mov %eax, %dr7; mov %dr7, %edx; mov %dr6, %eax");
SNIP(dr_6, "mov $-1, %eax; mov %eax, %dr6; mov %dr6, %ecx; xor %eax, %eax; mov %eax, %dr6; mov %dr6, %edx; xor %eax, %eax");

static void debug_registers(void) {
  static const struct {
    const char *name;
    const char *code;
  } list[] = {{"dr4 and dr5", dr_alias}, {"dr1 to dr3", dr_write}, {"dr7", dr_7}, {"dr6", dr_6}};
  for (u32 de = 0; de < 2; de++) {
    write_cr4((read_cr4() & ~8) | de << 3);
    for (u32 i = 0; i < 4; i++) {
      fresh(0);
      put("de=%d ", de);
      run(list[i].code);
      show(list[i].name);
      put(" eax=%l ecx=%l edx=%l\n", seen.eax, seen.ecx, seen.edx);
    }
  }
  write_cr4(read_cr4() & ~8);
}

void kernel_main(void) {
  memcpy((void *)0x8000, low_code, 8);
  levels();
  outward();
  port_map();
  debug_registers();
  single_steps();
  resume_flag();
  interrupts();
}
