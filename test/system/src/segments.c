/* Loads of segment registers: every kind of descriptor, at each privilege, into each register; accessed bits; LDT. */
#include "probe.h"

SNIP(mov_es, "mov %ax, %es");
SNIP(mov_ss, "mov %ax, %ss");
SNIP(mov_ds, "mov %ax, %ds");
SNIP(mov_fs, "mov %ax, %fs");
SNIP(mov_gs, "mov %ax, %gs");
SNIP(pop_es, "push %eax; pop %es");
SNIP(pop_ds, "push %eax; pop %ds");
SNIP(pop_ss, "push %eax; pop %ss; nop");
SNIP(pop_fs, "push %eax; pop %fs");
SNIP(pop_gs, "pushw %ax; popw %gs");
SNIP(les_, "push %eax; push $0x12345678; les (%esp), %edx");
SNIP(lds_, "push %eax; push $0x12345678; lds (%esp), %edx");
SNIP(lss_, "push %eax; push %esp; addl $4, (%esp); lss (%esp), %esp");
SNIP(lfs_, "push %eax; push $0x12345678; lfs (%esp), %edx");
SNIP(ltr_, "ltr %ax");
SNIP(lldt_, "lldt %ax");
SNIP(mov_gs_mem, "push %eax; mov (%esp), %gs; mov %gs, %ecx; xor %edx, %edx; dec %edx; mov %gs, %dx; mov %gs, 2(%esp); pop %eax");

struct kind {
  const char *name;
  u32 attributes; /* 0: not in a table */
  u32 selector;
};
static struct kind kinds[] = {
    {"rw0", DATA_RW(0), 0}, {"rw1", DATA_RW(1), 0}, {"rw2", DATA_RW(2), 0}, {"rw3", DATA_RW(3), 0},
    {"ro0", DATA_RO(0), 0}, {"ro3", DATA_RO(3), 0}, {"down0", DATA_DOWN(0), 0}, {"down3", DATA_DOWN(3), 0},
    {"xr0", CODE_XR(0), 0}, {"xr3", CODE_XR(3), 0}, {"x0", CODE_X(0), 0}, {"x3", CODE_X(3), 0},
    {"conf0", CODE_CONF(0), 0}, {"conf3", CODE_CONF(3), 0}, {"confx0", CODE_CONF(0) & ~2, 0},
    {"np rw0", DATA_RW(0) & ~PRESENT, 0}, {"np rw3", DATA_RW(3) & ~PRESENT, 0}, {"np ro3", DATA_RO(3) & ~PRESENT, 0},
    {"np xr3", CODE_XR(3) & ~PRESENT, 0}, {"type 0", 0x80, 0}, {"ldt", 0x82 | 0x60, 0}, {"tss", 0x89 | 0x60, 0},
    {"busy tss", 0x8b, 0}, {"call gate", 0x8c | 0x60, 0}, {"int gate", 0x8e | 0x60, 0}, {"np ldt", 0x02, 0},
    {"np tss", 0x09, 0}, {"all zero", 0, SLOT(39)}, {"null", 0, 0}, {"null 4", 0, 4}, {"outside", 0, 0x200},
    {"far outside", 0, 0xfff8}, {"ldt outside", 0, 0x84},
};
#define KINDS (sizeof kinds / sizeof *kinds)

static void loads(const char *name, const char *code, u32 bytes, int ring) {
  for (u32 i = 0; i < KINDS; i++) {
    put("r%d %s %s:", ring, name, kinds[i].name);
    for (u32 rpl = 0; rpl < 4; rpl++) {
      fresh(ring);
      r.eax = kinds[i].selector | rpl;
      run(code);
      if (seen.vector == DONE) put(" ok");
      else put(" %s(%w)", seen.vector == 13 ? "GP" : seen.vector == 11 ? "NP" : seen.vector == 12 ? "SS" : "??", seen.error);
      if (seen.vector != DONE && seen.eip - r.eip != bytes) put("+%x", seen.eip - r.eip);
    }
    put("\n");
  }
}

static void accessed(void) {
  for (u32 i = 0; i < 4; i++) {
    static const u32 types[] = {0x90, 0x92, 0x96, 0x9a};
    static const char *const snips[] = {mov_ds, mov_es, mov_fs, mov_gs};
    set_descriptor(gdt, SLOT(38), 0, 0xfffff, types[i] | 0x60, BIG | GRANULAR);
    fresh(3);
    r.eax = SLOT(38) | 3;
    run(snips[i]);
    put("type %x is %x after a load\n", types[i] & 15, gdt[SLOT(38) >> 3][1] >> 8 & 15);
  }
  set_descriptor(gdt, SLOT(38), 0, 0xfffff, 0x92, BIG | GRANULAR);
  fresh(0);
  r.eax = SLOT(38);
  run(mov_ss);
  put("ss: type %x after a load\n", gdt[SLOT(38) >> 3][1] >> 8 & 15);
  set_descriptor(gdt, SLOT(38), 0, 0xfffff, 0x12 | 0x60, BIG | GRANULAR);
  fresh(3);
  r.eax = SLOT(38) | 3;
  run(mov_ds);
  put("np: type %x after a refusal\n", gdt[SLOT(38) >> 3][1] >> 8 & 15);
}

