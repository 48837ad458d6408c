/* Debug registers: what they hold, instruction, data and port breakpoints, single steps beside them, GD, DE, RF. */
#include "probe.h"

#define RF 0x10000
#define TF 0x100
#define G(n) (2 << (2 * (n)))
#define L(n) (1 << (2 * (n)))
#define KIND(n, rw, len) ((u32)((rw) | (len) << 2) << (16 + 4 * (n)))
#define EXECUTE 0
#define WRITE 1
#define PORT 2
#define ACCESS 3

SNIP(nops, "nop; nop; nop; nop");
SNIP(no_nops, "");
SNIP(rep_stos, "mov $3, %ecx; 1: rep stosb; nop");
SNIP(rep_movs, "mov $4, %ecx; rep movsl; nop");
SNIP(rep_lods, "mov $3, %ecx; rep lodsb; nop");
SNIP(big_stos, "mov $64, %ecx; rep stosl; nop");
SNIP(write8, "movb $1, (%edi); nop");
SNIP(write16, "movw $1, (%edi); nop");
SNIP(write32, "movl $1, (%edi); nop");
SNIP(read8, "mov (%edi), %al; nop");
SNIP(read16, "mov (%edi), %ax; nop");
SNIP(read32, "mov (%edi), %eax; nop");
SNIP(modify32, "incl (%edi); nop");
SNIP(test32, "cmpl $0, (%edi); nop");
SNIP(locked, "lock incl (%edi); nop");
SNIP(cas, "cmpxchg %ecx, (%edi); nop");
SNIP(push_pop, "lea 4(%edi), %esp; push %eax; nop; pop %eax; nop; mov %ebp, %esp");
SNIP(pop_store, "mov %edi, %esp; popl 4(%edi); nop; mov %ebp, %esp");
SNIP(call_ret, "lea 4(%edi), %esp; call 1f; 1: add $4, %esp; mov %ebp, %esp");
SNIP(pusha_, "lea 32(%edi), %esp; pusha; nop; popa; mov %ebp, %esp");
SNIP(far_pointer, "lgs (%edi), %eax; nop");
SNIP(two, "movl $1, (%edi); movl $2, 4(%edi); nop");
SNIP(fault_after, "movl (%edi), %eax; ud2; nop");
SNIP(fault_self, "movl %cs:(%edi), %eax; movl %eax, %cs:(%edi); nop");
SNIP(load_ss, "mov %ss, %ax; mov %eax, (%edi); mov (%edi), %ss; nop; nop");
SNIP(load_ss_at, "mov %ss, %ax; mov %ax, %ss; nop; nop");
SNIP(branch, "jmp 1f; nop; 1: nop; nop");
SNIP(in_80, "in $0x80, %al; nop; out %al, $0x80; nop");
SNIP(in_words, "in $0x80, %ax; nop; in $0x7f, %ax; nop; in $0x7d, %eax; nop; in $0x7c, %eax; nop");
SNIP(outs, "mov $0x80, %edx; mov $2, %ecx; rep outsb; nop");
SNIP(to_dr0, "mov %eax, %dr0; nop");
SNIP(from_dr7, "mov %dr7, %eax; nop");
SNIP(from_dr4, "mov %dr4, %eax; nop");
SNIP(to_dr5, "mov %eax, %dr5; nop");
SNIP(int_50, "nop; int $0x50; nop");

static u32 start, count, resume;
static u32 area[32] __attribute__((aligned(4096)));

static inline u32 dr6(void) { u32 v; asm volatile("mov %%dr6, %0" : "=r"(v)); return v; }
static inline u32 dr7(void) { u32 v; asm volatile("mov %%dr7, %0" : "=r"(v)); return v; }
static void set_dr6(u32 v) { asm volatile("mov %0, %%dr6" : : "r"(v)); }
static void set_dr7(u32 v) { asm volatile("mov %0, %%dr7" : : "r"(v)); }
static void set(u32 n, u32 v) {
  if (n == 0) asm volatile("mov %0, %%dr0" : : "r"(v));
  if (n == 1) asm volatile("mov %0, %%dr1" : : "r"(v));
  if (n == 2) asm volatile("mov %0, %%dr2" : : "r"(v));
  if (n == 3) asm volatile("mov %0, %%dr3" : : "r"(v));
}

/* Every #DB says where it is and why; then the probe goes on. */
static int on_debug(struct frame *f) {
  put(" +%x:%x", f->eip - start, dr6() & 0xf00f);
  if (f->eflags & RF) put("r");
  if (++count > 40) return 1;
  set_dr6(0);
  if (resume) f->eflags |= RF;
  return 0;
}
static int on_int(struct frame *f) {
  put(" int+%x", f->eip - start);
  return 0;
}

