/* Segment limits and types at every use: data, stack, code, gates, returns, tables. QEMU does not check most of them,
 * so the expected text comes from Bochs. */
#include "probe.h"

static u8 buffer[0x3000] __attribute__((aligned(4096)));

static void fill(u32 from, u32 bytes, u32 word) {
  void *to = buffer + from;
  bytes /= 4;
  asm volatile("rep stosl" : "+D"(to), "+c"(bytes) : "a"(word) : "memory");
}

SNIP(r8, "mov %fs:(%ebx), %al");
SNIP(r16, "mov %fs:(%ebx), %ax");
SNIP(r32, "mov %fs:(%ebx), %eax");
SNIP(w8, "mov %al, %fs:(%ebx)");
SNIP(w16, "mov %ax, %fs:(%ebx)");
SNIP(w32, "mov %eax, %fs:(%ebx)");
SNIP(a32, "add %eax, %fs:(%ebx)");
SNIP(far48, "lgs %fs:(%ebx), %eax");
SNIP(lgdt48, "lgdt %fs:(%ebx)");
SNIP(sgdt48, "sgdt %fs:(%ebx)");
SNIP(bound64, "bound %eax, %fs:(%ebx)");
SNIP(cx8b, "cmpxchg8b %fs:(%ebx)");
SNIP(moffs, "mov %fs:0xffc, %eax");
SNIP(xlat_, "mov $0x10, %al; fs xlat");
SNIP(lea_, ".byte 0x64; lea (%ebx), %eax");
SNIP(push_fs, "push %fs:(%ebx)");
SNIP(call_fs, "call *%fs:(%ebx)");
SNIP(movs_fs, "rep movsb %fs:(%esi), %es:(%edi)");
SNIP(movsl_fs, "rep movsl %fs:(%esi), %es:(%edi)");
SNIP(stos_es, "rep stosb");
SNIP(stosl_es, "rep stosl");
SNIP(lods_fs, "rep lodsl %fs:(%esi), %eax");
SNIP(scas_es, "repne scasb");
SNIP(cmps_both, "repe cmpsb %es:(%edi), %fs:(%esi)");
SNIP(in_string, "mov $0x80, %dx; rep insb");
SNIP(out_string, "mov $0x80, %dx; rep outsb %fs:(%esi), %dx");
SNIP(ss_read, "mov %ss:(%ebx), %eax");
SNIP(ebp_read, "mov %ebx, %ebp; mov (%ebp), %eax");
SNIP(esp_read, "mov 0(%esp,%ebx), %eax");
SNIP(push_, "push %eax");
SNIP(pushw_, "pushw %ax");
SNIP(pop_, "pop %eax");
SNIP(pusha_, "pusha");
SNIP(popa_, "popa");
SNIP(call_, "call r8");
SNIP(ret_, "ret");
SNIP(enter_, "enter $64, $0");
SNIP(enter_nested, "enter $8, $3");
SNIP(leave_, "mov %ebx, %ebp; leave");
SNIP(iret_, "iret");
SNIP(lret_, "lret");
SNIP(pushf_, "pushf");
SNIP(cs_write, "mov %eax, %cs:(%ebx)");
SNIP(cs_read, "mov %cs:(%ebx), %eax");
SNIP(use_ds, "mov (%ebx), %eax");
SNIP(use_es, "mov %es:(%ebx), %eax");
SNIP(use_gs, "mov %gs:(%ebx), %eax");
SNIP(write_gs, "mov %eax, %gs:(%ebx)");

static void set_fs(int ring, u32 limit, u32 attributes, u32 flags) {
  set_descriptor(gdt, SLOT(0), (u32)buffer, limit, attributes | ring << 5, flags);
}

static char letter(void) {
  return seen.vector == DONE ? '.' : seen.vector == 13 && seen.error == 0 ? 'G' : seen.vector == 12 && seen.error == 0 ? 'S' : '?';
}

