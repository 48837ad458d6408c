/* Paging: rights, error codes, CR2, accessed and dirty bits, INVLPG, and instructions that fault half way. */
#include "probe.h"

#define WINDOW 0x40000000 /* linear: the probes' page table */
#define FRAMES 0x400000   /* physical: what the window maps */
#define BIGWIN 0x80000000 /* linear: a 4 MiB page */
#define P 1
#define W 2
#define U 4
#define A 0x20
#define D 0x40
#define PS 0x80
#define G 0x100

static u32 pd[1024] __attribute__((aligned(4096)));
static u32 pt[1024] __attribute__((aligned(4096)));
static u32 pt_low[1024] __attribute__((aligned(4096)));
static u32 *const window = (u32 *)WINDOW;

SNIP(read8, "mov (%ebx), %al");
SNIP(read16, "mov (%ebx), %ax");
SNIP(read32, "mov (%ebx), %eax");
SNIP(write8, "mov %al, (%ebx)");
SNIP(write16, "mov %ax, (%ebx)");
SNIP(write32, "mov %eax, (%ebx)");
SNIP(rmw_add, "addl $1, (%ebx)");
SNIP(rmw_lock, "lock incl (%ebx)");
SNIP(rmw_xchg, "xchg %eax, (%ebx)");
SNIP(rmw_bts, "btsl $3, (%ebx)");
SNIP(rmw_cmpxchg, "xor %eax, %eax; not %eax; cmpxchg %ecx, (%ebx)");
SNIP(rmw_not, "notb (%ebx)");
SNIP(rmw_shl0, "mov $0, %cl; shll %cl, (%ebx)");
SNIP(rmw_xadd, "xadd %eax, (%ebx)");
SNIP(rmw_cmpxchg8b, "cmpxchg8b (%ebx)");
SNIP(only_cmp, "cmpl $1, (%ebx)");
SNIP(only_test, "testl $1, (%ebx)");
SNIP(only_bt, "btl $3, (%ebx)");
SNIP(store_set, "sete (%ebx)");
SNIP(push_mem, "push (%ebx)");
SNIP(pop_mem, "pop (%ebx)");
SNIP(pop_mem_esp, "pop -4(%esp)");
SNIP(call_mem, "call *(%ebx)");
SNIP(jmp_mem, "jmp *(%ebx)");
SNIP(push_reg, "push %eax");
SNIP(push_imm, "push $5");
SNIP(push_16, "pushw %ax");
SNIP(push_flags, "pushf");
SNIP(push_all, "pusha");
SNIP(pop_reg, "pop %eax");
SNIP(pop_all, "popa");
SNIP(pop_flags, "popf");
SNIP(pop_ds, "pop %ds");
SNIP(call_near, "call read8");
SNIP(ret_near, "ret");
SNIP(ret_imm, "ret $8");
SNIP(ret_far, "lret");
SNIP(do_iret, "iret");
SNIP(do_leave, "leave");
SNIP(enter_0, "enter $16, $0");
SNIP(enter_3, "enter $16, $3");
SNIP(enter_big, "enter $0x2000, $0");
SNIP(lds, "lds (%ebx), %eax");
SNIP(lgs, "lgs (%ebx), %eax");
SNIP(bound_, "bound %eax, (%ebx)");
SNIP(xlat_, "xlat");
SNIP(load_ds, "mov %ax, %ds");
SNIP(sgdt_, "sgdt (%ebx)");
SNIP(cmov_false, "xor %ecx, %ecx; cmovnz (%ebx), %eax");
SNIP(int_90, "int $0x90");
SNIP(in_port, "mov $0x80, %dx; in %dx, %al");
SNIP(fetch, "jmp *%ebx");
SNIP(rep_movsb, "rep movsb");
SNIP(rep_movsl, "rep movsl");
SNIP(rep_movsw, "rep movsw");
SNIP(rep_stosb, "rep stosb");
SNIP(rep_stosl, "rep stosl");
SNIP(rep_lodsb, "rep lodsb");
SNIP(rep_scasb, "repne scasb");
SNIP(rep_cmpsb, "repe cmpsb");
SNIP(rep_movsb_down, "std; rep movsb");
SNIP(rep_stosl_down, "std; rep stosl");
SNIP(one_movsl, "movsl");
SNIP(one_cmpsl, "cmpsl");

static void page_at(u32 index, u32 bits) {
  pt[index] = (FRAMES + index * 4096) | bits;
  invlpg(WINDOW + index * 4096);
}