static void begin(void) {
  set_dr7(0x400);
  set_dr6(0);
  for (u32 i = 0; i < 32; i++) area[i] = 0x11111111 * (i & 15);
  fresh(0);
  r.edi = r.esi = (u32)area;
  r.ebp = r.esp;
  count = 0, resume = 1;
}

/* Where the frames of the traps do not go to the stack in question. */
static void begin3(void) {
  u32 eflags;
  begin();
  eflags = r.eflags;
  fresh(3);
  r.eflags = eflags;
  r.edi = r.esi = (u32)area;
  r.ebp = r.esp;
}

static void go(const char *name, const char *code, u32 control) {
  start = (u32)code;
  put("%s:", name);
  set_dr7(control | 0x400);
  run(code);
  set_dr7(0x400);
  if (seen.vector != DONE) put(" vector %x", seen.vector);
  put(" end+%x eax %l ecx %l\n", seen.eip - start, seen.eax, seen.ecx);
}

static void registers(void) {
  for (u32 n = 0; n < 4; n++) set(n, 0x12345678 * (n + 1));
  u32 v[4];
  asm volatile("mov %%dr0, %0; mov %%dr1, %1; mov %%dr2, %2; mov %%dr3, %3" : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3]));
  put("dr %l %l %l %l\n", v[0], v[1], v[2], v[3]);
  set_dr6(0), put("dr6 %l", dr6());
  set_dr6(0xffffffff), put(" %l", dr6());
  set_dr6(0);
  set_dr7(0), put(" dr7 %l", dr7());
  set_dr7(0xffff0000), put(" %l\n", dr7());
  set_dr7(0x300), put("dr7 le ge %l\n", dr7());
  begin();
  set(0, (u32)area + 1);
  for (u32 ring = 1; ring < 4; ring++) {
    fresh(ring);
    start = (u32)from_dr7;
    run(from_dr7);
    put("ring %d: vector %x error %x\n", ring, seen.vector, seen.error);
  }
  for (u32 de = 0; de < 2; de++) {
    write_cr4(de ? 8 : 0);
    begin();
    r.eax = 0;
    go("dr4", from_dr4, 0);
    begin();
    r.eax = 0;
    go("dr5", to_dr5, 0);
  }
  write_cr4(0);
}

static void instructions(void) {
  begin(), set(0, (u32)nops + 1), go("second nop", nops, L(0));
  begin(), set(0, (u32)nops + 1), go("global", nops, G(0));
  begin(), set(0, (u32)nops + 1), go("disabled", nops, 0);
  begin(), set(3, (u32)nops + 2), go("third, dr3", nops, L(3));
  begin(), set(0, (u32)nops + 1), set(1, (u32)nops + 2), set(2, (u32)nops + 2), go("two at one place", nops, L(0) | G(1) | L(2));
  begin(), set(0, (u32)nops), go("first", nops, L(0));
  begin(), r.eflags |= RF, set(0, (u32)nops), go("first with RF", nops, L(0));
  begin(), r.eflags |= TF, set(0, (u32)nops + 1), go("with TF", nops, L(0));
  begin(), resume = 0, set(0, (u32)nops + 1), go("without RF", nops, L(0));
  begin(), set(0, (u32)rep_stos + 5), go("rep stos", rep_stos, L(0));
  begin(), set(0, (u32)branch + 3), go("branch target", branch, L(0));
  begin(), set(0, (u32)branch + 2), go("not reached", branch, L(0));
  begin(), set(0, (u32)load_ss_at + 5), go("after a load of SS", load_ss_at, L(0));
  begin(), set(0, (u32)load_ss_at + 6), go("two after a load of SS", load_ss_at, L(0));
  begin(), set(0, (u32)int_50 + 1), go("at int", int_50, L(0));
  begin(), set(0, (u32)stubs + 16 * 0x50), go("at the handler", int_50, L(0));
  begin(), set(0, (u32)fault_after + 2), go("at ud2", fault_after, L(0));
  begin(), set(0, (u32)fault_after + 1), go("inside", fault_after, L(0));
}

