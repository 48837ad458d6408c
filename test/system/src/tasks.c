/* Hardware task switches: JMP, CALL, IRET and interrupts through TSS descriptors and task gates, 32 and 16 bits wide; what
 * is saved and loaded, busy bits, links, NT, TS; and every check, with the task in which its fault is seen. */
#include "probe.h"

#define TSS2 SLOT(0)
#define TSS3 SLOT(1)
#define GATE SLOT(2)
#define TSS16A SLOT(3)
#define LDT2 SLOT(4)
#define NOTSS SLOT(5)
#define BADCODE SLOT(6)
#define BADDATA SLOT(7)
#define CONF3 SLOT(8)
#define ABSENT SLOT(9)
#define ABSCODE SLOT(10)
#define SMALLCODE SLOT(11)

struct task32 {
  u32 link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi;
  u32 es, cs, ss, ds, fs, gs, ldt;
  u16 trap, iomap;
};
struct task16 {
  u16 link, sp0, ss0, sp1, ss1, sp2, ss2, ip, flags, ax, cx, dx, bx, sp, bp, si, di, es, cs, ss, ds, ldt;
};
static struct task32 t2 __attribute__((aligned(256))), t3 __attribute__((aligned(256)));
static struct task16 t16 __attribute__((aligned(256)));
static char task_stack[2048] __attribute__((aligned(16))), inner_stack[2048] __attribute__((aligned(16)));
static struct {
  u32 offset;
  u16 selector;
} far;
static u32 tr_seen, cr0_seen, ldt_seen;

SNIP(do_jump, "ljmp *(%ebx)");
SNIP(do_call, "lcall *(%ebx)");
SNIP(do_call_on, "lcall *(%ebx); mov $0x0badcafe, %edx");
SNIP(do_jump_on, "ljmp *(%ebx); mov $0x0badcafe, %edx");
SNIP(do_iret, "iret");
SNIP(do_int, "int $0x52");
SNIP(do_int_on, "int $0x52; mov $0x0badcafe, %edx");
SNIP(do_ud, "ud2");
SNIP(do_np, "mov $0x0b0, %ax; mov %ax, %fs");
SNIP(do_step, "push $0x102; popf; ljmp *(%ebx)");
SNIP(new_task, "nop");
SNIP(new_return, "iret; mov $0x600d0003, %esi; iret");
SNIP(new_jump, "ljmp *back");
asm(".pushsection .data\n.globl back\nback: .long 0\n.word 0x28\n.popsection");

/* Grabs what only the handler sees. */
static int grab(struct frame *f) {
  (void)f;
  asm volatile("str %0" : "=r"(tr_seen));
  asm volatile("sldt %0" : "=r"(ldt_seen));
  cr0_seen = read_cr0();
  return 1;
}

static u32 type_of(u32 selector) { return gdt[selector >> 3][1] >> 8 & 0xff; }

static void set_types(void) {
  set_descriptor(gdt, TSSSEL, (u32)&tss, sizeof tss - 1, 0x89, 0);
  set_descriptor(gdt, TSS2, (u32)&t2, sizeof t2 - 1, 0x89, 0);
  set_descriptor(gdt, TSS3, (u32)&t3, sizeof t3 - 1, 0x89, 0);
  set_descriptor(gdt, TSS16A, (u32)&t16, sizeof t16 - 1, 0x81, 0);
  set_descriptor(gdt, LDT2, (u32)ldt, sizeof ldt - 1, 0x82, 0);
  set_descriptor(gdt, NOTSS, (u32)&t2, sizeof t2 - 1, DATA_RW(0), 0);
  set_descriptor(gdt, BADCODE, 0, 0xfffff, CODE_XR(2), BIG | GRANULAR);
  set_descriptor(gdt, BADDATA, 0, 0xfffff, DATA_RO(0), BIG | GRANULAR);
  set_descriptor(gdt, CONF3, 0, 0xfffff, CODE_CONF(0), BIG | GRANULAR);
  set_descriptor(gdt, ABSENT, 0, 0xfffff, DATA_RW(0) & ~PRESENT, BIG | GRANULAR);
  set_descriptor(gdt, ABSCODE, 0, 0xfffff, CODE_XR(0) & ~PRESENT, BIG | GRANULAR);
  set_descriptor(gdt, SMALLCODE, 0, 0xff, CODE_XR(0), BIG);
  gdt[GATE >> 3][0] = TSS2 << 16;
  gdt[GATE >> 3][1] = 0x85 << 8;
}