static void result(const char *what) {
  put(" %s ", what);
  if (seen.vector == DONE) put("ok");
  else if (seen.vector == 14) put("PF%x", seen.error);
  else put("vector %d", seen.vector);
}

static void four_accesses(u32 at, u32 *pde, u32 *pte) {
  static const struct {
    const char *what;
    const char *code;
    int ring;
  } tries[] = {{"kr", read32, 0}, {"kw", write32, 0}, {"ur", read32, 3}, {"uw", write32, 3}};
  u32 old_pde = *pde, old_pte = *pte;
  for (u32 i = 0; i < 4; i++) {
    *pde = old_pde & ~(A | D);
    *pte = old_pte & ~(A | D);
    write_cr3(read_cr3());
    fresh(tries[i].ring);
    r.ebx = at + 0x123;
    run(tries[i].code);
    result(tries[i].what);
    /* Whether a walk that fails marks the directory entry is the processor's choice. */
    if (seen.vector == DONE) put("/%s%s%s", *pde & A ? "A" : "", *pde & D ? "D" : "", pde == pte ? "" : *pte & D ? "ad" : *pte & A ? "a" : "");
    else if (seen_cr2 != at + 0x123) put(" CR2=%l", seen_cr2);
  }
  *pde = old_pde;
  *pte = old_pte;
  put("\n");
}

static const char *rights(u32 bits) {
  static const char *const text[] = {"---", "p--", "-w-", "pw-", "--u", "p-u", "-wu", "pwu"};
  return text[bits & 7];
}

static void matrix(void) {
  u32 cr0 = read_cr0();
  for (u32 wp = 0; wp < 2; wp++) {
    write_cr0((cr0 & ~0x10000) | wp << 16);
    for (u32 upper = 0; upper < 8; upper++) {
      for (u32 lower = 0; lower < 8; lower++) {
        pd[WINDOW >> 22] = (u32)pt | upper;
        pt[5] = (FRAMES + 5 * 4096) | lower;
        put("4k wp=%d %s %s:", wp, rights(upper), rights(lower));
        four_accesses(WINDOW + 5 * 4096, &pd[WINDOW >> 22], &pt[5]);
      }
      pd[BIGWIN >> 22] = FRAMES | PS | upper;
      put("4m wp=%d %s:", wp, rights(upper));
      four_accesses(BIGWIN + 5 * 4096, &pd[BIGWIN >> 22], &pd[BIGWIN >> 22]);
    }
  }
  write_cr0(cr0);
  pd[WINDOW >> 22] = (u32)pt | P | W | U;
  pd[BIGWIN >> 22] = FRAMES | PS | P | W | U;
  write_cr3(read_cr3());
}

/* One probe with EBX (and others) set by the caller, then the interesting registers. */
static void at(const char *name, const char *code, int ring, u32 ebx) {
  fresh(ring);
  r.ebx = ebx;
  r.eax = 0x11223344;
  run(code);
  put("r%d ", ring);
  show(name);
  put(" eax=%l\n", seen.eax);
}

static void read_modify_write(void) {
  static const struct {
    const char *name;
    const char *code;
  } list[] = {{"add", rmw_add},   {"lock inc", rmw_lock},   {"xchg", rmw_xchg},           {"bts", rmw_bts},
              {"not", rmw_not},   {"shl by 0", rmw_shl0},   {"xadd", rmw_xadd},           {"cmpxchg", rmw_cmpxchg},
              {"cmp", only_cmp},  {"cmpxchg8b", rmw_cmpxchg8b}, {"test", only_test},      {"bt", only_bt},
              {"sete", store_set}, {"push mem", push_mem},  {"pop mem", pop_mem},         {"call mem", call_mem},
              {"jmp mem", jmp_mem}, {"lds", lds},           {"lgs", lgs},                 {"bound", bound_},
              {"xlat", xlat_},    {"sgdt", sgdt_},          {"cmov false", cmov_false},   {"read8", read8},
              {"read16", read16}, {"write8", write8},       {"write16", write16}};
  for (u32 i = 0; i < sizeof list / sizeof *list; i++) {
    page_at(7, P | U);
    pt[8] = 0;
    invlpg(WINDOW + 8 * 4096);
    if (list[i].code != call_mem && list[i].code != jmp_mem && list[i].code != bound_ && list[i].code != lds) {
      put("read-only ");
      at(list[i].name, list[i].code, 3, WINDOW + 7 * 4096 + 0x10);
    }
    put("absent ");
    at(list[i].name, list[i].code, 3, WINDOW + 8 * 4096 + 0x10);
    if (list[i].code == read8 || list[i].code == write8 || list[i].code == rmw_not || list[i].code == store_set ||
        list[i].code == xlat_)
      continue;
    page_at(7, P | U | W);
    put("crossing ");
    at(list[i].name, list[i].code, 3, WINDOW + 8 * 4096 - 1);
    put("crossing in ");
    at(list[i].name, list[i].code, 0, WINDOW + 8 * 4096 - 1);
  }
}

