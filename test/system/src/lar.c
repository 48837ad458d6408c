/* LAR, LSL, VERR, VERW over every kind of descriptor from each ring; ARPL; SMSW, LMSW, SGDT, SIDT, STR, SLDT. */
#include "probe.h"

SNIP(lar_, "lar %ax, %ecx");
SNIP(lsl_, "lsl %ax, %ecx");
SNIP(lar_word, "lar %ax, %cx");
SNIP(lsl_word, "lsl %ax, %cx");
SNIP(verr_, "verr %ax");
SNIP(verw_, "verw %ax");
SNIP(arpl_, "arpl %cx, %ax");
SNIP(arpl_mem, "push %eax; arpl %cx, (%esp); pop %eax");
SNIP(smsw_, "smsw %eax; smsww %cx; push $-1; smsw (%esp); pop %edx");
SNIP(str_, "str %eax; str %cx; push $-1; str (%esp); pop %edx");
SNIP(sldt_, "sldt %eax; sldt %cx; push $-1; sldt (%esp); pop %edx");
SNIP(sgdt_, "sub $8, %esp; sgdt (%esp); pop %eax; pop %ecx");
SNIP(sidt_, "sub $8, %esp; sidt (%esp); pop %eax; pop %ecx");
SNIP(lmsw_, "lmsw %ax; smsw %eax; clts; smsw %ecx");
SNIP(pushes, "push %cs; pop %eax; push %ss; pop %ecx; push %ds; pop %edx; mov %cs, %ebx; mov %ss, %esi");

static const u32 types[] = {
    DATA_RW(0), DATA_RW(1), DATA_RW(2), DATA_RW(3), DATA_RO(0), DATA_RO(3), DATA_DOWN(3), CODE_XR(0), CODE_XR(3),
    CODE_X(0), CODE_X(3), CODE_CONF(0), CODE_CONF(0) & ~2, CODE_CONF(3), DATA_RW(3) & ~PRESENT, CODE_XR(3) & ~PRESENT,
    0xe0, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xeb, 0xec, 0xed, 0xee, 0xef, 0x82, 0x89, 0x69,
    0x8c,
};
#define TYPES (sizeof types / sizeof *types)

static void one(u32 selector, int ring) {
  static const char *const snips[] = {lar_, lsl_, lar_word, lsl_word, verr_, verw_};
  for (u32 i = 0; i < 6; i++) {
    fresh(ring);
    r.eax = selector;
    r.eflags = 0x2;
    run(snips[i]);
    u32 ok = seen.eflags >> 6 & 1;
    if (i >= 4) put(ok ? " ok" : " -");
    /* Bits 16 to 19 of what LAR loads are undefined (SDM vol 2, LAR). */
    else if (ok) put(" %l", i == 0 ? seen.ecx & 0xfff0ffff : seen.ecx);
    else put(seen.ecx == r.ecx ? " -" : " CHANGED");
  }
}

void kernel_main(void) {
  for (u32 i = 0; i < TYPES; i++)
    set_descriptor(gdt, SLOT(i), 0x12345678, i & 1 ? 0xfedcb : 0x2345, types[i], i & 1 ? BIG | GRANULAR : BIG);
  for (int ring = 0; ring < 4; ring++) {
    for (u32 i = 0; i < TYPES; i++) {
      for (u32 rpl = 0; rpl < 4; rpl += 3) {
        put("r%d type %x rpl %d:", ring, types[i], rpl);
        one(SLOT(i) | rpl, ring);
        put("\n");
      }
    }
    put("r%d null:", ring);
    one(0, ring);
    put("\nr%d outside:", ring);
    one(0x200, ring);
    put("\nr%d no ldt:", ring);
    one(0x0c, ring);
    put("\n");
    for (u32 n = 0; n < 16; n++) {
      fresh(ring);
      r.eax = 0x12340050 | (n & 3), r.ecx = 0x98760000 | n >> 2;
      run(n & 1 ? arpl_mem : arpl_);
      put("r%d arpl %d %d: %l zf=%d\n", ring, n & 3, n >> 2, seen.eax, seen.eflags >> 6 & 1);
    }
    fresh(ring);
    run(smsw_);
    put("r%d smsw %l %l %l\n", ring, seen.eax, seen.ecx, seen.edx);
    fresh(ring);
    run(str_);
    put("r%d str %l %l %l\n", ring, seen.eax, seen.ecx, seen.edx);
    fresh(ring);
    run(sldt_);
    put("r%d sldt %l %l %l\n", ring, seen.eax, seen.ecx, seen.edx);
    fresh(ring);
    run(sgdt_);
    put("r%d sgdt limit %w base %s\n", ring, seen.eax, seen.eax >> 16 == ((u32)gdt & 0xffff) && (seen.ecx & 0xffff) == (u32)gdt >> 16 ? "ok" : "WRONG");
    fresh(ring);
    run(sidt_);
    put("r%d sidt limit %w base %s\n", ring, seen.eax, seen.eax >> 16 == ((u32)idt & 0xffff) && (seen.ecx & 0xffff) == (u32)idt >> 16 ? "ok" : "WRONG");
    fresh(ring);
    run(pushes);
    put("r%d selectors cs %w %w ss %w %w ds %w\n", ring, seen.eax, seen.ebx, seen.ecx, seen.esi, seen.edx);
  }
  u32 cr0 = read_cr0();
  for (u32 value = 0; value < 32; value++) {
    fresh(0);
    r.eax = value | 0xffff0000;
    run(lmsw_);
    put("lmsw %x: %x, after clts %x\n", value, seen.eax & 0xffff, seen.ecx & 0xffff);
    write_cr0(cr0);
  }
}