static void task32(struct task32 *t, const char *code, u32 ring) {
  static const u32 codes[] = {KCODE, CODE1, CODE2, UCODE}, datas[] = {KDATA, DATA1, DATA2, UDATA};
  for (u32 i = 0; i < sizeof *t / 4; i++) ((u32 *)t)[i] = 0;
  t->cr3 = read_cr3();
  t->ss0 = KDATA, t->esp0 = (u32)inner_stack + sizeof inner_stack;
  t->eip = (u32)code, t->eflags = 2;
  t->eax = 0xa0a00001, t->ecx = 0xc0c00002, t->edx = 0xd0d00003, t->ebx = 0xb0b00004;
  t->esp = (u32)task_stack + sizeof task_stack - 64, t->ebp = 0xe0e00005, t->esi = 0xf0f00006, t->edi = 0x90900007;
  t->cs = codes[ring], t->es = t->ss = t->ds = t->fs = t->gs = datas[ring];
  t->iomap = 104;
}

static void start(int ring) {
  set_types();
  asm volatile("lldt %w0" : : "r"(0));
  asm volatile("ltr %w0" : : "r"(TSSSEL));
  write_cr0(read_cr0() & ~8);
  tss.link = tss.eip = tss.eflags = tss.eax = tss.esp = tss.cs = tss.ss = tss.ds = tss.ldt = tss.edx = 0;
  tss.cr3 = read_cr3();
  fresh(ring);
  task32(&t2, new_task, 0);
  task32(&t3, new_task, 0);
  far.offset = 0x1234, far.selector = TSS2;
  r.ebx = (u32)&far;
  tr_seen = cr0_seen = ldt_seen = 0;
}

static void report(const char *name) {
  static const char *const names[] = {"DE", "DB", "NMI", "BP", "OF", "BR", "UD", "NM", "DF", "9", "TS", "NP", "SS", "GP"};
  put("%s: ", name);
  if (seen.vector < 14) put("#%s", names[seen.vector]);
  else put("vector %x", seen.vector);
  if (seen.error != 0xffffffff) put("(%w)", seen.error);
  put(" tr %w ts %d types %x %x %x", tr_seen, cr0_seen >> 3 & 1, type_of(TSSSEL), type_of(TSS2), type_of(TSS3));
  u32 at = seen.eip - (u32)new_task;
  if (at < 16) put(" in new task +%x", at);
  else if (seen.eip - r.eip < 64) put(" in old task +%x", seen.eip - r.eip);
  else put(" at %l", seen.eip);
}

static void registers(void) {
  put("\n  eax %l ecx %l edx %l ebx %l esp %l ebp %l esi %l edi %l", seen.eax, seen.ecx, seen.edx, seen.ebx,
      seen.esp0 - (u32)task_stack, seen.ebp, seen.esi, seen.edi);
  put("\n  cs %w ds %w es %w fs %w gs %w flags %l ldt %w", seen.cs, seen.ds & 0xffff, seen.es & 0xffff, seen.fs & 0xffff,
      seen.gs & 0xffff, seen.eflags & ~0x108d5, ldt_seen);
}

static void saved(void) {
  put("\n  saved: eip +%x eflags %l eax %l edx %l esp %d cs %w ss %w ds %w fs %w", tss.eip - r.eip, tss.eflags & ~0x108d5, tss.eax,
      tss.edx, tss.esp == r.esp, tss.cs, tss.ss, tss.ds, tss.fs);
  put(" link %x %x", t2.link, t3.link);
}

static void go(const char *name, const char *code) {
  run(code);
  report(name);
  put("\n");
}

/* ---------------------------------------------------------------- switches that work */