/* A write that crosses into a page that faults leaves the first page alone. */
static void crossing(void) {
  u32 *word = (u32 *)(WINDOW + 9 * 4096 + 0xffc);
  for (u32 second = 0; second < 3; second++) {
    page_at(9, P | W | U);
    page_at(10, second == 0 ? 0 : second == 1 ? P | U : P | W);
    for (u32 bytes = 1; bytes < 4; bytes++) {
      *word = 0x76543210;
      put("second %s, %d bytes in the first: ", rights(pt[10]), bytes);
      at("write", write32, 3, WINDOW + 10 * 4096 - bytes);
      put("  first page %s\n", *word == 0x76543210 ? "untouched" : "WRITTEN");
      at("read", read32, 3, WINDOW + 10 * 4096 - bytes);
    }
    *word = 0x76543210;
    at("write16", write16, 3, WINDOW + 10 * 4096 - 1);
    at("add", rmw_add, 3, WINDOW + 10 * 4096 - 2);
    put("  first page %s\n", *word == 0x76543210 ? "untouched" : "WRITTEN");
  }
  /* First page faults, second is there: CR2 names the first byte. */
  page_at(9, 0);
  page_at(10, P | W | U);
  for (u32 bytes = 1; bytes < 4; bytes++) at("first absent", write32, 3, WINDOW + 10 * 4096 - bytes);
  /* Both there: the two halves land in their frames. */
  page_at(9, P | W | U);
  pt[10] = (FRAMES + 20 * 4096) | P | W | U;
  invlpg(WINDOW + 10 * 4096);
  page_at(20, P | W | U);
  at("both there", write32, 3, WINDOW + 10 * 4096 - 3);
  put("  %l %l\n", *word, window[20 * 1024]);
}

static void stack_faults(void) {
  static const struct {
    const char *name;
    const char *code;
  } list[] = {{"push reg", push_reg}, {"push imm", push_imm}, {"push word", push_16}, {"pushf", push_flags},
              {"pusha", push_all},    {"pop reg", pop_reg},   {"popa", pop_all},      {"popf", pop_flags},
              {"pop ds", pop_ds},     {"call", call_near},    {"ret", ret_near},      {"ret imm", ret_imm},
              {"lret", ret_far},      {"iret", do_iret},      {"leave", do_leave},    {"enter 0", enter_0},
              {"enter 3", enter_3},   {"enter big", enter_big}, {"pop mem", pop_mem}, {"pop below", pop_mem_esp},
              {"push mem", push_mem}, {"call mem", call_mem}};
  /* Page 11 is there, 12 and 10 are not: ESP near either end of it. */
  static const u32 places[] = {0, 2, 6, 10, 0x1000 - 2, 0x1000 - 6, 0x1000, 0x1002};
  page_at(10, 0);
  page_at(11, P | W | U);
  page_at(12, 0);
  for (u32 i = 0; i < sizeof list / sizeof *list; i++) {
    for (u32 n = 0; n < sizeof places / sizeof *places; n++) {
      for (u32 k = 0; k < 1024; k++) window[11 * 1024 + k] = (u32)read8;
      fresh(3);
      r.esp = r.ebp = WINDOW + 11 * 4096 + places[n];
      r.ebx = WINDOW + 11 * 4096 + 0x800;
      u32 esp = r.esp;
      run(list[i].code);
      if (seen.vector != 14) {
        put("%s: no page fault %d\n", list[i].name, places[n]);
        continue;
      }
      show(list[i].name);
      put(" esp%s%d", seen.esp == esp ? "=same " : "=CHANGED ", places[n]);
      put(seen.ebp == r.ebp && seen.eax == r.eax && seen.edi == r.edi ? "\n" : " REGISTERS CHANGED\n");
    }
  }
}