static void edges(const char *name, u32 low, u32 high, int ring) {
  static const struct {
    const char *name;
    const char *code;
  } list[] = {{"r8", r8},   {"r16", r16}, {"r32", r32},       {"w8", w8},         {"w16", w16},
              {"w32", w32}, {"add", a32}, {"lgs", far48},     {"bound", bound64}, {"cmpxchg8b", cx8b},
              {"sgdt", sgdt48}, {"lea", lea_}, {"push", push_fs}};
  for (u32 i = 0; i < sizeof list / sizeof *list; i++) {
    put("r%d %s %s %x..%x: ", ring, name, list[i].name, low, high);
    for (u32 at = low; at != high + 1; at++) {
      fill(0, 64, 0);
      fill(0xfc0, 128, 0);
      fresh(ring);
      r.fs = SLOT(0) | ring;
      r.ebx = at;
      r.eax = 0;
      run(list[i].code);
      char text[2] = {letter(), 0};
      put("%s", text);
    }
    put("\n");
  }
}

static void data(int ring) {
  set_fs(ring, 0, DATA_RW(0), BIG);
  edges("limit 0", 0, 2, ring);
  set_fs(ring, 0xf, DATA_RW(0), BIG);
  edges("limit f", 6, 0x11, ring);
  set_fs(ring, 0xffe, DATA_RW(0), 0);
  edges("limit ffe", 0xff6, 0x1000, ring);
  set_fs(ring, 0, DATA_RW(0), BIG | GRANULAR);
  edges("limit 1 page", 0xff8, 0x1001, ring);
  set_fs(ring, 0xf, DATA_RO(0), BIG);
  edges("read-only", 0, 0x11, ring);
  set_fs(ring, 0xf, CODE_XR(0), BIG);
  edges("code", 0, 0x11, ring);
  set_fs(ring, 0xf, CODE_CONF(0), BIG);
  edges("conforming", 0xc, 0x11, ring);
  set_fs(ring, 0xfff, DATA_DOWN(0), BIG);
  edges("down fff", 0xffc, 0x1008, ring);
  set_fs(ring, 0x1f, DATA_DOWN(0), 0);
  edges("down 1f", 0x1c, 0x22, ring);
  set_fs(ring, 0x0, DATA_DOWN(0), BIG | GRANULAR);
  edges("down page", 0xffe, 0x1001, ring);
  set_fs(ring, 0xffff, DATA_DOWN(0), 0);
  edges("down nothing", 0xfffe, 0x10001, ring);
  set_fs(ring, 0x1f, DATA_DOWN(0) & ~2, BIG);
  edges("down read-only", 0x1e, 0x22, ring);
}

/* A segment that ends at 64 KiB for lack of B: its base makes that the end of a known buffer. */
static void upper_bound(int ring) {
  for (u32 big = 0; big < 2; big++) {
    set_descriptor(gdt, SLOT(0), (u32)buffer - 0xf000, 0xefff, DATA_DOWN(0) | ring << 5, big ? BIG : 0);
    for (u32 at = 0xeffc; at < 0xf004; at++) {
      fresh(ring);
      r.fs = SLOT(0) | ring, r.ebx = at;
      run(r32);
      put("%s", letter() == '.' ? "." : "G");
    }
    put(" ");
    for (u32 at = 0xfff8; at < 0x10004; at++) {
      fresh(ring);
      r.fs = SLOT(0) | ring, r.ebx = at;
      run(r32);
      put("%s", letter() == '.' ? "." : "G");
    }
    put(" down with B=%d in r%d\n", big, ring);
  }
}

static void state(const char *name) {
  show(name);
  put(" eax=%l ebx=%l ecx=%l esi=%l edi=%l ebp=%l", seen.eax, seen.ebx, seen.ecx, seen.esi, seen.edi, seen.ebp);
  if (seen.cs & 3) put(" esp%s%d", seen.esp < r.esp ? "-" : "+", seen.esp < r.esp ? r.esp - seen.esp : seen.esp - r.esp);
  put("\n");
}