static void local_table(void) {
  set_descriptor(ldt, 0x00, 0x1000, 0xff, DATA_RW(3), 0);
  set_descriptor(ldt, 0x08, (u32)kinds, 0xffff, DATA_RO(3), BIG);
  set_descriptor(ldt, 0x78, 0, 0xfffff, DATA_RW(3), BIG | GRANULAR);
  asm volatile("lldt %w0" : : "r"(0));
  fresh(3);
  r.eax = 0x0f;
  run(mov_ds);
  show("no ldt");
  put("\n");
  asm volatile("lldt %w0" : : "r"(LDTSEL));
  static const u32 selectors[] = {0x07, 0x0f, 0x7f, 0x87, 0x17, 0x04, 0x0d};
  for (u32 i = 0; i < sizeof selectors / sizeof *selectors; i++) {
    fresh(3);
    r.eax = selectors[i];
    run(mov_fs);
    show("ldt");
    put(" selector %w fs=%w\n", selectors[i], seen.fs);
  }
  /* A shorter LDT. */
  set_descriptor(gdt, LDTSEL, (u32)ldt, 14, 0x82, 0);
  asm volatile("lldt %w0" : : "r"(LDTSEL));
  fresh(3);
  r.eax = 0x07;
  run(mov_fs);
  show("short ldt 07");
  put("\n");
  r.eax = 0x0f;
  run(mov_fs);
  show("short ldt 0f");
  put("\n");
  set_descriptor(gdt, LDTSEL, (u32)ldt, sizeof ldt - 1, 0x82, 0);
  static const u32 loads[] = {LDTSEL, LDTSEL | 3, LDTSEL | 4, KDATA, TSSSEL, 0, 3, 0x1f8, 0x200, SLOT(37)};
  set_descriptor(gdt, SLOT(37), (u32)ldt, 31, 0x02, 0);
  set_descriptor(gdt, SLOT(36), (u32)&tss, 103, 0x89, 0);
  set_descriptor(gdt, SLOT(35), (u32)&tss, 103, 0x09, 0);
  for (u32 i = 0; i < sizeof loads / sizeof *loads; i++) {
    fresh(0);
    r.eax = loads[i];
    run(lldt_);
    show("lldt");
    put(" selector %w\n", loads[i]);
  }
  static const u32 tasks[] = {SLOT(36), SLOT(36), SLOT(35), TSSSEL, LDTSEL, KDATA, 0, 0x200, TSSSEL | 4, SLOT(36) | 3};
  for (u32 i = 0; i < sizeof tasks / sizeof *tasks; i++) {
    fresh(0);
    r.eax = tasks[i];
    run(ltr_);
    show("ltr");
    put(" selector %w type %x\n", tasks[i], tasks[i] < 0x200 ? gdt[tasks[i] >> 3][1] >> 8 & 15 : 0);
    if (i == 8) gdt[SLOT(36) >> 3][1] &= ~0x200;
  }
}

void kernel_main(void) {
  for (u32 i = 0, slot = 0; i < KINDS; i++) {
    if (kinds[i].attributes == 0) continue;
    kinds[i].selector = SLOT(slot++);
    set_descriptor(gdt, kinds[i].selector, 0, 0xfffff, kinds[i].attributes, BIG | GRANULAR);
    if ((kinds[i].attributes & 0x1f) < 16) set_descriptor(gdt, kinds[i].selector, (u32)&tss, 103, kinds[i].attributes, 0);
    if (kinds[i].attributes == DATA_DOWN(0) || kinds[i].attributes == DATA_DOWN(3))
      set_descriptor(gdt, kinds[i].selector, 0, 0, kinds[i].attributes, BIG);
  }
  for (int ring = 0; ring <= 3; ring += 3) {
    loads("es", mov_es, 0, ring);
    loads("ss", mov_ss, 0, ring);
    loads("ds", mov_ds, 0, ring);
    loads("fs", mov_fs, 0, ring);
    loads("gs", mov_gs, 0, ring);
    loads("pop es", pop_es, 1, ring);
    loads("pop ds", pop_ds, 1, ring);
    loads("pop ss", pop_ss, 1, ring);
    loads("pop fs", pop_fs, 1, ring);
    loads("popw gs", pop_gs, 2, ring);
    loads("les", les_, 6, ring);
    loads("lds", lds_, 6, ring);
    loads("lss", lss_, 6, ring);
    loads("lfs", lfs_, 6, ring);
  }
  accessed();
  local_table();
  fresh(3);
  r.eax = UDATA;
  run(mov_gs_mem);
  show("mov gs");
  put(" ecx=%l edx=%l eax=%l\n", seen.ecx, seen.edx, seen.eax);
}