static void strings(const char *name, const char *code, u32 esi, u32 edi, u32 ecx) {
  fresh(3);
  r.esi = esi, r.edi = edi, r.ecx = ecx;
  r.eax = 0x55555555;
  run(code);
  show(name);
  put(" esi=%l edi=%l ecx=%x", seen.esi, seen.edi, seen.ecx);
  /* Memory up to the fault is done. */
  u32 sum = 0;
  for (u32 i = 0; i < 1024; i++) sum = sum * 33 + window[15 * 1024 + i];
  put(" sum=%l\n", sum);
}

static void string_faults(void) {
  u32 from = WINDOW + 13 * 4096, to = WINDOW + 15 * 4096, hole = 4096;
  page_at(12, 0), page_at(13, P | W | U), page_at(14, 0), page_at(15, P | W | U), page_at(16, 0);
  for (u32 i = 0; i < 1024; i++) window[13 * 1024 + i] = i * 0x01030507 | 1, window[15 * 1024 + i] = 0;
  strings("movsb source ends", rep_movsb, from + hole - 100, to, 200);
  strings("movsb target ends", rep_movsb, from, to + hole - 77, 200);
  strings("movsl source ends", rep_movsl, from + hole - 102, to + 1, 100);
  strings("movsl target ends", rep_movsl, from + 3, to + hole - 102, 100);
  strings("movsl both aligned", rep_movsl, from + 0x800, to, 1000);
  strings("movsw target ends", rep_movsw, from, to + hole - 31, 100);
  strings("movsb both end", rep_movsb, from + hole - 40, to + hole - 40, 100);
  strings("movsb down", rep_movsb_down, from + 50, to + 100, 200);
  strings("movsb down target", rep_movsb_down, from + 500, to + 33, 200);
  strings("stosb", rep_stosb, 0, to + hole - 300, 1000);
  strings("stosl", rep_stosl, 0, to + hole - 302, 1000);
  strings("stosl aligned", rep_stosl, 0, to + hole - 304, 1000);
  strings("stosl down", rep_stosl_down, 0, to + 64, 1000);
  strings("lodsb", rep_lodsb, from + hole - 20, 0, 100);
  strings("scasb", rep_scasb, 0, from + hole - 21, 100);
  strings("cmpsb", rep_cmpsb, to + 64, to + 64, 0xffffffff);
  strings("cmpsb source", rep_cmpsb, to + hole - 9, to + 512, 100);
  strings("movsl at hole", one_movsl, from, to + hole, 7);
  strings("movsl across", one_movsl, from, to + hole - 2, 7);
  strings("movsl from hole", one_movsl, from + hole, to, 7);
  strings("cmpsl both holes", one_cmpsl, from + hole, to + hole, 7);
  strings("ecx zero at hole", rep_stosb, 0, to + hole, 0);
}