static void strings(int ring) {
  set_fs(ring, 0x1f, DATA_RW(0), BIG);
  static const struct {
    const char *name;
    const char *code;
    u32 esi, edi, ecx;
  } list[] = {{"movsb from", movs_fs, 0x18, 0, 20},   {"movsl from", movsl_fs, 0x12, 0, 20}, {"stosb to", stos_es, 0, 0x19, 20},
              {"stosl to", stosl_es, 0, 0x11, 20},    {"lods", lods_fs, 0x10, 0, 20},        {"scas", scas_es, 0, 0x1a, 20},
              {"cmps", cmps_both, 0x0, 0x4, 0x100},   {"cmps (2)", cmps_both, 0x8, 0x4, 0x100}, {"outs", out_string, 0x1c, 0, 20},
              {"ins", in_string, 0, 0x1c, 20},        {"nothing", stos_es, 0, 0x100, 0}};
  for (u32 i = 0; i < sizeof list / sizeof *list; i++) {
    for (u32 k = 0; k < 0x40; k++) buffer[k] = 7;
    fresh(ring);
    r.eflags |= IOPL(3);
    r.fs = r.es = SLOT(0) | ring;
    if (list[i].code == movs_fs || list[i].code == movsl_fs) r.es = r.ds;
    r.esi = list[i].esi, r.edi = list[i].edi, r.ecx = list[i].ecx;
    if (r.es == r.ds) r.edi = (u32)buffer + 0x1000;
    r.eax = 0x12345678;
    put("r%d ", ring);
    run(list[i].code);
    if (r.es == r.ds) seen.edi -= (u32)buffer;
    state(list[i].name);
  }
}

/* Stacks that end: only for ring 3, whose faults are handled on another stack. */
static void stacks_that_end(void) {
  static const struct {
    const char *name;
    const char *code;
  } list[] = {{"push", push_}, {"pushw", pushw_}, {"pop", pop_}, {"pusha", pusha_}, {"popa", popa_}, {"call", call_},
              {"ret", ret_}, {"enter", enter_}, {"enter nested", enter_nested}, {"leave", leave_}, {"iret", iret_}, {"lret", lret_},
              {"pushf", pushf_}, {"ss:", ss_read}, {"(ebp)", ebp_read}, {"(esp)", esp_read}};
  static const struct {
    const char *name;
    u32 limit, attributes, flags;
    u32 esps[6];
  } kinds[] = {{"up ff", 0xff, DATA_RW(3), BIG, {0xfa, 0xfc, 0xfd, 0x100, 0x102, 0x1000}},
               {"up low", 0xff, DATA_RW(3), BIG, {0, 1, 2, 3, 4, 0x20}},
               {"down fff", 0xfff, DATA_DOWN(3), BIG, {0x1000, 0x1002, 0x1004, 0x1010, 0x1020, 0x1022}},
               {"16 up", 0xff, DATA_RW(3), 0, {0, 2, 0xfc, 0xfd, 0xfe, 0x100}},
               {"16 down", 0xff, DATA_DOWN(3), 0, {0x100, 0x102, 0x104, 0x110, 0x122, 0xfffe}}};
  for (u32 k = 0; k < sizeof kinds / sizeof *kinds; k++) {
    set_descriptor(gdt, SLOT(1), (u32)buffer, kinds[k].limit, kinds[k].attributes, kinds[k].flags);
    for (u32 i = 0; i < sizeof list / sizeof *list; i++) {
      for (u32 n = 0; n < 6; n++) {
        /* 64 KiB above the buffer is not ours. */
        if (kinds[k].esps[n] == 0xfffe && list[i].code != push_ && list[i].code != pop_ && list[i].code != pushw_) continue;
        /* An address that is put together from two halves leads nowhere. */
        if (list[i].code == ret_ && (kinds[k].esps[n] & 3)) continue;
        fill(0, sizeof buffer, (u32)r8);
        fresh(3);
        r.ss = SLOT(1) | 3;
        r.esp = r.ebx = kinds[k].esps[n];
        r.ebp = list[i].code == enter_nested ? r.esp + 0x10 : r.ebp;
        if (list[i].code == esp_read) r.ebx = 0;
        run(list[i].code);
        put("%s esp %x ", kinds[k].name, r.esp);
        show(list[i].name);
        if (seen.vector != DONE) put(" esp %s", ((seen.esp ^ r.esp) & (kinds[k].flags ? 0xffffffff : 0xffff)) ? "MOVED" : "same");
        put("\n");
      }
    }
  }
}