static void data(void) {
  static const struct {
    const char *name, *code;
  } list[] = {{"write8", write8}, {"write16", write16}, {"write32", write32}, {"read8", read8}, {"read16", read16}, {"read32", read32}};
  for (u32 i = 0; i < 6; i++) {
    for (u32 kind = 1; kind < 4; kind += 2) {
      for (u32 length = 0; length < 4; length++) {
        if (length == 2) continue;
        for (i32 offset = -4; offset < 6; offset++) {
          begin();
          r.edi += 16 + offset;
          set(0, (u32)area + 16);
          put("kind %d len %d offset %d ", kind, length, offset + 4);
          go(list[i].name, list[i].code, L(0) | KIND(0, kind, length));
        }
      }
    }
  }
  begin(), set(1, (u32)area), go("modify", modify32, G(1) | KIND(1, WRITE, 3));
  begin(), set(1, (u32)area), go("modify", modify32, G(1) | KIND(1, ACCESS, 3));
  begin(), set(1, (u32)area), go("test", test32, G(1) | KIND(1, WRITE, 3));
  begin(), set(1, (u32)area), go("test", test32, G(1) | KIND(1, ACCESS, 3));
  begin(), set(1, (u32)area), go("locked", locked, G(1) | KIND(1, WRITE, 3));
  begin(), r.eax = 5, set(1, (u32)area), go("cmpxchg without success", cas, G(1) | KIND(1, WRITE, 3));
  begin(), r.eax = 0, set(1, (u32)area), go("cmpxchg", cas, G(1) | KIND(1, WRITE, 3));
  begin3(), set(0, (u32)area), go("push", push_pop, L(0) | KIND(0, WRITE, 3));
  begin3(), set(0, (u32)area), go("push and pop", push_pop, L(0) | KIND(0, ACCESS, 3));
  begin3(), set(0, (u32)area + 8), go("pop to memory", pop_store, L(0) | KIND(0, WRITE, 3));
  begin3(), set(0, (u32)area), go("call", call_ret, L(0) | KIND(0, WRITE, 3));
  begin3(), set(0, (u32)area + 12), go("pusha", pusha_, L(0) | KIND(0, WRITE, 3));
  begin(), area[1] = 0, set(0, (u32)area + 4), go("selector of a far pointer", far_pointer, L(0) | KIND(0, ACCESS, 1));
  begin(), set(0, (u32)area), set(1, (u32)area + 4), go("two", two, L(0) | L(1) | KIND(0, WRITE, 3) | KIND(1, WRITE, 3));
  begin(), set(0, (u32)area), set(1, (u32)area), go("two at one place", two, L(0) | L(1) | KIND(0, WRITE, 3) | KIND(1, WRITE, 1));
  begin(), r.eflags |= TF, set(0, (u32)area), go("with TF", two, L(0) | KIND(0, WRITE, 3));
  begin(), set(0, (u32)area), set(1, (u32)two + 6), go("with a breakpoint behind", two, L(0) | L(1) | KIND(0, WRITE, 3));
  begin(), set(0, (u32)area), go("fault after", fault_after, L(0) | KIND(0, ACCESS, 3));
  begin(), set(0, (u32)area), go("read, then a fault", fault_self, L(0) | KIND(0, ACCESS, 3));
  begin(), set(0, (u32)area + 1), go("rep stos", rep_stos, L(0) | KIND(0, WRITE, 0));
  begin(), r.edi += 64, set(0, (u32)area + 4), go("rep movs source", rep_movs, L(0) | KIND(0, ACCESS, 3));
  begin(), r.edi += 64, set(0, (u32)area + 68), go("rep movs target", rep_movs, L(0) | KIND(0, WRITE, 3));
  begin(), set(0, (u32)area + 1), go("rep lods", rep_lods, L(0) | KIND(0, ACCESS, 0));
  begin(), set(0, (u32)area + 80), go("long rep stos", big_stos, L(0) | KIND(0, WRITE, 3));
  begin(), set(0, (u32)area), go("load of SS", load_ss, L(0) | KIND(0, ACCESS, 1));
  begin(), set(0, (u32)area), go("off", two, KIND(0, WRITE, 3));
}

static void ports(void) {
  for (u32 de = 0; de < 2; de++) {
    write_cr4(de ? 8 : 0);
    begin(), set(2, 0x80), go("port", in_80, L(2) | KIND(2, PORT, 0));
    begin(), set(2, 0x80), go("port words", in_words, L(2) | KIND(2, PORT, 0));
    begin(), set(2, 0x80), go("ports", in_words, L(2) | KIND(2, PORT, 3));
    begin(), set(2, 0x80), go("rep outs", outs, L(2) | KIND(2, PORT, 0));
    begin(), set(2, 0x81), go("other port", in_80, L(2) | KIND(2, PORT, 0));
  }
  write_cr4(0);
}

static void general_detect(void) {
  begin(), go("gd, write", to_dr0, 0x2000);
  begin(), go("gd, read", from_dr7, 0x2000);
  begin(), r.eflags |= TF, go("gd, step", from_dr7, 0x2000);
  begin(), go("gd, int", int_50, 0x2000), put("dr7 %l\n", dr7());
  set_dr6(0x0f);
  begin();
}

void kernel_main(void) {
  hooks[1] = on_debug;
  hooks[0x50] = on_int;
  registers();
  instructions();
  data();
  ports();
  general_detect();
}