static void translations(void) {
  page_at(20, P | W | U), page_at(21, P | W | U), page_at(22, P | W | U);
  window[20 * 1024] = 0x20202020, window[21 * 1024] = 0x21212121;
  pt[22] = (FRAMES + 20 * 4096) | P | W | U;
  invlpg(WINDOW + 22 * 4096);
  put("maps 20: %l", window[22 * 1024]);
  pt[22] = (FRAMES + 21 * 4096) | P | W | U;
  invlpg(WINDOW + 22 * 4096 + 0xabc);
  put(", 21: %l", window[22 * 1024]);
  pt[22] = (FRAMES + 20 * 4096) | P | W | U;
  write_cr3(read_cr3());
  put(", by CR3 20: %l\n", window[22 * 1024]);

  write_cr4(read_cr4() | 0x80);
  pt[22] = (FRAMES + 20 * 4096) | P | W | U | G;
  invlpg(WINDOW + 22 * 4096);
  put("global: %l", window[22 * 1024]);
  pt[22] = (FRAMES + 21 * 4096) | P | W | U | G;
  invlpg(WINDOW + 22 * 4096);
  put(", invlpg %l", window[22 * 1024]);
  pt[22] = (FRAMES + 20 * 4096) | P | W | U | G;
  write_cr4(read_cr4() & ~0x80);
  put(", PGE off %l\n", window[22 * 1024]);

  /* A 4 MiB page gives way to a table and comes back. */
  u32 *big = (u32 *)(BIGWIN + 20 * 4096);
  pd[BIGWIN >> 22] = FRAMES | PS | P | W | U;
  write_cr3(read_cr3());
  put("4m: %l", *big);
  for (u32 i = 0; i < 1024; i++) pt_low[i] = (FRAMES + (i ^ 1) * 4096) | P | W;
  pd[BIGWIN >> 22] = (u32)pt_low | P | W | U;
  invlpg((u32)big);
  put(", table: %l", *big);
  pd[BIGWIN >> 22] = FRAMES | PS | P | W | U;
  invlpg((u32)big + 4096 * 3);
  write_cr3(read_cr3());
  put(", 4m again: %l\n", *big);

  /* With CR4.PSE off the same entry is a table. */
  pd[BIGWIN >> 22] = (u32)pt_low | PS | P | W | U;
  put("pse bit as a table: ");
  u32 cr4 = read_cr4();
  /* The kernel itself lives in a 4 MiB page, so it needs a table for as long. */
  for (u32 i = 0; i < 1024; i++) pt[i + 0] = pt[i];
  static u32 own[1024] __attribute__((aligned(4096)));
  for (u32 i = 0; i < 1024; i++) own[i] = i * 4096 | P | W | U;
  u32 old = pd[0];
  pd[0] = (u32)own | P | W | U;
  write_cr3(read_cr3());
  write_cr4(cr4 & ~0x10);
  put("%l\n", *big);
  write_cr4(cr4);
  pd[0] = old;
  pd[BIGWIN >> 22] = FRAMES | PS | P | W | U;
  write_cr3(read_cr3());

  /* Two directories. */
  static u32 other[1024] __attribute__((aligned(4096)));
  for (u32 i = 0; i < 1024; i++) other[i] = pd[i];
  other[BIGWIN >> 22] = 0;
  u32 cr3 = read_cr3();
  write_cr3((u32)other);
  at("other directory", read32, 3, (u32)big);
  write_cr3(cr3 | 0x18);
  at("first directory", read32, 3, (u32)big);
  put("cr3 flags %x\n", read_cr3() & 0xfff);
  write_cr3(cr3);

  /* Accessed and dirty bits come back after the kernel clears them. */
  for (u32 i = 0; i < 3; i++) {
    pt[22] &= ~(A | D);
    invlpg(WINDOW + 22 * 4096);
    at(i == 2 ? "write after clear" : "read after clear", i == 2 ? write32 : read32, 3, WINDOW + 22 * 4096);
    put("  pte %x\n", pt[22] & 0xfff);
  }
  at("write after read", write32, 3, WINDOW + 22 * 4096);
  put("  pte %x\n", pt[22] & 0xfff);

  /* Rights taken away and given back. */
  pt[22] &= ~W;
  invlpg(WINDOW + 22 * 4096);
  at("write protected", write32, 3, WINDOW + 22 * 4096);
  pt[22] |= W;
  at("write again", write32, 3, WINDOW + 22 * 4096);
  pt[22] &= ~U;
  invlpg(WINDOW + 22 * 4096);
  at("user taken away", read32, 3, WINDOW + 22 * 4096);
  pd[WINDOW >> 22] &= ~U;
  write_cr3(read_cr3());
  at("user taken away above", read32, 3, WINDOW + 20 * 4096);
  pd[WINDOW >> 22] |= U;
  write_cr3(read_cr3());
  at("user given back", read32, 3, WINDOW + 20 * 4096);
}

/* A table entry that points back at its own directory, the usual way to reach the tables. */
static void recursive(void) {
  pd[0xff] = (u32)pd | P | W;
  write_cr3(read_cr3());
  volatile u32 *tables = (volatile u32 *)(0xffu << 22);
  tables[(WINDOW >> 12) + 30] = (FRAMES + 20 * 4096) | P | W | U;
  invlpg(WINDOW + 30 * 4096);
  put("through the recursive entry: %l", window[30 * 1024]);
  tables[(WINDOW >> 12) + 30] = (FRAMES + 21 * 4096) | P | W | U;
  invlpg(WINDOW + 30 * 4096);
  put(" %l directory entry %x\n", window[30 * 1024], tables[(0xffu << 10) + (WINDOW >> 22)] & 0xfff & ~D);
  pd[0xff] = 0;
  write_cr3(read_cr3());
}