static void simple(void) {
  start(0);
  r.eflags = 2 | IF | 0x47;
  run(do_jump);
  report("jump"), registers(), saved(), put("\n");
  start(0);
  run(do_call);
  report("call"), registers(), saved(), put("\n");
  for (int ring = 1; ring < 4; ring++) { /* DPL 0 is not for them */
    start(ring);
    go("jump from outer ring", do_jump);
    start(ring);
    gdt[TSS2 >> 3][1] |= 3 << 13;
    run(do_jump);
    report("jump from outer ring, DPL 3"), registers(), saved(), put("\n");
    start(ring);
    far.selector = GATE;
    gdt[GATE >> 3][1] |= 3 << 13;
    run(do_call);
    report("call gate from outer ring, DPL 3"), saved(), put("\n");
  }
  for (u32 ring = 0; ring < 4; ring++) {
    start(0);
    task32(&t2, new_task, ring);
    t2.eflags = 2 | IOPL(3) | 0x240000;
    run(do_jump);
    report("to ring"), registers(), put(" ss %w", ring ? seen.ss : 0), put("\n");
  }
  start(0);
  far.selector = GATE;
  run(do_jump);
  report("jump gate"), saved(), put("\n");
  start(0);
  set_descriptor(ldt, 0x0c, 0, 0xfffff, CODE_XR(0), BIG | GRANULAR);
  set_descriptor(ldt, 0x14, 0, 0xfffff, DATA_RW(0), BIG | GRANULAR);
  t2.ldt = LDT2, t2.cs = 0x0c, t2.ss = t2.ds = 0x14, t2.es = 0, t2.fs = 3, t2.gs = 0x14;
  run(do_jump);
  report("with an LDT"), registers(), put("\n");
}

static void nested(void) {
  start(0);
  task32(&t2, new_return, 0);
  run(do_call_on);
  report("call and return"), put(" edx %l", seen.edx), saved(), put("\n");
  put("  t2: eip +%x eflags %l\n", t2.eip - (u32)new_return, t2.eflags & ~0x108d5);
  start(3);
  task32(&t2, new_return, 0);
  gdt[TSS2 >> 3][1] |= 3 << 13;
  run(do_call_on);
  report("call and return, ring 3"), put(" edx %l cs %w", seen.edx, seen.cs), saved(), put("\n");
  start(0);
  task32(&t2, new_jump, 0);
  run(do_jump_on);
  report("jump and jump back"), put(" edx %l", seen.edx), saved(), put("\n");
  start(0);
  task32(&t2, new_return, 3);
  r.eflags = 2 | 0x4000;
  tss.link = TSS2;
  gdt[TSS2 >> 3][1] |= 2 << 8;
  run(do_iret);
  report("return to a task"), registers(), saved(), put("\n");
}

static void interrupts(void) {
  start(0);
  task32(&t2, new_return, 0);
  idt[0x52][0] = TSS2 << 16, idt[0x52][1] = 0xe5 << 8;
  run(do_int_on);
  report("int"), put(" edx %l", seen.edx), saved(), put("\n");
  start(3);
  task32(&t2, new_return, 0);
  run(do_int_on);
  report("int from ring 3"), put(" edx %l cs %x", seen.edx, seen.cs), saved(), put("\n");
  start(3);
  idt[0x52][1] = 0x85 << 8;
  go("int, gate DPL 0", do_int);
  start(0);
  idt[0x52][1] = 0x65 << 8;
  go("int, gate absent", do_int);
  idt[0x52][1] = 0xe5 << 8;
  static const u32 selectors[] = {0, TSS2 | 4, NOTSS, 0x3f8, LDT2, ABSENT};
  for (u32 i = 0; i < 6; i++) {
    start(0);
    idt[0x52][0] = selectors[i] << 16;
    go("int, bad TSS", do_int);
  }
  start(0);
  idt[0x52][0] = TSS2 << 16;
  gdt[TSS2 >> 3][1] |= 2 << 8;
  go("int, busy", do_int);
  start(0);
  gdt[TSS2 >> 3][1] &= ~0x8000;
  go("int, TSS absent", do_int);
  u32 old[2] = {idt[6][0], idt[6][1]}, old11[2] = {idt[11][0], idt[11][1]};
  start(0);
  idt[6][0] = TSS2 << 16, idt[6][1] = 0x85 << 8;
  run(do_ud);
  report("fault"), registers(), saved(), put(" rf %d\n", tss.eflags >> 16 & 1);
  idt[6][0] = old[0], idt[6][1] = old[1];
  start(0);
  set_descriptor(gdt, 0xb0, 0, 0xfffff, DATA_RW(0) & ~PRESENT, BIG | GRANULAR);
  idt[11][0] = TSS2 << 16, idt[11][1] = 0x85 << 8;
  u32 t2_top = t2.esp;
  run(do_np);
  report("fault with an error code"), registers(), put(" code %x\n", *(u32 *)(t2_top - 4));
  idt[11][0] = old11[0], idt[11][1] = old11[1];
}