static void types(void) {
  static const struct {
    const char *name;
    u32 attributes;
  } kinds[] = {{"rw", DATA_RW(3)}, {"ro", DATA_RO(3)}, {"xr", CODE_XR(3)}, {"conf", CODE_CONF(3)}, {"down", DATA_DOWN(3)}};
  for (u32 i = 0; i < 5; i++) {
    set_descriptor(gdt, SLOT(2), 0, kinds[i].attributes == DATA_DOWN(3) ? 0 : 0xfffff, kinds[i].attributes, BIG | GRANULAR);
    fresh(3);
    r.gs = SLOT(2) | 3;
    r.ebx = (u32)buffer;
    run(use_gs);
    put("%s ", kinds[i].name);
    show("read");
    run(write_gs);
    show(" write");
    put("\n");
  }
  static const char *const nulls[] = {use_ds, use_es, use_gs, write_gs};
  for (u32 i = 0; i < 4; i++) {
    for (u32 null = 0; null < 4; null += 3) {
      for (int ring = 0; ring < 4; ring += 3) {
        fresh(ring);
        r.ds = r.es = r.fs = r.gs = null;
        r.ebx = (u32)buffer;
        put("r%d null %d ", ring, null);
        run(nulls[i]);
        show("use");
        put("\n");
      }
    }
  }
  for (u32 readable = 0; readable < 2; readable++) {
    set_descriptor(gdt, SLOT(3), 0, 0xfffff, readable ? CODE_XR(3) : CODE_X(3), BIG | GRANULAR);
    fresh(3);
    r.cs = SLOT(3) | 3;
    r.ebx = (u32)buffer;
    run(cs_read);
    show(readable ? "cs read" : "execute-only read");
    put("\n");
    run(cs_write);
    show(readable ? "cs write" : "execute-only write");
    put("\n");
  }
}

/* ---------------------------------------------------------------- code */

/* Code in the buffer at offset 0xf00 of a segment that ends at fff or so. */
static const u8 nops[] = {0x90, 0x90, 0x90, 0x90, 0xcd, 0x70};
SNIP(jump_to, "jmp *%ebx");
SNIP(call_to, "call *%ebx");
SNIP(far_to, "ljmp *(%ebx)");
SNIP(far_call_to, "lcall *(%ebx)");
static struct {
  u32 offset;
  u16 selector;
} far;