/* Descriptor tables and the TSS are read with supervisor rights, whoever causes it. */
static void tables(void) {
  u32 *moved = (u32 *)(WINDOW + 40 * 4096);
  page_at(40, P | W), page_at(41, P | W), page_at(42, P | W), page_at(43, P | W);
  /* GDT whose slots 32 and up are in the second page. */
  u32 *table = moved + 1024 - 64;
  for (u32 i = 0; i < 128; i++) table[i] = ((u32 *)gdt)[i];
  lgdt((u32)table, sizeof gdt - 1);
  set_descriptor((u32(*)[2])table, SLOT(25), 0, 0xfffff, DATA_RW(3) & ~1, BIG | GRANULAR);
  for (u32 pages = 0; pages < 3; pages++) {
    page_at(41, pages == 0 ? 0 : pages == 1 ? P : P | W);
    fresh(3);
    r.eax = SLOT(25) | 3;
    run(load_ds);
    show(pages == 0 ? "gdt absent" : pages == 1 ? "gdt read-only" : "gdt there");
    put(" ds=%w\n", seen.ds);
  }
  put("  descriptor %l\n", table[(SLOT(25) >> 2) + 1]);
  lgdt((u32)gdt, sizeof gdt - 1);

  /* IDT whose vectors 0x80 and up are in an absent page. */
  table = moved + 3 * 1024 - 256;
  for (u32 i = 0; i < 256; i++) table[i] = ((u32 *)idt)[i];
  page_at(43, 0);
  lidt((u32)table, sizeof idt - 1);
  check("idt absent from r3", int_90, 3);
  check("idt absent from r0", int_90, 0);
  lidt((u32)idt, sizeof idt - 1);

  /* Port bit map in an absent page. */
  page_at(43, P | W);
  struct tss *own = (struct tss *)(WINDOW + 43 * 4096 - 128);
  page_at(44, 0);
  memcpy(own, &tss, 128 + 64);
  own->iomap = 128 - 16;
  set_descriptor(gdt, SLOT(26), (u32)own, 4096, 0x89, 0);
  asm volatile("ltr %w0" : : "r"(SLOT(26)));
  page_at(43, 0);
  check("port map absent", in_port, 3);
  page_at(43, P | W);
  own->map[8 + 0x80 / 8] = 0xff;
  check("port map there", in_port, 3);
  set_descriptor(gdt, TSSSEL, (u32)&tss, sizeof tss - 1, 0x89, 0);
  asm volatile("ltr %w0" : : "r"(TSSSEL));
}

/* Bit 21 of an entry for 4 MiB is reserved, bits 13 to 20 are too without PSE-36; all bits of a small page are fine. */
static void reserved(void) {
  for (u32 access = 0; access < 4; access++) {
    pd[BIGWIN >> 22] = FRAMES | 0x200000 | PS | P | W | U;
    write_cr3(read_cr3());
    at("reserved bit 21", access & 1 ? write32 : read32, access & 2 ? 3 : 0, BIGWIN + 0x5000);
  }
  pd[BIGWIN >> 22] = FRAMES | PS | P | W | U | 0xe00 | 0x18;
  write_cr3(read_cr3());
  at("free bits of a large page", write32, 3, BIGWIN + 0x5000);
  pt[50] = FRAMES | P | W | U | 0xe98;
  invlpg(WINDOW + 50 * 4096);
  at("free bits of a small page", write32, 3, WINDOW + 50 * 4096);
}

static void delivery(void) {
  idt[14][1] &= ~0x8000;
  at("pf then np", read32, 3, WINDOW + 500 * 4096);
  at("pf then np in r0", read32, 0, WINDOW + 500 * 4096);
  idt[14][1] |= 0x8000;
  at("fetch absent", fetch, 3, WINDOW + 500 * 4096);
  at("fetch supervisor", fetch, 3, WINDOW + 21 * 4096);
  at("fetch null", fetch, 3, 0xfffff000);
}

void kernel_main(void) {
  for (u32 i = 0; i < 4; i++) pd[i] = i << 22 | PS | P | W | U;
  pd[WINDOW >> 22] = (u32)pt | P | W | U;
  pd[BIGWIN >> 22] = FRAMES | PS | P | W | U;
  write_cr4(read_cr4() | 0x10);
  write_cr3((u32)pd);
  write_cr0(read_cr0() | 0x80000000);
  matrix();
  write_cr0(read_cr0() | 0x10000);
  read_modify_write();
  crossing();
  stack_faults();
  string_faults();
  translations();
  recursive();
  pt[21] &= ~U;
  invlpg(WINDOW + 21 * 4096);
  tables();
  reserved();
  delivery();
}