static void sixteen(void) {
  start(0);
  for (u32 i = 0; i < sizeof t16 / 2; i++) ((u16 *)&t16)[i] = 0;
  memcpy((void *)0x8000, "\x90\xcd\x70", 3);
  set_descriptor(gdt, SLOT(12), 0, 0xffff, CODE_XR(3), 0);
  t16.ss0 = KDATA, t16.sp0 = 0x9f00;
  t16.ip = 0x8000, t16.flags = 0x46, t16.ax = 0x1111, t16.cx = 0x2222, t16.dx = 0x3333, t16.bx = 0x4444;
  t16.sp = 0x9000, t16.bp = 0x5555, t16.si = 0x6666, t16.di = 0x7777;
  t16.cs = SLOT(12) | 3, t16.ds = t16.es = UDATA;
  set_descriptor(gdt, SLOT(13), 0, 0xffff, DATA_RW(3), 0);
  t16.ss = SLOT(13) | 3;
  far.selector = TSS16A;
  run(do_call);
  report("call to a 16-bit task"), registers(), put(" sp %l", seen.esp), saved();
  put("\n  link %x type %x\n", t16.link, type_of(TSS16A));
  start(0); /* and out of one */
  set_descriptor(gdt, TSS16A, (u32)&t16, sizeof t16 - 1, 0x81, 0);
  asm volatile("ltr %w0" : : "r"(TSS16A));
  t16.ip = t16.flags = t16.ax = t16.sp = t16.cs = t16.ss = 0;
  run(do_jump);
  report("jump out of a 16-bit task"), registers();
  put("\n  saved: ip %d flags %w ax %w cs %w ss %w types %x\n", t16.ip == (((u32)do_jump + 2) & 0xffff),
      t16.flags & 0xf72a, t16.ax, t16.cs, t16.ss, type_of(TSS16A));
}

/* ---------------------------------------------------------------- checks */

static void bad_targets(void) {
  static const u32 selectors[] = {TSS2 | 4, 0x3f8, NOTSS, LDT2, ABSENT, GATE | 4};
  for (u32 call = 0; call < 2; call++) {
    for (u32 i = 0; i < 6; i++) {
      start(0);
      far.selector = selectors[i];
      go("bad selector", call ? do_call : do_jump);
      start(0);
      far.selector = GATE;
      gdt[GATE >> 3][0] = selectors[i] << 16;
      go("bad selector in gate", call ? do_call : do_jump);
    }
    start(0);
    gdt[TSS2 >> 3][1] |= 2 << 8;
    go("busy", call ? do_call : do_jump);
    start(0);
    far.selector = TSSSEL;
    go("itself", call ? do_call : do_jump);
    start(0);
    gdt[TSS2 >> 3][1] &= ~0x8000;
    go("absent", call ? do_call : do_jump);
    start(0);
    far.selector = GATE;
    gdt[GATE >> 3][1] &= ~0x8000;
    go("gate absent", call ? do_call : do_jump);
    for (u32 rpl = 0; rpl < 4; rpl++) {
      for (u32 dpl = 0; dpl < 4; dpl++) {
        start(0);
        far.selector = TSS2 | rpl;
        gdt[TSS2 >> 3][1] |= dpl << 13;
        put("rpl %d dpl %d ", rpl, dpl), go("TSS", call ? do_call : do_jump);
        start(2);
        far.selector = GATE | rpl;
        gdt[GATE >> 3][1] |= dpl << 13;
        put("rpl %d dpl %d ", rpl, dpl), go("gate from ring 2", call ? do_call : do_jump);
      }
    }
    for (u32 limit = 102; limit < 104; limit++) {
      start(0);
      set_descriptor(gdt, TSS2, (u32)&t2, limit, 0x89, 0);
      go("limit", call ? do_call : do_jump);
      start(0);
      set_descriptor(gdt, TSS16A, (u32)&t16, limit - 60, 0x81, 0);
      if (limit == 102) far.selector = TSS16A, go("limit of 16 bits", call ? do_call : do_jump);
    }
  }
  static const u32 links[] = {0, TSS2, TSS2 | 4, 0x3f8, NOTSS, GATE};
  for (u32 i = 0; i < 6; i++) { /* TSS2 is not busy */
    start(0);
    r.eflags = 2 | 0x4000;
    tss.link = links[i];
    go("bad link", do_iret);
  }
  start(0);
  r.eflags = 2 | 0x4000;
  tss.link = TSS2;
  gdt[TSS2 >> 3][1] = (gdt[TSS2 >> 3][1] | 2 << 8) & ~0x8000;
  go("link to an absent task", do_iret);
}