static void code(int ring) {
  static const struct {
    const char *name;
    u8 bytes[8];
    u32 stack;
  } list[] = {{"jmp short", {0xeb, 0x7e}, 0},
              {"jmp near", {0xe9, 0, 1, 0, 0}, 0},
              {"call", {0xe8, 0, 1, 0, 0}, 0},
              {"je", {0x39, 0xc0, 0x74, 0x7c}, 0},
              {"je near", {0x39, 0xc0, 0x0f, 0x84, 0, 1, 0, 0}, 0},
              {"jne not taken", {0x39, 0xc0, 0x75, 0x7c, 0xcd, 0x70}, 0},
              {"loop", {0xe2, 0x7e}, 0},
              {"jecxz", {0x31, 0xc9, 0xe3, 0x7c}, 0},
              {"jmp eax", {0xff, 0xe0}, 0},
              {"call eax", {0xff, 0xd0}, 0},
              {"ret", {0xc3}, 0x1001},
              {"ret 8", {0xc2, 8, 0}, 0x1001},
              {"ret good", {0xc3}, 0xfa},
              {"jmp back", {0xeb, 0x80}, 0}};
  for (u32 limit = 0xfff; limit <= 0x1000; limit++) {
    set_descriptor(gdt, SLOT(4), (u32)buffer, limit, CODE_XR(0) | ring << 5, BIG);
    for (u32 i = 0; i < sizeof list / sizeof *list; i++) {
      fill(0, sizeof buffer, 0x90909090);
      memcpy(buffer + 0xf90, list[i].bytes, 8);
      buffer[0xfe] = buffer[0x100e] = buffer[0xf12] = 0xcd;
      buffer[0xff] = buffer[0x100f] = buffer[0xf13] = 0x70;
      fresh(ring);
      r.eax = limit + 1;
      r.cs = SLOT(4) | ring;
      r.eip = 0xf90;
      *(u32 *)(r.esp) = list[i].stack;
      void enter_probe(struct regs *);
      enter_probe(&r);
      put("r%d limit %x %s: ", ring, limit, list[i].name);
      if (seen.vector == DONE) put("ok");
      else put("%s(%x)", seen.vector == 13 ? "GP" : "??", seen.error);
      put(" eip=%x ecx=%l", seen.eip, seen.ecx);
      if (ring) put(" esp%s", seen.esp == r.esp ? " same" : " moved");
      put("\n");
    }
    /* Instructions that reach over the end. */
    for (u32 at = limit - 5; at <= limit + 1; at++) {
      fill(0, sizeof buffer, 0x90909090);
      buffer[at] = 0xb8;
      buffer[limit - 1] = 0xcd, buffer[limit] = 0x70;
      fresh(ring);
      r.cs = SLOT(4) | ring;
      r.eip = at;
      void enter_probe(struct regs *);
      enter_probe(&r);
      put("r%d limit %x mov at %x: vector %d error %x eip=%x\n", ring, limit, at, seen.vector, seen.error, seen.eip);
    }
  }
}

static void targets(void) {
  set_descriptor(gdt, SLOT(4), (u32)buffer, 0xfff, CODE_XR(0), BIG);
  set_descriptor(gdt, SLOT(5), (u32)buffer, 0xfff, CODE_XR(3), BIG);
  fill(0, sizeof buffer, 0x90909090);
  memcpy(buffer + 0xff0, nops, 6);
  static const u32 offsets[] = {0xff0, 0xff4, 0x1000, 0x1001, 0xffffffff};
  for (u32 i = 0; i < 5; i++) {
    for (u32 way = 0; way < 8; way++) {
      static const char *const names[] = {"ljmp", "lcall", "gate call", "gate jmp", "int", "iret", "lret", "int same ring"};
      int ring = way == 7 || way == 3 ? 0 : way == 5 || way == 6 ? 0 : 3;
      fresh(ring);
      far.selector = SLOT(5) | 3;
      far.offset = offsets[i];
      r.ebx = (u32)&far;
      set_call_gate(gdt, SLOT(6), SLOT(4), offsets[i], 0xec, 0);
      set_gate(0x50, SLOT(4), offsets[i], 0xee);
      if (way == 2 || way == 3) far.selector = SLOT(6) | ring;
      if (way == 5 || way == 6) {
        *(u32 *)(r.esp -= 4) = UDATA;
        *(u32 *)(r.esp -= 4) = (u32)stack3 + STACK_BYTES - 64;
        if (way == 5) *(u32 *)(r.esp -= 4) = 2;
        *(u32 *)(r.esp -= 4) = SLOT(5) | 3;
        *(u32 *)(r.esp -= 4) = offsets[i];
      }
      extern char int_50[];
      run(way == 0 || way == 3 ? far_to : way == 1 || way == 2 ? far_call_to : way == 5 ? iret_ : way == 6 ? lret_ : int_50);
      put("%s to %x: ", names[way], offsets[i]);
      if (seen.vector == DONE) put("ok cs=%w eip=%x\n", seen.cs, seen.eip);
      else put("vector %d error %x %s cs=%w\n", seen.vector, seen.error, seen.eip - r.eip < 16 ? "before" : "AFTER", seen.cs);
    }
  }
}
SNIP(int_50, "int $0x50");