/* The new task has a bad segment: the fault is the new task's, on the ring-0 stack of its TSS. */
static void bad_tasks(void) {
  static const struct {
    const char *name;
    u32 field, selector; /* offset in the TSS */
  } list[] = {
      {"ldt in ldt", 0x60, 4}, {"ldt is data", 0x60, KDATA}, {"ldt outside", 0x60, 0x3f8}, {"ldt absent", 0x60, LDT2},
      {"cs null", 0x4c, 0}, {"cs is data", 0x4c, UDATA}, {"cs dpl", 0x4c, BADCODE | 3}, {"cs rpl", 0x4c, KCODE | 3},
      {"cs absent", 0x4c, ABSCODE | 3}, {"cs outside", 0x4c, 0x3fb}, {"cs absent 0", 0x4c, ABSCODE},
      {"ss null", 0x50, 0}, {"ss read-only", 0x50, BADDATA}, {"ss dpl", 0x50, KDATA}, {"ss rpl", 0x50, UDATA & ~3},
      {"ss code", 0x50, UCODE}, {"ss outside", 0x50, 0x3fb}, {"ss absent", 0x50, SLOT(14) | 3},
      {"ds dpl", 0x54, KDATA}, {"ds system", 0x54, TSS3}, {"ds outside", 0x54, 0x3f8}, {"ds absent", 0x54, SLOT(14) | 3},
      {"es rpl", 0x48, KDATA | 3}, {"fs execute-only", 0x58, SLOT(15) | 3}, {"gs conforming", 0x5c, CONF3},
      {"gs outside ldt", 0x5c, 0x0f},
  };
  for (u32 i = 0; i < sizeof list / sizeof *list; i++) {
    for (u32 from = 0; from < 2; from++) {
      start(0);
      set_descriptor(gdt, SLOT(14), 0, 0xfffff, DATA_RW(3) & ~PRESENT, BIG | GRANULAR);
      set_descriptor(gdt, SLOT(15), 0, 0xfffff, CODE_X(3), BIG | GRANULAR);
      if (list[i].selector == LDT2) gdt[LDT2 >> 3][1] &= ~0x8000;
      task32(&t2, new_task, 3);
      *(u32 *)((u32)&t2 + list[i].field) = list[i].selector;
      put("%s ", from ? "int" : "jump");
      go(list[i].name, from ? do_int : do_jump);
    }
  }
  start(0);
  t2.cs = SMALLCODE;
  run(do_jump);
  report("eip beyond the limit"), put("\n");
}

static void traps(void) {
  start(0);
  t2.trap = 1;
  asm volatile("mov %0, %%dr6" : : "r"(0));
  run(do_jump);
  report("T bit");
  u32 dr6;
  asm volatile("mov %%dr6, %0" : "=r"(dr6));
  put(" dr6 %l\n", dr6);
  start(0);
  asm volatile("mov %0, %%dr6" : : "r"(0));
  run(do_step);
  report("step into a task");
  asm volatile("mov %%dr6, %0" : "=r"(dr6));
  put(" dr6 %l\n", dr6);
  start(0);
  asm volatile("mov %0, %%dr6" : : "r"(0));
  asm volatile("mov %0, %%dr7" : : "r"(0x3ff & ~0x300));
  run(do_jump);
  u32 dr7;
  asm volatile("mov %%dr7, %0" : "=r"(dr7));
  put("dr7 after a switch %l\n", dr7);
  asm volatile("mov %0, %%dr7" : : "r"(0x400));
  start(0);
  memcpy((void *)0x8000, "\x90\xcd\x70", 3);
  t2.eflags = 0x23002, t2.cs = 0x800, t2.eip = 0, t2.ss = 0x1000, t2.esp = 0x800;
  t2.ds = 0x1234, t2.es = 0x2345, t2.fs = 0x3456, t2.gs = 0x4567;
  run(do_call);
  report("to virtual-8086 mode"), registers(), put(" ss:sp %w:%w\n", seen.ss, seen.esp);
}

void kernel_main(void) {
  for (u32 n = 0; n < 128; n++) hooks[n] = grab;
  simple();
  nested();
  interrupts();
  sixteen();
  bad_targets();
  bad_tasks();
  traps();
}