/* ---------------------------------------------------------------- tables */

SNIP(load_gs, "mov %ax, %gs");
SNIP(reload, "lgdt (%ebx); mov %ax, %gs; lgdt (%ecx)");
SNIP(int_60, "int $0x60");

static void tables(void) {
  struct {
    u16 limit;
    u32 base;
  } __attribute__((packed)) shorter, full = {sizeof gdt - 1, (u32)gdt};
  set_descriptor(gdt, SLOT(7), 0, 0xfffff, DATA_RW(3), BIG | GRANULAR);
  for (u32 less = 0; less < 9; less++) {
    shorter.limit = SLOT(7) + 8 - less;
    shorter.base = (u32)gdt;
    fresh(0);
    r.eax = SLOT(7), r.ebx = (u32)&shorter, r.ecx = (u32)&full;
    run(reload);
    lgdt((u32)gdt, sizeof gdt - 1);
    put("gdt limit +%d: ", 8 - less);
    show("load");
    put("\n");
  }
  set_gate(0x60, KCODE, (u32)stubs + 16 * 0x60, 0xee);
  /* The vectors that end a probe stay below. */
  set_gate(0x7f, KCODE, (u32)stubs + 16 * 0x7f, 0xee);
  extern char int_7f[];
  for (u32 limit = 0x7f * 8 - 1; limit <= 0x7f * 8 + 8; limit++) {
    lidt((u32)idt, limit);
    fresh(3);
    run(int_7f);
    put("idt limit %x: ", limit);
    show("int 7f");
    put("\n");
  }
  lidt((u32)idt, sizeof idt - 1);
}
SNIP(int_7f, "int $0x7f");

SNIP(cr0_pg_no_pe, "mov $0x80000010, %eax; mov %eax, %cr0");
SNIP(cr0_nw_no_cd, "mov %cr0, %eax; or $0x20000000, %eax; and $~0x40000000, %eax; mov %eax, %cr0");
SNIP(cr0_high, "mov %cr0, %ecx; mov %ecx, %eax; or $0x0ffaffc0, %eax; mov %eax, %cr0; mov %cr0, %eax; sub %ecx, %eax; mov %ecx, %cr0");
SNIP(cr4_bit_31, "mov %cr4, %eax; or $0x80000000, %eax; mov %eax, %cr4");
SNIP(cr4_bit_20, "mov %cr4, %eax; or $0x00100000, %eax; mov %eax, %cr4");
SNIP(lmsw_no_pe, "xor %eax, %eax; lmsw %ax; mov %cr0, %eax; and $1, %eax");

static void controls(void) {
  static const struct {
    const char *name;
    const char *code;
  } list[] = {{"paging without protection", cr0_pg_no_pe}, {"NW without CD", cr0_nw_no_cd}, {"reserved bits of CR0", cr0_high},
              {"bit 31 of CR4", cr4_bit_31}, {"bit 20 of CR4", cr4_bit_20}, {"LMSW keeps PE", lmsw_no_pe}};
  for (u32 i = 0; i < sizeof list / sizeof *list; i++) {
    fresh(0);
    r.eax = 0;
    run(list[i].code);
    show(list[i].name);
    put(" eax=%x\n", seen.vector == DONE ? seen.eax : 0);
  }
}

void kernel_main(void) {
  controls();
  for (int ring = 0; ring <= 3; ring += 3) {
    data(ring);
    upper_bound(ring);
    strings(ring);
    code(ring);
  }
  stacks_that_end();
  types();
  targets();
  tables();
}
